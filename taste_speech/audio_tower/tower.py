"""The audio tower: log-mel features and the words that were said -> one taste token per word.

Follows TASTE (arXiv:2504.07053), section 3.1: ASR tokens attend to the encoded audio. The keys come from the
encoder's last layer, which represents the text, and the values from an earlier layer, which still represents
how it was said. The tokens of a word share their mean.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import (
    ALL_ATTENTION_FUNCTIONS,
    WhisperAttention,
    WhisperDecoderLayer,
    WhisperEncoder,
    eager_attention_forward,
)

from taste_speech.audio_tower.encoder import (
    EncodedAudio,
    additive_mask,
    encode_features,
    encoder_frames,
    pad_together,
    whisper_config,
)
from taste_speech.audio_tower.quantizer import ResidualQuantizer
from taste_speech.configuration_sections import JointEncoderSegmenterConfig, QuantizerConfig, TowerConfig
from taste_speech.errors import AudioError, TextError


class TwoSourceAttention(WhisperAttention):
    """Whisper cross-attention with keys and values from two different hidden states."""

    def forward(
        self,
        hidden_states: Tensor,
        key_value_states: tuple[Tensor, Tensor],
        attention_mask: Tensor | None = None,
        **_: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend from (batch, tokens, d) to a key source and a value source, each (batch, frames, d)."""
        key_source, value_source = key_value_states
        queries = self._heads(self.q_proj(hidden_states) * self.scaling)
        keys, values = self._heads(self.k_proj(key_source)), self._heads(self.v_proj(value_source))
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention_forward
        )
        dropout = self.dropout if self.training else 0.0
        output, weights = attend(self, queries, keys, values, attention_mask, dropout=dropout, scaling=1.0)
        return self.out_proj(output.flatten(2)), weights

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)


class AggregatorLayer(WhisperDecoderLayer):
    """Whisper decoder layer with `TwoSourceAttention`."""

    def __init__(self, config: WhisperConfig, layer_idx: int):
        super().__init__(config, layer_idx)
        self.encoder_attn = TwoSourceAttention(
            config.d_model,
            config.decoder_attention_heads,
            dropout=config.attention_dropout,
            is_decoder=True,
            layer_idx=layer_idx,
            config=config,
        )


class Aggregator(nn.Module):
    """Whisper-like decoder over ASR tokens, with Whisper's parameter names."""

    def __init__(self, config: WhisperConfig):
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.d_model)
        self.embed_positions = nn.Embedding(config.max_target_positions, config.d_model)
        self.layers = nn.ModuleList([AggregatorLayer(config, i) for i in range(config.decoder_layers)])
        self.layer_norm = nn.LayerNorm(config.d_model)
        for table in (self.embed_tokens, self.embed_positions):
            nn.init.normal_(table.weight, std=config.init_std)

    def forward(self, token_ids: Tensor, encoded: EncodedAudio) -> Tensor:
        """(batch, tokens) ids with the prefix -> (batch, tokens, d_model); causal."""
        length = token_ids.shape[1]
        positions = torch.arange(length, device=token_ids.device)
        hidden = self.embed_tokens(token_ids) + self.embed_positions(positions)
        causal = torch.full((length, length), torch.finfo(hidden.dtype).min, device=hidden.device)
        causal = causal.to(hidden.dtype).triu(1)[None, None]
        frame_mask = None if encoded.mask is None else additive_mask(encoded.mask, hidden.dtype)
        for layer in self.layers:
            # The layer only passes its encoder states to `encoder_attn`, so they can be a pair.
            hidden = layer(
                hidden,
                attention_mask=causal,
                encoder_hidden_states=(encoded.keys, encoded.values),
                encoder_attention_mask=frame_mask,
                use_cache=False,
            )
        return self.layer_norm(hidden)


def average_words(hidden: Tensor, word_ids: Tensor) -> Tensor:
    """Replace each token by the mean over its run of equal word ids.

    Args:
        hidden: (batch, tokens, d).
        word_ids: (batch, tokens); padding needs an id that differs from its neighbors, such as -1.
    """
    changes = word_ids[:, 1:] != word_ids[:, :-1]
    runs = torch.nn.functional.pad(changes.long().cumsum(1), (1, 0))  # (batch, tokens): index of the run
    index = runs[..., None].expand_as(hidden)
    sums = torch.zeros_like(hidden).scatter_add(1, index, hidden)
    counts = torch.zeros_like(hidden[..., 0]).scatter_add(1, runs, torch.ones_like(hidden[..., 0]))
    return (sums / counts.clamp(min=1)[..., None]).gather(1, index)


@dataclass(frozen=True)
class TowerOutput:
    """Result for each ASR token; tokens of one word share their values.

    Attributes:
        segmented: (batch, tokens, dim) before quantization.
        quantized: (batch, tokens, dim).
        indices: (batch, tokens, levels) int64, -1 beyond an item's length.
    """

    segmented: Tensor
    quantized: Tensor
    indices: Tensor


class AudioTower(nn.Module):
    """Whisper encoder, text-aligned aggregator and residual quantizer.

    Args:
        config: sizes of encoder and aggregator.
        joint, quantizer: published sections of the configuration.
        attn_implementation: "sdpa" or "eager".
    """

    def __init__(
        self,
        config: TowerConfig,
        joint: JointEncoderSegmenterConfig,
        quantizer: QuantizerConfig,
        attn_implementation: str = "sdpa",
    ):
        super().__init__()
        self.config = config
        self.joint = joint
        whisper = whisper_config(config, attn_implementation)
        self.encoder = WhisperEncoder(whisper)
        self.aggregator = Aggregator(whisper)
        self.quantizer = ResidualQuantizer(quantizer)

    @property
    def max_asr_tokens(self) -> int:
        """Maximum number of ASR tokens: size of the position table minus the prefix and the end token."""
        return self.config.max_target_positions - len(self.config.prefix_ids) - 1

    def encode(self, features: Tensor, n_frames: Tensor | None = None) -> EncodedAudio:
        """Encode log-mel features of whole utterances.

        Args:
            features: (batch, mel frames, bins); with `pad_to_max_source` they are padded with zeros to the
                full source length.
            n_frames: (batch,) mel frames of each item; ignored with `pad_to_max_source`.

        Raises:
            AudioError: the shape is wrong, or there are more frames than the encoder has positions.
        """
        if self.config.source_windows:
            return self._encode_in_windows(features, n_frames)
        if self.config.pad_to_max_source:
            n_frames = None
            missing = 2 * self.config.max_source_positions - features.shape[1]
            if missing < 0:
                raise AudioError(
                    f"the audio has {features.shape[1]} mel frames, but this checkpoint takes at most "
                    f"{2 * self.config.max_source_positions}; split it into shorter parts"
                )
            features = nn.functional.pad(features, (0, 0, 0, missing))
        return encode_features(self.encoder, features, self.joint.target_hidden_layer, n_frames)

    def _encode_in_windows(self, features: Tensor, n_frames: Tensor | None) -> EncodedAudio:
        """Encode each item in its window of `source_windows`, and remove the silence after it."""
        counts = [features.shape[1]] * len(features) if n_frames is None else n_frames.tolist()
        items = []
        for row, count in zip(features, counts, strict=True):
            window = 2 * self.config.window_of(count)
            if row.shape[0] < window:
                raise AudioError(
                    f"the audio has {row.shape[0]} mel frames and its window {window}; give the features as "
                    "TasteProcessor makes them, padded to the window"
                )
            encoded = encode_features(self.encoder, row[None, :window], self.joint.target_hidden_layer)
            own = encoder_frames(min(count, window))
            items.append(EncodedAudio(encoded.keys[:, :own], encoded.values[:, :own], None))
        return pad_together(items)

    def aggregate(self, encoded: EncodedAudio, asr_token_ids: Tensor, asr_word_ids: Tensor) -> Tensor:
        """Attend from the text to the audio; return vectors (batch, tokens, d_model) before quantization.

        Args:
            encoded: result of `encode`.
            asr_token_ids: (batch, tokens), padded on the right with any id.
            asr_word_ids: (batch, tokens), index of each token's word, -1 for padding.

        Raises:
            TextError: there are no tokens, or more than `max_asr_tokens`.
        """
        count = asr_token_ids.shape[-1]
        if not 0 < count <= self.max_asr_tokens:
            raise TextError(
                f"the text has {count} ASR tokens; expected 1 to {self.max_asr_tokens}; "
                "split it into shorter utterances"
            )
        device = encoded.keys.device
        prefix = torch.tensor(self.config.prefix_ids, device=device).expand(asr_token_ids.shape[0], -1)
        token_ids = torch.cat([prefix, asr_token_ids.to(device).long().clamp(min=0)], dim=1)
        # The published model appends an end token and drops its output; causal attention makes it needless.
        hidden = self.aggregator(token_ids, encoded)[:, self.joint.skip_prefix_idx :]
        return average_words(hidden, asr_word_ids.to(device)) if self.joint.is_word_level else hidden

    def forward(
        self,
        features: Tensor,
        asr_token_ids: Tensor,
        asr_token_lengths: Tensor,
        asr_word_ids: Tensor,
        n_frames: Tensor | None = None,
    ) -> TowerOutput:
        """Tokenize a batch of utterances; see `encode` and `aggregate` for the arguments.

        Args:
            asr_token_lengths: (batch,) number of valid ASR tokens of each item.
        """
        encoded = self.encode(features, n_frames)
        return self.tokenize(encoded, asr_token_ids, asr_token_lengths, asr_word_ids)

    def tokenize(
        self, encoded: EncodedAudio, asr_token_ids: Tensor, asr_token_lengths: Tensor, asr_word_ids: Tensor
    ) -> TowerOutput:
        """Do the same as `forward` for audio that is already encoded."""
        device = encoded.keys.device
        tokens = torch.arange(asr_token_ids.shape[1], device=device)
        mask = tokens < asr_token_lengths.to(device)[:, None]
        word_ids = asr_word_ids.to(device).long().masked_fill(~mask, -1)
        segmented = self.aggregate(encoded, asr_token_ids, word_ids)
        quantized, indices = self.quantizer.quantize(segmented, mask)
        return TowerOutput(segmented, quantized, indices)
