"""Single rows of the spoken LM and the unit decoder on the CPU, and of the spoken LM with `torch.compile`."""

import math
from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM, StaticCache
from transformers.cache_utils import StaticLayer
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRMSNorm

from taste_speech.cpu import RowLinear, one_thread_if_small
from taste_speech.speech_decoder.decoding import UnitDecoderState
from taste_speech.speech_decoder.encoder import LayerCache, RelativeBlock
from taste_speech.speech_decoder.unit_decoder import UnitDecoder, alignment
from taste_speech.spoken_lm.language_model import ConversationCache, GrowingCache

_ANGLE_ROWS = 256
_CACHED_BYTES = 2**18
"""Size up to which values stay in a core's cache from one step to the next."""


class LlamaRows:
    """`SpokenLM.forward` for one row. It uses the Llama's own weights and keeps no state of a conversation.

    Args:
        llama: a float32 Llama on the CPU; its linear layers may store their weights in any type.
    """

    def __init__(self, llama: LlamaForCausalLM) -> None:
        self._llama = llama
        self._layers = [_LlamaLayerRow(layer, index) for index, layer in enumerate(llama.model.layers)]
        self._weights = sum(layer.weights for layer in self._layers) + llama.model.embed_tokens.weight.numel()
        self._rotary: nn.Module | None = None
        self._cosines = self._sines = torch.empty(0)

    def new_cache(self) -> GrowingCache:
        """Return an empty cache; the caller owns it."""
        return GrowingCache(len(self._layers))

    @torch.no_grad()
    def run(self, x: Tensor, cache: ConversationCache, last_only: bool) -> tuple[Tensor, Tensor] | None:
        """Run one row as `SpokenLM.forward` does; return None for several rows or another type of cache."""
        if x.shape[:2] != (1, 1) or not isinstance(cache, GrowingCache):
            return None
        with one_thread_if_small(self._weights):
            rotation = self._rotation(cache.get_seq_length())
            row = x[0]
            for layer in self._layers:
                row = layer(row, rotation, cache)
            hidden = _normed(row, self._llama.model.norm)[None]
            return hidden, self._llama.lm_head(hidden)

    def _rotation(self, position: int) -> tuple[Tensor, Tensor]:
        """Return cosines and sines of a position, (head_dim,) each, the sines of the first half negated."""
        rotary = self._llama.model.rotary_emb
        if rotary is not self._rotary or position >= len(self._cosines):
            rows = torch.arange(max(_ANGLE_ROWS, 2 * position))[None]
            cosines, sines = rotary(self._llama.model.norm.weight, rows)
            first, second = sines[0].chunk(2, dim=-1)
            self._rotary, self._cosines = rotary, cosines[0]
            self._sines = torch.cat([-first, second], dim=-1)
        return self._cosines[position], self._sines[position]


class _LlamaLayerRow:
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

    def __call__(self, x: Tensor, rotation: tuple[Tensor, Tensor], cache: GrowingCache) -> Tensor:
        """(1, hidden) -> (1, hidden)."""
        x = x + self._attend(_normed(x, self._before_attention), rotation, cache)
        normed = _normed(x, self._before_feed_forward)
        return x + self._down(self._activation(self._gate(normed)) * self._up(normed))

    def _attend(self, x: Tensor, rotation: tuple[Tensor, Tensor], cache: GrowingCache) -> Tensor:
        rotated = torch.cat([self._query(x), self._key(x)], dim=-1).view(-1, self._head_dim)
        rotated = _rotated(rotated, *rotation)
        query = rotated[: -self._key_heads].view(self._key_heads, -1, self._head_dim)
        key, value = rotated[None, -self._key_heads :, None], self._value(x)
        value = value.view(1, self._key_heads, 1, self._head_dim)
        keys, values = cache.layers[self._index].update(key, value)
        # The keys are the left factor so that they are read in memory order.
        by_key = torch.baddbmm(self._zero, keys[0], query.transpose(1, 2), beta=0, alpha=self._scale)
        _read_ahead(values)
        weights = torch.softmax(by_key.transpose(1, 2), dim=-1)
        return self._output(torch.bmm(weights, values[0]).view(1, -1))


def _read_ahead(x: Tensor) -> None:
    """Load a large `x` into the CPU cache.

    A sum reads it in memory order, at full memory bandwidth. The matrix product reads it in another order,
    which takes three times as long from memory, but not from the cache.
    """
    if x.nbytes > _CACHED_BYTES:
        x.sum()


def _normed(x: Tensor, norm: LlamaRMSNorm) -> Tensor:
    return F.rms_norm(x, norm.weight.shape, norm.weight, norm.variance_epsilon)


def _rotated(heads: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Apply the rotary embedding to (heads, head_dim)."""
    return torch.addcmul(heads * cosines, heads.roll(heads.shape[-1] // 2, -1), sines)


class UnitRows:
    """`UnitDecoder.step` for one unit. It holds the weights in the form that rows need, but no state.

    Args:
        decoder: a unit decoder in eval mode.
    """

    @torch.no_grad()
    def __init__(self, decoder: UnitDecoder) -> None:
        self._decoder, llm = decoder, decoder.llm
        self._weights = sum(weight.numel() for weight in llm.parameters())
        # The input layer's output depends on the unit only.
        self._inputs = llm.embed(decoder.speech_embedding.weight)
        self._blocks = [_BlockRow(block) for block in llm.blocks]
        self._head = RowLinear(decoder.llm_decoder)

    def __call__(self, unit: int, state: UnitDecoderState, align: bool) -> Tensor:
        """Feed a unit; return the next logits (1, vocabulary + 1).

        Args:
            align: whether to collect the attention to the condition in `state`.
        """
        x, encoder = self._inputs[unit : unit + 1], state.encoder
        weights: list[Tensor] = []
        with one_thread_if_small(self._weights):
            for block, cache, table in zip(self._blocks, encoder.layers, encoder.positions, strict=True):
                x, attention = block(x, cache, table, encoder.length)
                if align:
                    weights.append(attention[None, ..., state.condition])
            encoder.length += 1
            if weights:
                state.attention.append(alignment(weights)[0])
            return self._head(self._decoder.llm.after_norm(x))


class _BlockRow:
    """`RelativeBlock.forward` for one row."""

    def __init__(self, block: RelativeBlock) -> None:
        attention, feed_forward = block.self_attn, block.feed_forward
        self._shape = (3, attention.heads, 1, attention.head_dim)
        self._scale = attention.head_dim**-0.5
        self._biases = torch.stack([attention.pos_bias_u, attention.pos_bias_v])[:, :, None]
        self._inputs = RowLinear(attention.linear_q, attention.linear_k, attention.linear_v)
        self._output = RowLinear(attention.linear_out)
        self._before_attention, self._before_feed_forward = block.norms
        self._widen, self._narrow = RowLinear(feed_forward.w_1), RowLinear(feed_forward.w_2)
        self._activation = feed_forward.activation

    def __call__(self, x: Tensor, cache: LayerCache, table: Tensor, position: int) -> tuple[Tensor, Tensor]:
        """Process the row (1, size) at `position`; return the next (1, size) and (heads, 1, keys) attention.

        Args:
            cache: keys and values of earlier rows, to which this one is appended.
            table: (heads, offsets, head_dim), offsets descending to 0.
        """
        query, key, value = self._inputs(self._before_attention(x)).view(self._shape).unbind()
        keys, values = cache.write(position, key[None], value[None])
        by_content, by_place = (query + self._biases).unbind()
        places = table[:, table.shape[1] - position - 1 :]
        scores = torch.bmm(by_place, places.transpose(1, 2))
        scores = torch.baddbmm(
            scores, by_content, keys[0].transpose(1, 2), beta=self._scale, alpha=self._scale
        )
        weights = torch.softmax(scores, dim=-1)
        x = x + self._output(torch.bmm(weights, values[0]).view(x.shape))
        return x + self._narrow(self._activation(self._widen(self._before_feed_forward(x)))), weights


class CompiledRows:
    """Runs the Llama of the spoken LM; single rows are compiled once per cache size.

    It keeps no state of a conversation. A copied or unpickled model compiles again.

    Args:
        llama: a Llama on any device, of any data type.
        room: capacity of a new cache, in rows.
    """

    def __init__(self, llama: LlamaForCausalLM, backend: str, room: int) -> None:
        self._llama, self._backend, self._room = llama, backend, room
        self._compiled: Callable[[Tensor, StaticCache, bool], tuple[Tensor, Tensor]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the compiled function."""
        return self.__dict__ | {"_compiled": None}

    def new_cache(self) -> "StaticConversationCache":
        """Return an empty cache; the caller owns it."""
        return StaticConversationCache(self._llama.config, self._room)

    @torch.inference_mode()
    def run(self, x: Tensor, cache: ConversationCache, last_only: bool) -> tuple[Tensor, Tensor] | None:
        """Run rows as `SpokenLM.forward` does; return None for another type of cache."""
        if not isinstance(cache, StaticConversationCache):
            return None
        cache.make_room(x.shape[1])
        if x.shape[1] > 1 or not cache.is_initialized:
            return self._forward(x, cache, last_only)
        if self._compiled is None:
            # In this mode the default backend records CUDA graphs, which save most of a small step's time.
            mode = "reduce-overhead" if self._backend == "inductor" else None
            self._compiled = torch.compile(self._forward, fullgraph=True, backend=self._backend, mode=mode)
        hidden, logits = self._compiled(x, cache, True)
        return hidden.clone(), logits.clone()  # a CUDA graph reuses its output buffers

    def _forward(self, x: Tensor, cache: StaticCache, last_only: bool) -> tuple[Tensor, Tensor]:
        output = self._llama.model(inputs_embeds=x, past_key_values=cache, use_cache=True)
        hidden = output.last_hidden_state[:, -1:] if last_only else output.last_hidden_state
        return hidden, self._llama.lm_head(hidden)


class StaticConversationCache(StaticCache):
    """transformers' static cache, which can also be truncated, copied and enlarged.

    Args:
        room: initial capacity, in rows.
    """

    layers: list[StaticLayer]

    def __init__(self, config: LlamaConfig, room: int) -> None:
        super().__init__(config, max_cache_len=room)
        self._config = config

    @torch.inference_mode()
    def keep(self, rows: int) -> None:
        """Forget all rows except the first `rows`."""
        for layer in self.layers:
            layer.cumulative_length.clamp_(max=rows)

    @torch.inference_mode()
    def clone(self) -> Self:
        """Return an independent copy."""
        other = type(self)(self._config, self.layers[0].max_cache_len)
        other._take(self)
        return other

    @torch.inference_mode()
    def make_room(self, rows: int) -> None:
        """Double the capacity until `rows` more fit."""
        room, needed = self.layers[0].max_cache_len, int(self.get_seq_length()) + rows
        if needed <= room:
            return
        while room < needed:
            room *= 2
        larger = type(self)(self._config, room)
        larger._take(self)
        self.layers = larger.layers

    def _take(self, other: "StaticConversationCache") -> None:
        """Copy the rows of a cache of at most the same capacity."""
        for layer, source in zip(self.layers, other.layers, strict=True):
            if not source.is_initialized:
                continue
            layer.lazy_initialization(source.keys, source.values)
            layer.keys[:, :, : source.max_cache_len] = source.keys
            layer.values[:, :, : source.max_cache_len] = source.values
            layer.cumulative_length.copy_(source.cumulative_length)
