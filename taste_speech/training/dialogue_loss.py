"""Losses of the spoken LM on batches of talks."""

from collections.abc import Sequence

import torch
from accelerate.utils import send_to_device
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from taste_speech.audio_tower.quantizer import ResidualQuantizer
from taste_speech.spoken_lm.language_model import SpokenLM
from taste_speech.streaming.layout import NONE
from taste_speech.training.dialogue_rows import TalkRows


def embed_rows(
    lm: SpokenLM, quantizer: ResidualQuantizer, text_ids: Tensor, sources: Tensor, tastes: Tensor
) -> Tensor:
    """Input rows of the LM.

    Args:
        text_ids, sources: (batch, rows); a source indexes `tastes`, -1 is the pad embedding.
        tastes: (words, levels).

    Returns:
        (batch, rows, hidden); row 0 is not fused.
    """
    pad = lm.pad_audio_unit_embed[None]
    table = torch.cat([pad, quantizer.output_from_indices(tastes)]) if len(tastes) else pad
    text = lm.embed_text(text_ids)
    fused = lm.fuse(text, table[sources + 1])
    return torch.cat([text[:, :1].to(fused.dtype), fused[:, 1:]], dim=1)


def talk_losses(
    lm: SpokenLM,
    quantizer: ResidualQuantizer,
    talks: Sequence[TalkRows],
    label_smoothing: float,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Text cross-entropy and the loss of the taste vectors, each before its weight.

    The taste loss is the published model's: half the squared error of a sample z = mu + sigma * noise, half
    the divergence of N(mu, sigma) from a unit Gaussian around the target (the sum of the word's codes). Of a
    model that reads mu alone (`taste_deviations` 0) the noise is left out: it is many times the error, and
    all but hides it.

    `talks` may be on any device; `generator` is one of the CPU.
    """
    counts = torch.tensor([0, *(len(talk.tastes) for talk in talks)]).cumsum(0)[:-1].tolist()
    tastes = torch.cat([talk.tastes for talk in talks])
    shifted = [
        (torch.where(t.taste_source != NONE, t.taste_source + first, NONE),
         torch.where(t.taste_targets != NONE, t.taste_targets + first, NONE))
        for t, first in zip(talks, counts, strict=True)
    ]  # fmt: skip
    text_ids = pad_sequence([talk.text_ids for talk in talks], batch_first=True)
    sources = pad_sequence([source for source, _ in shifted], batch_first=True, padding_value=NONE)
    targets = pad_sequence([talk.text_targets for talk in talks], batch_first=True)
    weights = pad_sequence([talk.text_weights for talk in talks], batch_first=True)
    taste_targets = pad_sequence([target for _, target in shifted], batch_first=True, padding_value=NONE)

    device = lm.pad_audio_unit_embed.device
    text_ids, sources, targets, weights, taste_targets, tastes = send_to_device(
        (text_ids, sources, targets, weights, taste_targets, tastes), device
    )
    inputs = embed_rows(lm, quantizer, text_ids, sources, tastes)
    hidden = lm.language_model.model(inputs_embeds=inputs, use_cache=False).last_hidden_state
    counted = weights > 0
    logits = lm.language_model.lm_head(hidden[counted]).float()
    text = functional.cross_entropy(
        logits, targets[counted], reduction="none", label_smoothing=label_smoothing
    )
    result = {"text": (text * weights[counted]).sum() / weights.sum()}
    spoken = taste_targets != NONE
    if bool(spoken.any()):
        with torch.no_grad():
            wanted = quantizer.code_from_indices(tastes[taste_targets[spoken]]).float()
        mu, logvar = lm.extraction(hidden[spoken])
        noise = lm.taste_deviations * torch.randn(mu.shape, generator=generator).to(device)
        sampled = mu + torch.exp(0.5 * logvar) * noise
        divergence = 0.5 * (logvar.exp() + (mu - wanted) ** 2 - 1 - logvar).mean()
        result["taste"] = 0.5 * functional.mse_loss(sampled, wanted) + 0.5 * divergence
    return result
