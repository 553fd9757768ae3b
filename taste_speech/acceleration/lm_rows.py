"""One row through the Llama of the spoken LM on the CPU, with as few calls and bytes as it takes."""

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from taste_speech.acceleration.prepared import Prepared
from taste_speech.acceleration.row_linear import RowLinear
from taste_speech.acceleration.threads import threads_of_a_row
from taste_speech.spoken_lm.kv_cache import GrowingCache

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM
    from transformers.models.llama.modeling_llama import LlamaDecoderLayer

_ANGLE_ROWS = 256
# Keys, or values, of more bytes do not stay in a core's cache from one step to the next.
_CACHED_BYTES = 2**18


class LlamaRowRunner:
    """`SpokenLM.forward` for one row, with the Llama's weights in the form that rows need; keeps no state."""

    def __init__(self) -> None:
        self._rows = Prepared[_LlamaRows]()

    @torch.no_grad()
    def step(self, llama: "LlamaForCausalLM", x: Tensor, cache: GrowingCache) -> tuple[Tensor, Tensor]:
        """(1, 1, hidden) new row -> (1, 1, hidden) state and (1, 1, vocabulary) logits; extends the cache."""
        weights = (*llama.parameters(), llama.model.rotary_emb.inv_freq)
        rows = self._rows.of(weights, lambda: _LlamaRows(llama))
        with threads_of_a_row(rows.weights):
            hidden, logits = rows.step(x[0], cache)
        return hidden[None], logits[None]


class _LlamaRows:
    def __init__(self, llama: "LlamaForCausalLM") -> None:
        self._model = llama.model
        self.weights = llama.num_parameters()
        self._layers = [_LayerRow(layer, index) for index, layer in enumerate(llama.model.layers)]
        self._head = RowLinear(llama.lm_head)
        self._cosines, self._sines = self._angles(_ANGLE_ROWS)

    def step(self, x: Tensor, cache: GrowingCache) -> tuple[Tensor, Tensor]:
        """(1, hidden) -> (1, hidden) and (1, vocabulary)."""
        turn = self._rotation(cache.get_seq_length())
        for layer in self._layers:
            x = layer(x, turn, cache)
        hidden = _normed(x, self._model.norm)
        return hidden, self._head(hidden)

    def _rotation(self, position: int) -> tuple[Tensor, Tensor]:
        """Cosines and sines of a position, (head_dim,) each."""
        if position >= len(self._cosines):
            self._cosines, self._sines = self._angles(2 * position)
        return self._cosines[position], self._sines[position]

    def _angles(self, rows: int) -> tuple[Tensor, Tensor]:
        cosines, sines = self._model.rotary_emb(self._model.norm.weight, torch.arange(rows)[None])
        return cosines[0], sines[0]


class _LayerRow:
    """`LlamaDecoderLayer` for one row."""

    def __init__(self, layer: "LlamaDecoderLayer", index: int) -> None:
        attention, feed_forward = layer.self_attn, layer.mlp
        self._index, self._layer, self._head_dim = index, layer, attention.head_dim
        self._inputs = RowLinear(attention.q_proj, attention.k_proj, attention.v_proj)
        self._output = RowLinear(attention.o_proj)
        self._widen = RowLinear(feed_forward.gate_proj, feed_forward.up_proj)
        self._narrow = RowLinear(feed_forward.down_proj)
        self._key_heads = attention.k_proj.out_features // self._head_dim

    def __call__(self, x: Tensor, turn: tuple[Tensor, Tensor], cache: GrowingCache) -> Tensor:
        """(1, hidden) -> (1, hidden)."""
        x = x + self._attend(_normed(x, self._layer.input_layernorm), turn, cache)
        gate, up = self._widen(_normed(x, self._layer.post_attention_layernorm)).chunk(2, dim=-1)
        return x + self._narrow(self._layer.mlp.act_fn(gate) * up)

    def _attend(self, x: Tensor, turn: tuple[Tensor, Tensor], cache: GrowingCache) -> Tensor:
        heads = self._inputs(x).view(-1, self._head_dim)  # of queries, keys, values
        turned = _turned(heads[: -self._key_heads], turn)
        query = turned[: -self._key_heads].view(self._key_heads, -1, self._head_dim)
        key, value = turned[-self._key_heads :], heads[-self._key_heads :]
        keys, values = cache.layers[self._index].update(key[None, :, None], value[None, :, None])
        _read_ahead(keys)
        scores = torch.bmm(query, keys[0].transpose(1, 2)) * (1 / math.sqrt(self._head_dim))
        _read_ahead(values)
        return self._output(torch.bmm(torch.softmax(scores, dim=-1), values[0]).view(1, -1))


def _read_ahead(x: Tensor) -> None:
    """Bring a long `x` into the cache.

    A sum reads it in the order of its addresses, as fast as memory gives it. The matrix product reads it in
    another order, for which memory takes three times as long; from the cache both are quick.
    """
    if x.nbytes > _CACHED_BYTES:
        x.sum()


def _normed(x: Tensor, norm: Any) -> Tensor:
    return F.rms_norm(x, norm.weight.shape, norm.weight, norm.variance_epsilon)


def _turned(heads: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary embedding of (heads, head_dim)."""
    cosines, sines = turn
    first, second = heads.chunk(2, dim=-1)
    return heads * cosines + torch.cat([-second, first], dim=-1) * sines
