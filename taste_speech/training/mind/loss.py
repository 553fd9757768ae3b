"""Losses of the spoken LM on batches of talks."""

from collections.abc import Sequence

import torch
from accelerate.utils import send_to_device
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from taste_speech.audio_tower.quantizer import NO_TASTE, ResidualQuantizer
from taste_speech.spoken_lm.language_model import SpokenLM
from taste_speech.spoken_lm.scoring import RowTargets, embed_rows, score_rows
from taste_speech.streaming.layout import gather_codes
from taste_speech.training.mind.rows import TalkRows


def talk_losses(
    lm: SpokenLM,
    quantizer: ResidualQuantizer,
    talks: Sequence[TalkRows],
    label_smoothing: float,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Text cross-entropy and `taste_loss` of samples, each before its weight.

    `talks` may be on any device; `generator` is one of the CPU.
    """

    def padded(rows: Sequence[Tensor], value: float = 0) -> Tensor:
        batch = pad_sequence(list(rows), batch_first=True, padding_value=value)
        return send_to_device(batch, lm.pad_audio_unit_embed.device)

    inputs = embed_rows(
        lm,
        quantizer,
        padded([talk.text_ids for talk in talks]),
        padded([gather_codes(talk.tastes, talk.taste_source) for talk in talks], NO_TASTE),
    )
    targets = RowTargets(
        padded([talk.text_targets for talk in talks]),
        padded([talk.text_weights for talk in talks]),
        padded([gather_codes(talk.tastes, talk.taste_targets) for talk in talks], NO_TASTE),
    )
    output = score_rows(
        lm,
        quantizer,
        inputs,
        targets,
        label_smoothing=label_smoothing,
        sample=True,
        targets_only=True,
        generator=generator,
    )
    losses = {"text": output.text_loss, "taste": output.taste_loss}
    return {name: loss for name, loss in losses.items() if loss is not None}
