"""`PhoneDecoder`: text and taste tokens -> phones in time, which are the speech units of some checkpoints.

What is said is known from the text. Taste tokens tell how: how long each phone lasts, where the speaker
pauses, and how high the voice is. All of it comes from one pass over the phones, as in FastSpeech 2 (Ren et
al., 2021, arXiv:2006.04558).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from taste_speech.configuration_sections import SpeechDecoderConfig, UnitDecodingConfig
from taste_speech.phones import MARKED_PHONES, PHONES, UNITS, begins_word, pause_after, pitch_level
from taste_speech.speech_decoder.phone_embedding import PhoneEmbedding, is_voiced

_KERNEL = 5
_MEAN_S = 0.08
"""Typical duration of a phone, where training begins."""
MEAN_HZ = 200.0
"""Pitch that the prediction 0 stands for."""
_LEAD_S, _REST_S = 0.04, 0.1
"""Silence before the first word of a reply, and after its last one."""
_LONGEST_S = 1.0
"""No phone and no pause is longer."""


@dataclass(frozen=True)
class Manner:
    """How phones are said; all are (batch, phones).

    Attributes:
        duration: natural logarithm of the duration in seconds.
        pauses: logit of a pause before the phone.
        pause: natural logarithm of the duration of that pause in seconds.
        pitch: octaves above 200 Hz.
    """

    duration: Tensor
    pauses: Tensor
    pause: Tensor
    pitch: Tensor


@dataclass(frozen=True)
class PhoneUnits:
    """Units of some phones, and for each phone the index after its last unit."""

    ids: list[int]
    ends: list[int]


class PhoneDecoder(nn.Module):
    """Times phones.

    Args:
        config: `encoder_input_size` channels and `encoder__num_blocks` convolutions are used.
        decoding: tells the rate of the units.

    Raises:
        ValueError: the vocabularies are not those of phones.
    """

    def __init__(self, config: SpeechDecoderConfig, decoding: UnitDecodingConfig) -> None:
        super().__init__()
        if (config.text_token_size, config.speech_token_size) != (MARKED_PHONES, UNITS):
            raise ValueError(
                f"speech_decoder_config has {config.text_token_size} text tokens and "
                f"{config.speech_token_size} units; phones are {MARKED_PHONES} and {UNITS}"
            )
        self.config, self.decoding = config, decoding
        size = config.encoder_input_size
        self.phone_embedding = PhoneEmbedding(size)
        self.audio_embed_affine_layer = nn.Linear(config.audio_encoder_input_size, size)
        self.norms = nn.ModuleList(nn.LayerNorm(size) for _ in range(config.encoder__num_blocks))
        self.convolutions = nn.ModuleList(
            nn.Conv1d(size, 2 * size, _KERNEL, padding=_KERNEL // 2) for _ in self.norms
        )
        self.dropout = nn.Dropout(config.encoder__dropout_rate)
        self.output = nn.Linear(size, 4)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, asr_token_ids: Tensor, audio_embeds: Tensor, mask: Tensor | None = None) -> Manner:
        """Predict how phones are said.

        Args:
            asr_token_ids: (batch, phones) marked phones of whole words.
            audio_embeds: (batch, phones, audio width), the vector of each phone's word.
            mask: (batch, phones), true for valid phones; None: all are.
        """
        x = self.phone_embedding(asr_token_ids) + self.audio_embed_affine_layer(audio_embeds)
        kept = torch.ones_like(x[..., :1]) if mask is None else mask[..., None].to(x.dtype)
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            y = convolution((norm(x) * kept).transpose(1, 2)).transpose(1, 2)
            x = x + self.dropout(nn.functional.glu(y))
        duration, pauses, pause, pitch = self.output(x).float().unbind(-1)
        return Manner(duration + math.log(_MEAN_S), pauses, pause + math.log(2 * _MEAN_S), pitch)

    @torch.no_grad()
    def generate(
        self,
        speaker_embeds: Tensor,
        asr_token_ids: Tensor,
        audio_embeds: Tensor,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return the units (1, units) int32 of one item, with the silence around them.

        Args:
            speaker_embeds, generator: not used: there is one voice, and nothing is drawn.
            asr_token_ids, audio_embeds: as for `forward`, of one item.

        Raises:
            ValueError: there is more than one item.
        """
        if len(asr_token_ids) != 1:
            raise ValueError(f"asr_token_ids has a batch of {len(asr_token_ids)}; give one item at a time")
        said = self.say(asr_token_ids[0], audio_embeds[0])
        ids = [*said.ids, *self.rest(asr_token_ids[0].tolist())]
        return torch.tensor([ids], dtype=torch.int32, device=asr_token_ids.device)

    @torch.no_grad()
    def say(self, marked: Tensor, audio_embeds: Tensor, said: int = 0, begins: bool = True) -> PhoneUnits:
        """Return the units of words, with the pauses before them.

        Args:
            marked: (phones,) marked phones of whole words.
            audio_embeds: (phones, audio width).
            said: number of phones at the start that have been said; the units are those of the others.
            begins: whether these are the first words of a reply, before which there is a short silence.
        """
        manner = self(marked[None], audio_embeds[None])
        is_pause = marked % len(PHONES) == 0
        pause_s = manner.pause[0].exp() * (begins_word(marked) & (manner.pauses[0] > 0))
        if begins:
            pause_s[:1] = _LEAD_S
        seconds = torch.stack([pause_s, manner.duration[0].exp() * ~is_pause], dim=1)[said:]
        levels = pitch_level(MEAN_HZ * manner.pitch[0].exp2()) * is_voiced(marked)
        pitched = (marked + MARKED_PHONES * levels).tolist()
        phones, counts = marked.tolist(), self._counts(seconds.clamp(max=_LONGEST_S).tolist())
        ids, ends = list[int](), list[int]()
        for place, (pause, count) in enumerate(counts, said):
            ids += [pause_after(phones[place - 1]) if place else 0] * pause + [pitched[place]] * count
            ends.append(len(ids))
        return PhoneUnits(ids, ends)

    def rest(self, marked: Sequence[int]) -> list[int]:
        """Return the units of the silence after words."""
        pause = pause_after(marked[-1]) if marked else 0
        return [pause] * round(_REST_S * self.decoding.units_per_second)

    def _counts(self, seconds: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
        """Round durations of pauses and of the phones after them to units; what is said has one at least."""
        counts, end, due = list[tuple[int, int]](), 0, 0.0
        for pause_s, phone_s in seconds:
            due += pause_s * self.decoding.units_per_second
            pause = max(0, round(due) - end)
            due += phone_s * self.decoding.units_per_second
            phone = max(phone_s > 0, round(due) - end - pause)
            end += pause + phone
            counts.append((pause, phone))
        return counts
