"""Checks of what callers hand to the detokenizer; each raises `ValueError` with one line."""

import torch
from torch import Tensor

from taste_speech.audio_tower.quantizer import NO_TASTE
from taste_speech.modeling_taste import TasteForCausalLM

_MS_TOLERANCE = 100
SaidTokens = tuple[Tensor, Tensor, Tensor]
"""Text tokens (1, S), taste tokens (1, S, L) and units (1, U) of what was said."""


def check_rate(rate: int) -> None:
    """Refuse rates that no sound card has."""
    if not 4000 <= rate <= 192000:
        raise ValueError(f"out_sampling_rate is {rate} Hz; give 4000 to 192000")


def check_speaker(speaker_embeds: Tensor, width: int) -> None:
    """Refuse a speaker embedding of another shape, zero, or not finite."""
    if tuple(speaker_embeds.shape) != (1, width):
        raise ValueError(f"speaker_embeds have shape {tuple(speaker_embeds.shape)}; expected (1, {width})")
    if not torch.isfinite(speaker_embeds).all() or not speaker_embeds.any():
        raise ValueError("speaker_embeds are zero or not finite; compute them from a reference recording")


def check_tokens(
    model: TasteForCausalLM, text_ids: Tensor | None, taste_ids: Tensor | None, name: str = ""
) -> tuple[Tensor, Tensor]:
    """The two tensors on the CPU, empty ones for None.

    Raises:
        ValueError: shapes, dtypes or codes that do not fit.
    """
    levels, codes = model.num_quantizers, model.audio_tower.quantizer.codebooks.shape[1]
    if text_ids is None or text_ids.numel() == 0:
        if taste_ids is not None and taste_ids.numel():
            raise ValueError(f"{name}taste_ids without {name}text_ids; give both or neither")
        return torch.zeros(1, 0, dtype=torch.long), torch.zeros(1, 0, levels, dtype=torch.long)
    if text_ids.ndim != 2 or len(text_ids) != 1:
        raise ValueError(f"{name}text_ids have shape {tuple(text_ids.shape)}; expected (1, S)")
    if taste_ids is None:
        raise ValueError(f"{name}taste_ids are missing; give (1, S, {levels}) codes for {name}text_ids")
    expected = (1, text_ids.shape[1], levels)
    if tuple(taste_ids.shape) != expected:
        raise ValueError(f"{name}taste_ids have shape {tuple(taste_ids.shape)}; expected {expected}")
    for label, ids in (("text_ids", text_ids), ("taste_ids", taste_ids)):
        if ids.is_floating_point():
            raise ValueError(f"{name}{label} have dtype {ids.dtype}; give integers")
    least, most = int(taste_ids.min()), int(taste_ids.max())
    if least < NO_TASTE or most >= codes:
        raise ValueError(
            f"{name}taste_ids range from {least} to {most}; codes are 0 to {codes - 1}, or -1 for none"
        )
    empty = taste_ids == NO_TASTE
    if bool((empty.any(-1) != empty.all(-1)).any()):
        raise ValueError(f"a row of {name}taste_ids is -1 on some levels only; give all {levels} codes")
    return text_ids.cpu().long(), taste_ids.cpu().long()


def check_previous(
    model: TasteForCausalLM, text_ids: Tensor | None, taste_ids: Tensor | None, units: Tensor | None
) -> SaidTokens:
    """What was said before, on the CPU; refuses units that do not go with the words."""
    prev_text_ids, prev_taste_ids = check_tokens(model, text_ids, taste_ids, "prev_")
    return prev_text_ids, prev_taste_ids, _check_units(model, prev_text_ids, units)


def _check_units(model: TasteForCausalLM, prev_text_ids: Tensor, prev_speech_ids: Tensor | None) -> Tensor:
    if prev_speech_ids is None or prev_speech_ids.numel() == 0:
        if prev_text_ids.shape[1]:
            raise ValueError("prev_text_ids without prev_speech_ids; hand back the speech_ids of each chunk")
        return torch.zeros(1, 0, dtype=torch.long)
    if prev_text_ids.shape[1] == 0:
        raise ValueError("prev_speech_ids without prev_text_ids; give the words that they belong to")
    if prev_speech_ids.ndim != 2 or len(prev_speech_ids) != 1:
        raise ValueError(f"prev_speech_ids have shape {tuple(prev_speech_ids.shape)}; expected (1, U)")
    size = model.config.speech_decoder_config.speech_token_size
    least, most = int(prev_speech_ids.min()), int(prev_speech_ids.max())
    if least < 0 or most >= size:
        raise ValueError(f"prev_speech_ids range from {least} to {most}; units are 0 to {size - 1}")
    return prev_speech_ids.cpu().long()


def check_ms(prev_audio_ms: float | None, expected_ms: int) -> None:
    """Refuse a length that the units do not have."""
    given = prev_audio_ms or 0
    if abs(given - expected_ms) > _MS_TOLERANCE:
        raise ValueError(
            f"prev_audio_ms is {given:g}, but prev_speech_ids last {expected_ms} ms; "
            "give the sum of the chunk_duration_ms of the chunks before"
        )
