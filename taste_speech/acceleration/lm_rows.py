"""One row through the Llama of the spoken LM on the CPU, with as few calls and bytes as it takes."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRMSNorm

from taste_speech.cpu import one_thread_if_small
from taste_speech.spoken_lm.kv_cache import ConversationCache, GrowingCache

_ANGLE_ROWS = 256
# Values of more bytes do not stay in a core's cache from one step to the next.
_CACHED_BYTES = 2**18


class LlamaRows:
    """`SpokenLM.forward` for one row; it reads the Llama's own weights and keeps nothing of a conversation.

    Args:
        llama: computes in float32 on the CPU; its linear layers may hold their weights in any form.
    """

    def __init__(self, llama: LlamaForCausalLM) -> None:
        self._llama = llama
        self._layers = [_LayerRow(layer, index) for index, layer in enumerate(llama.model.layers)]
        self._weights = sum(layer.weights for layer in self._layers) + llama.model.embed_tokens.weight.numel()
        self._rotary: nn.Module | None = None
        self._cosines = self._sines = torch.empty(0)

    def new_cache(self) -> GrowingCache:
        """Return an empty cache; the caller owns it."""
        return GrowingCache(len(self._layers))

    @torch.no_grad()
    def run(self, x: Tensor, cache: ConversationCache, last_only: bool) -> tuple[Tensor, Tensor] | None:
        """Run one row as `SpokenLM.forward` does; more rows, and other caches, are left to it."""
        if x.shape[:2] != (1, 1) or not isinstance(cache, GrowingCache):
            return None
        with one_thread_if_small(self._weights):
            turn = self._rotation(cache.get_seq_length())
            row = x[0]
            for layer in self._layers:
                row = layer(row, turn, cache)
            hidden = _normed(row, self._llama.model.norm)[None]
            return hidden, self._llama.lm_head(hidden)

    def _rotation(self, position: int) -> tuple[Tensor, Tensor]:
        """Cosines and sines of a position, (head_dim,) each, the sines of the first half negated."""
        rotary = self._llama.model.rotary_emb
        if rotary is not self._rotary or position >= len(self._cosines):
            rows = torch.arange(max(_ANGLE_ROWS, 2 * position))[None]
            cosines, sines = rotary(self._llama.model.norm.weight, rows)
            first, second = sines[0].chunk(2, dim=-1)
            self._rotary, self._cosines = rotary, cosines[0]
            self._sines = torch.cat([-first, second], dim=-1)
        return self._cosines[position], self._sines[position]


class _LayerRow:
    """`LlamaDecoderLayer` for one row."""

    def __init__(self, layer: LlamaDecoderLayer, index: int) -> None:
        attention, feed_forward = layer.self_attn, layer.mlp
        self._index, self._head_dim = index, attention.head_dim
        self._scale, self._zero = 1 / math.sqrt(attention.head_dim), torch.zeros(1, 1, 1)
        self._before_attention = layer.input_layernorm
        self._before_feed_forward = layer.post_attention_layernorm
        self._query, self._key, self._value = attention.q_proj, attention.k_proj, attention.v_proj
        self._output, self._activation = attention.o_proj, feed_forward.act_fn
        self._gate, self._up = feed_forward.gate_proj, feed_forward.up_proj
        self._down = feed_forward.down_proj
        self._key_heads = self._key.out_features // self._head_dim
        linear = (self._query, self._key, self._value, self._output, self._gate, self._up, self._down)
        self.weights = sum(part.in_features * part.out_features for part in linear)

    def __call__(self, x: Tensor, turn: tuple[Tensor, Tensor], cache: GrowingCache) -> Tensor:
        """(1, hidden) -> (1, hidden)."""
        x = x + self._attend(_normed(x, self._before_attention), turn, cache)
        normed = _normed(x, self._before_feed_forward)
        return x + self._down(self._activation(self._gate(normed)) * self._up(normed))

    def _attend(self, x: Tensor, turn: tuple[Tensor, Tensor], cache: GrowingCache) -> Tensor:
        turned = torch.cat([self._query(x), self._key(x)], dim=-1).view(-1, self._head_dim)
        turned = _turned(turned, turn)
        query = turned[: -self._key_heads].view(self._key_heads, -1, self._head_dim)
        key, value = turned[None, -self._key_heads :, None], self._value(x)
        value = value.view(1, self._key_heads, 1, self._head_dim)
        keys, values = cache.layers[self._index].update(key, value)
        # The keys are the left factor, so that they are read in the order in which they lie in memory.
        by_key = torch.baddbmm(self._zero, keys[0], query.transpose(1, 2), beta=0, alpha=self._scale)
        _read_ahead(values)
        weights = torch.softmax(by_key.transpose(1, 2), dim=-1)
        return self._output(torch.bmm(weights, values[0]).view(1, -1))


def _read_ahead(x: Tensor) -> None:
    """Bring a long `x` into the cache.

    A sum reads it in the order of its addresses, as fast as memory gives it. The matrix product reads it in
    another order, for which memory takes three times as long; from the cache both are quick.
    """
    if x.nbytes > _CACHED_BYTES:
        x.sum()


def _normed(x: Tensor, norm: LlamaRMSNorm) -> Tensor:
    return F.rms_norm(x, norm.weight.shape, norm.weight, norm.variance_epsilon)


def _turned(heads: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary embedding of (heads, head_dim)."""
    cosines, sines = turn
    return torch.addcmul(heads * cosines, heads.roll(heads.shape[-1] // 2, -1), sines)
