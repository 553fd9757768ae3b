"""Unit decoder: text and taste tokens of some words, and a speaker -> speech units (50 per second).

The language model over units sees

    [sos, speaker, condition of ASR token 1..N, task, unit 1, unit 2, ...]

and each row from `task` on predicts the next unit or the stop id.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from taste_speech.configuration_sections import SpeechDecoderConfig, UnitDecodingConfig
from taste_speech.speech_decoder.decoding import UnitDecoderState, greedy_unit, sample_unit
from taste_speech.speech_decoder.encoder import EncoderSettings, RelativeEncoder

_STRUCTURE_ROWS = 3  # sos, speaker, task


@dataclass(frozen=True)
class GeneratedUnits:
    """Result of `UnitDecoder.generate_with_alignment`.

    Attributes:
        ids: (1, units) int32, without the forced units.
        attention: (forced + new units, condition tokens), attention of each unit's prediction to each ASR
            token.
    """

    ids: Tensor
    attention: Tensor


def alignment(weights: Sequence[Tensor]) -> Tensor:
    """Average the attention of all heads of all blocks, each (1, heads, rows, keys) -> (rows, keys)."""
    return torch.stack(list(weights)).mean(dim=(0, 1, 2))


class WeightedSum(nn.Module):
    """Learned weighted sum of two sequences of equal length; index 0 is the audio side."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.ones(2))

    def forward(self, audio: Tensor, text: Tensor) -> Tensor:
        """Two (..., size) -> (..., size)."""
        weights = torch.softmax(self.weights, dim=0)
        return weights[0] * audio + weights[1] * text


class UnitDecoder(nn.Module):
    """Decodes speech units. Attribute names are the published ones below `speech_decoder.`.

    Raises:
        ValueError: the configuration names a variant that does not exist.
    """

    def __init__(self, config: SpeechDecoderConfig, decoding: UnitDecodingConfig) -> None:
        super().__init__()
        config.check_supported("speech_decoder_config")
        self.config, self.decoding = config, decoding
        size = config.llm_input_size
        causal = config.encoder__static_chunk_size == 1
        text_settings = _settings(config, "encoder", config.encoder_input_size, size, causal=causal)
        self.text_embedding = nn.Embedding(config.text_token_size, config.encoder_input_size)
        self.text_encoder = RelativeEncoder(text_settings)
        self.text_encoder_affine_layer = nn.Linear(size, size)
        self.audio_embed_affine_layer = nn.Linear(config.audio_encoder_input_size, config.encoder_input_size)
        self.audio_token_encoder = RelativeEncoder(
            replace(
                text_settings,
                heads=decoding.audio_encoder_heads,
                linear_units=decoding.audio_encoder_linear_units,
                blocks=decoding.audio_encoder_blocks,
            )
        )
        self.audio_token_encoder_affine_layer = nn.Linear(size, size)
        self.fuse_encoded_audio_text_module = WeightedSum()
        self.llm_embedding = nn.Embedding(2, size)
        self.spk_embed_affine_layer = nn.Linear(config.spk_embed_dim, size)
        self.llm = RelativeEncoder(_settings(config, "llm", size, config.llm_output_size, transformer=True))
        self.llm_decoder = nn.Linear(config.llm_output_size, config.speech_token_size + 1)
        self.speech_embedding = nn.Embedding(config.speech_token_size, size)
        self.unit_runner: Callable[[int, UnitDecoderState, bool], Tensor] | None = None
        """Replacement of `step` for single units: unit, state, align -> logits."""

    @property
    def stop_id(self) -> int:
        """The id that ends the units."""
        return self.config.speech_token_size

    def encode_condition(self, asr_token_ids: Tensor, audio_embeds: Tensor) -> Tensor:
        """(batch, tokens) and (batch, tokens, audio width) -> condition rows (batch, tokens, size).

        Raises:
            ValueError: there is not one audio vector for each token.
        """
        if asr_token_ids.shape != audio_embeds.shape[:2]:
            raise ValueError(
                f"asr_token_ids {tuple(asr_token_ids.shape)} and audio_embeds {tuple(audio_embeds.shape)} "
                "differ; give one audio vector for each ASR token"
            )
        text = self.text_encoder(self.text_embedding(asr_token_ids))
        audio = self.audio_token_encoder(self.audio_embed_affine_layer(audio_embeds))
        return self.fuse_encoded_audio_text_module(
            self.audio_token_encoder_affine_layer(audio), self.text_encoder_affine_layer(text)
        )

    def prefix(self, speaker_embeds: Tensor, condition: Tensor) -> Tensor:
        """(batch, speaker width), (batch, tokens, size) -> rows [sos, speaker, condition, task]."""
        speaker = self.spk_embed_affine_layer(F.normalize(speaker_embeds, dim=-1))
        sos, task = self.llm_embedding.weight[:, None, None].expand(-1, len(condition), -1, -1)
        return torch.cat([sos, speaker[:, None], condition, task], dim=1)

    @torch.no_grad()
    def start(
        self, prefix: Tensor, capacity: int, forced_units: Tensor | None = None, align: bool = False
    ) -> tuple[Tensor, UnitDecoderState]:
        """Feed prefix and forced units; return the next logits (1, vocabulary + 1) and the state.

        Args:
            prefix: (1, tokens + 3, size) from `prefix`.
            capacity: maximum number of rows (prefix and units).
            forced_units: (1, units) decoded earlier.
            align: whether to collect the attention to the condition.
        """
        state = UnitDecoderState(self.llm.new_state(capacity), prefix.shape[1] - _STRUCTURE_ROWS, [])
        rows = prefix
        if forced_units is not None and forced_units.shape[1]:
            rows = torch.cat([prefix, self.speech_embedding(forced_units)], dim=1)
        return self._advance(rows, state, align, new_rows=rows.shape[1] - prefix.shape[1] + 1), state

    @torch.no_grad()
    def step(self, unit_ids: Tensor, state: UnitDecoderState, align: bool = False) -> Tensor:
        """Feed (1, n) units; return the next logits (1, vocabulary + 1)."""
        if self.unit_runner is not None and unit_ids.shape[1] == 1:
            return self.unit_runner(int(unit_ids), state, align)
        return self._advance(self.speech_embedding(unit_ids), state, align, unit_ids.shape[1])

    def _advance(self, rows: Tensor, state: UnitDecoderState, align: bool, new_rows: int) -> Tensor:
        hidden, weights = self.llm.step(rows, state.encoder, state.condition if align else None)
        if weights:
            state.attention += list(alignment(weights)[-new_rows:])
        return self.llm_decoder(hidden[:, -1])

    def generate(self, *args: Any, **kwargs: Any) -> Tensor:
        """Generate units (1, units) int32 of one item; arguments as for `generate_with_alignment`."""
        return self.generate_with_alignment(*args, **kwargs | {"align": False}).ids

    @torch.no_grad()
    def generate_with_alignment(
        self,
        speaker_embeds: Tensor,
        asr_token_ids: Tensor,
        audio_embeds: Tensor,
        forced_units: Tensor | None = None,
        generator: torch.Generator | None = None,
        greedy: bool = False,
        min_units: int | None = None,
        max_units: int | None = None,
        align: bool = True,
    ) -> GeneratedUnits:
        """Generate the units of one item, and the attention of each unit to the text.

        Args:
            speaker_embeds: (1, speaker width).
            asr_token_ids, audio_embeds: (1, tokens), (1, tokens, audio width).
            forced_units: (1, units) decoded earlier for the first words of the condition.
            generator: source of random numbers; None uses torch's global one.
            greedy: whether to take the most probable unit instead of sampling.
            min_units, max_units: limits of the new units; None: the published ratio to the prefix length,
                minus the forced units.
            align: whether to collect the attention, which is a little slower.

        Raises:
            ValueError: there is more than one item.
        """
        if len(asr_token_ids) != 1:
            raise ValueError(f"asr_token_ids has a batch of {len(asr_token_ids)}; give one item at a time")
        prefix = self.prefix(speaker_embeds, self.encode_condition(asr_token_ids, audio_embeds))
        forced = 0 if forced_units is None else forced_units.shape[1]
        least, most = self.length_limits(prefix.shape[1], forced)
        least = least if min_units is None else min_units
        most = most if max_units is None else max_units
        capacity = prefix.shape[1] + forced + most
        logits, state = self.start(prefix, capacity, forced_units, align)
        how, ids = self.decoding, list[int]()
        while len(ids) < most:
            may_stop = len(ids) >= least
            if greedy:
                unit = greedy_unit(logits[0], self.stop_id, may_stop)
            else:
                unit = sample_unit(logits[0], self.stop_id, may_stop, how.top_k, generator, how.temperature)
            if unit == self.stop_id:
                break
            ids.append(unit)
            if len(ids) < most:
                logits = self.step(asr_token_ids.new_tensor([[unit]]), state, align)
        attention = torch.stack(state.attention)[: forced + len(ids)] if align else prefix.new_zeros(0, 0)
        return GeneratedUnits(torch.tensor([ids], dtype=torch.int32, device=prefix.device), attention)

    def length_limits(self, prefix_rows: int, forced: int = 0) -> tuple[int, int]:
        """Return the minimum and maximum number of new units, given the rows of the prefix.

        Args:
            forced: number of units that exist already.
        """
        least = int(self.decoding.min_units_per_row * prefix_rows)
        most = int(self.decoding.max_units_per_row * prefix_rows)
        return max(0, least - forced), max(0, most - forced)


_PUBLISHED_NAMES = {
    "heads": "attention_heads",
    "linear_units": "linear_units",
    "blocks": "num_blocks",
    "dropout": "dropout_rate",
    "positional_dropout": "positional_dropout_rate",
    "attention_dropout": "attention_dropout_rate",
}


def _settings(
    config: SpeechDecoderConfig, prefix: str, input_size: int, size: int, **flags: bool
) -> EncoderSettings:
    sizes: dict[str, Any] = {
        ours: getattr(config, f"{prefix}__{published}") for ours, published in _PUBLISHED_NAMES.items()
    }
    return EncoderSettings(input_size, size, **sizes, **flags)
