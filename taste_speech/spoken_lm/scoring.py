"""Rows of text and taste -> logits, taste vectors and losses, for training, fine-tuning and scoring."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from transformers.utils import ModelOutput

from taste_speech.audio_tower.quantizer import NO_TASTE, ResidualQuantizer
from taste_speech.spoken_lm.language_model import SpokenLM

IGNORED = -100
"""Label of a row without a text target, as in transformers."""


@dataclass
class TasteOutput(ModelOutput):
    """Outputs of the spoken LM for rows; the losses are None without targets.

    Attributes:
        loss: (), text and taste loss, weighted by `spoken_lm_config.loss_weights`.
        logits: (batch, rows, vocabulary), for the text token that follows each row.
        taste_mean: (batch, rows, codebook_dim), mean of the taste vector that each row yields.
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
    """Targets of rows.

    Attributes:
        text_ids: (batch, rows), the text token that follows each row; any id where the weight is 0.
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
        lm, quantizer: parts of the same model.
        text_ids: (batch, rows).
        taste_ids: (batch, rows, levels), the taste token to fuse at each row; -1: the pad embedding.
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
    """Run rows through the LM and compare the outputs with the targets.

    Args:
        lm, quantizer: parts of the same model.
        inputs_embeds: (batch, rows, hidden), see `embed_rows`.
        targets: targets of the losses; None: no losses.
        attention_mask: (batch, rows), 0 at padding; not needed if the padding is at the end.
        loss_weights: weights of text and taste loss.
        label_smoothing: label smoothing of the text loss.
        sample: see `taste_loss`.
        targets_only: whether to skip the logits of rows without a target, and leave out `logits`.
        generator: source of random numbers for the sample, on the CPU; None: torch's global one.
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
    """Return the taste loss () of the published model.

    It is the mean of two terms: the squared error of a vector z, and the divergence of N(mu, sigma) from a
    unit Gaussian around the target. Both are averaged over rows and dimensions. At inference, z is
    mu + k sigma.

    Args:
        hidden: (rows, hidden) hidden states.
        wanted: (rows, codebook_dim) targets: the sum of each word's codes.
        sample: whether to use z = mu + k sigma noise. With k = `taste_deviations` = 0 there is no noise,
            which would be many times larger than the error and hide it.
        generator: source of random numbers for the noise.
    """
    mu, logvar = lm.extraction(hidden)
    deviation = lm.taste_deviations * torch.exp(0.5 * logvar)
    if sample:
        deviation = deviation * torch.randn(mu.shape, generator=generator).to(mu.device)
    divergence = 0.5 * (logvar.exp() + (mu - wanted).square() - 1 - logvar).mean()
    return 0.5 * functional.mse_loss(mu + deviation, wanted) + 0.5 * divergence
