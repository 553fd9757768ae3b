"""Rows of text and taste -> logits, taste vectors and losses: training, fine-tuning and scoring."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from transformers.utils import ModelOutput

from taste_speech.audio_tower.quantizer import NO_TASTE, ResidualQuantizer
from taste_speech.spoken_lm.language_model import SpokenLM

IGNORED = -100
"""The label of a row that has no text target, as transformers has it."""


@dataclass
class TasteOutput(ModelOutput):
    """What the spoken LM says of rows; the losses only where there are targets.

    Attributes:
        loss: (), text and taste loss, weighted as `spoken_lm_config.loss_weights` says.
        logits: (batch, rows, vocabulary), of the text token that follows each row.
        taste_mean: (batch, rows, codebook_dim), of the taste vector that each row yields.
        text_loss: (), cross-entropy.
        taste_loss: (), see `taste_loss`.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    taste_mean: Tensor | None = None
    text_loss: Tensor | None = None
    taste_loss: Tensor | None = None


@dataclass(frozen=True)
class RowTargets:
    """What rows should yield.

    Attributes:
        text_ids: (batch, rows), the text token that follows each row; any id where its weight is 0.
        text_weights: (batch, rows), 0 where a row has no text target.
        taste_ids: (batch, rows, levels), the taste token that each row yields, -1 for none.
    """

    text_ids: Tensor
    text_weights: Tensor
    taste_ids: Tensor | None


def embed_rows(
    lm: SpokenLM, quantizer: ResidualQuantizer, text_ids: Tensor, taste_ids: Tensor, begins: bool = True
) -> Tensor:
    """Return input rows (batch, rows, hidden) of the LM.

    Args:
        lm, quantizer: of one model.
        text_ids: (batch, rows).
        taste_ids: (batch, rows, levels), the taste token fused at each row; -1: the pad embedding.
        begins: whether a conversation begins with the first row, which is then not fused.
    """
    text = lm.embed_text(text_ids)
    audio = quantizer.output_from_indices(taste_ids)
    audio = torch.where(taste_ids[..., :1] == NO_TASTE, lm.pad_audio_unit_embed.to(audio.dtype), audio)
    fused = lm.fuse(text, audio)
    return torch.cat([text[:, :1].to(fused.dtype), fused[:, 1:]], dim=1) if begins else fused


def score_rows(
    lm: SpokenLM,
    quantizer: ResidualQuantizer,
    inputs_embeds: Tensor,
    targets: RowTargets | None = None,
    *,
    attention_mask: Tensor | None = None,
    loss_weights: tuple[float, float] = (1.0, 1.0),
    label_smoothing: float = 0.0,
    sample: bool = False,
    targets_only: bool = False,
    generator: torch.Generator | None = None,
) -> TasteOutput:
    """Run rows through the LM and compare what they yield with the targets.

    Args:
        lm, quantizer: of one model.
        inputs_embeds: (batch, rows, hidden), see `embed_rows`.
        targets: of the losses; None: there are none.
        attention_mask: (batch, rows), 0 at padding; not needed where rows are padded at their end.
        loss_weights: of text and taste.
        label_smoothing: of the text loss.
        sample: see `taste_loss`.
        targets_only: compute no logits of rows without a target, and leave `logits` out of the result.
        generator: of the sample, on the CPU; None: torch's global one.
    """
    output = lm.language_model.model(
        inputs_embeds=inputs_embeds.to(lm.dtype), attention_mask=attention_mask, use_cache=False
    )
    hidden = output.last_hidden_state
    head = lm.language_model.lm_head
    logits = None if targets_only else head(hidden)
    result = TasteOutput(logits=logits, taste_mean=lm.extraction(hidden)[0])
    if targets is None:
        return result
    counted = targets.text_weights > 0
    weights = targets.text_weights[counted]
    wanted_logits = head(hidden[counted]) if logits is None else logits[counted]
    text = functional.cross_entropy(
        wanted_logits.float(), targets.text_ids[counted], reduction="none", label_smoothing=label_smoothing
    )
    result.text_loss = (text * weights).sum() / weights.sum().clamp(min=torch.finfo(weights.dtype).tiny)
    result.loss = loss_weights[0] * result.text_loss
    if targets.taste_ids is not None:
        spoken = targets.taste_ids[..., 0] != NO_TASTE
        if bool(spoken.any()):
            with torch.no_grad():
                wanted = quantizer.code_from_indices(targets.taste_ids[spoken]).float()
            result.taste_loss = taste_loss(lm, hidden[spoken], wanted, sample, generator)
            result.loss = result.loss + loss_weights[1] * result.taste_loss
    return result


def taste_loss(
    lm: SpokenLM, hidden: Tensor, wanted: Tensor, sample: bool, generator: torch.Generator | None
) -> Tensor:
    """Return the loss () of what (rows, hidden) yield as taste, where (rows, codebook_dim) are wanted.

    As of the published model: half the squared error of a vector, half the divergence of N(mu, sigma) from a
    unit Gaussian around the target (the sum of the word's codes); both are means over rows and dimensions.
    The vector is z = mu + k sigma, as it is read at inference, or with `sample` z = mu + k sigma noise. Of a
    model that reads mu alone (k = `taste_deviations` = 0) the noise is left out: it is many times the error,
    and all but hides it.
    """
    mu, logvar = lm.extraction(hidden)
    deviation = lm.taste_deviations * torch.exp(0.5 * logvar)
    if sample:
        deviation = deviation * torch.randn(mu.shape, generator=generator).to(mu.device)
    divergence = 0.5 * (logvar.exp() + (mu - wanted).square() - 1 - logvar).mean()
    return 0.5 * functional.mse_loss(mu + deviation, wanted) + 0.5 * divergence
