"""Text-aligned aggregator: ASR tokens attend to the encoded audio; the tokens of a word share their mean.

After TASTE (arXiv:2504.07053), section 3.1: the attention weights come from the encoder's last layer, which
knows the text, the attended values from an earlier layer, which still holds how it was said.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import (
    ALL_ATTENTION_FUNCTIONS,
    WhisperAttention,
    WhisperDecoderLayer,
    eager_attention_forward,
)

from taste_speech.audio_tower.encoder import EncodedAudio, additive_mask


class TwoSourceAttention(WhisperAttention):
    """Whisper cross-attention whose keys and values are projections of two different hidden states."""

    def forward(
        self,
        hidden_states: Tensor,
        key_value_states: tuple[Tensor, Tensor],
        attention_mask: Tensor | None = None,
        **_: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend from (batch, tokens, d) to the pair (key source, value source), each (batch, frames, d)."""
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
    """Whisper-shaped decoder over ASR tokens; parameter names below it are Whisper's."""

    def __init__(self, config: WhisperConfig):
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.d_model)
        self.embed_positions = nn.Embedding(config.max_target_positions, config.d_model)
        self.layers = nn.ModuleList([AggregatorLayer(config, i) for i in range(config.decoder_layers)])
        self.layer_norm = nn.LayerNorm(config.d_model)
        for table in (self.embed_tokens, self.embed_positions):
            nn.init.normal_(table.weight, std=config.init_std)

    def forward(self, token_ids: Tensor, encoded: EncodedAudio) -> Tensor:
        """(batch, tokens) ids, prefix included -> (batch, tokens, d_model); causal over the tokens."""
        length = token_ids.shape[1]
        positions = torch.arange(length, device=token_ids.device)
        hidden = self.embed_tokens(token_ids) + self.embed_positions(positions)
        causal = torch.full((length, length), torch.finfo(hidden.dtype).min, device=hidden.device)
        causal = causal.to(hidden.dtype).triu(1)[None, None]
        frame_mask = None if encoded.mask is None else additive_mask(encoded.mask, hidden.dtype)
        for layer in self.layers:
            # The layer only hands its encoder states on to `encoder_attn`, so they may be a pair.
            hidden = layer(
                hidden,
                attention_mask=causal,
                encoder_hidden_states=(encoded.keys, encoded.values),
                encoder_attention_mask=frame_mask,
                use_cache=False,
            )
        return self.layer_norm(hidden)


def average_words(hidden: Tensor, word_ids: Tensor) -> Tensor:
    """Give every token the mean over its run of equal word ids.

    Args:
        hidden: (batch, tokens, d).
        word_ids: (batch, tokens); padding has an id that no neighbouring word has, such as -1.
    """
    changes = word_ids[:, 1:] != word_ids[:, :-1]
    runs = torch.nn.functional.pad(changes.long().cumsum(1), (1, 0))  # (batch, tokens): index of the run
    index = runs[..., None].expand_as(hidden)
    sums = torch.zeros_like(hidden).scatter_add(1, index, hidden)
    counts = torch.zeros_like(hidden[..., 0]).scatter_add(1, runs, torch.ones_like(hidden[..., 0]))
    return (sums / counts.clamp(min=1)[..., None]).gather(1, index)
