"""Key-value cache that appends in place: a step costs the same however long the history is."""

from typing import Any, Self, cast

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import DynamicLayer

_FIRST_CAPACITY = 64


class GrowingLayer(DynamicLayer):
    """Keys and values of one layer in a buffer that doubles when it is full.

    transformers' own layer concatenates, which copies the whole history at every step.
    """

    is_sliding = False
    is_initialized: bool
    keys: Any
    values: Any

    def __init__(self, first_capacity: int = _FIRST_CAPACITY) -> None:
        super().__init__()
        self.length = 0
        self._first_capacity = first_capacity

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Append (batch, heads, rows, head dim); returns the keys and values of all rows so far."""
        begin, end = self.length, self.length + key_states.shape[-2]
        if not self.is_initialized or end > self.keys.shape[-2]:
            self.grow(key_states, value_states, end)
        self.keys[..., begin:end, :] = key_states
        self.values[..., begin:end, :] = value_states
        self.length = end
        return self.keys[..., :end, :], self.values[..., :end, :]

    def get_seq_length(self) -> int:
        """Rows held."""
        return self.length

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length and offset of the keys that `query_length` new rows attend to."""
        return self.length + query_length, 0

    def keep(self, rows: int) -> None:
        """Forget all rows but the first `rows`."""
        self.length = min(self.length, rows)

    def copy(self) -> "GrowingLayer":
        """A layer with its own memory."""
        other = GrowingLayer(self._first_capacity)
        other.is_initialized, other.length = self.is_initialized, self.length
        if self.is_initialized:
            other.dtype, other.device = self.dtype, self.device
            other.keys, other.values = self.keys.clone(), self.values.clone()
        return other

    def grow(self, keys: Tensor, values: Tensor, needed: int) -> None:
        """Make room for `needed` rows like these; what is not used yet is zero."""
        old = (self.keys, self.values) if self.is_initialized else None
        self.dtype, self.device = keys.dtype, keys.device
        capacity = max(needed, self._first_capacity, 2 * self.length)
        self.keys, self.values = (
            torch.zeros(*new.shape[:-2], capacity, new.shape[-1], dtype=new.dtype, device=new.device)
            for new in (keys, values)
        )
        if old is not None:
            self.keys[..., : self.length, :] = old[0][..., : self.length, :]
            self.values[..., : self.length, :] = old[1][..., : self.length, :]
        self.is_initialized = True


class GrowingCache(Cache):
    """`GrowingLayer`s of a model with `num_layers` layers. Not for training: rows are written in place.

    Args:
        num_layers: of the model.
        first_capacity: rows that there is room for before the first growth.
    """

    def __init__(self, num_layers: int, first_capacity: int = _FIRST_CAPACITY) -> None:
        super().__init__(layers=[GrowingLayer(first_capacity) for _ in range(num_layers)])

    @property
    def _own_layers(self) -> list[GrowingLayer]:
        return cast(list[GrowingLayer], self.layers)

    def keep(self, rows: int) -> None:
        """Forget all rows but the first `rows`."""
        for layer in self._own_layers:
            layer.keep(rows)

    def clone(self) -> Self:
        """A cache with its own memory."""
        other = type(self)(0)
        other.layers = [layer.copy() for layer in self._own_layers]
        return other

    @property
    def capacity(self) -> int:
        """Rows that there is room for; the cache holds some already."""
        return int(self._own_layers[0].keys.shape[-2])

    @property
    def address(self) -> int:
        """Where the first buffer lies: it changes when the cache has grown."""
        return int(self._own_layers[0].keys.data_ptr())

    def buffers(self, layer_index: int) -> tuple[Tensor, Tensor]:
        """Keys and values of a layer, (batch, heads, capacity, head dim) each."""
        layer = self._own_layers[layer_index]
        return layer.keys, layer.values

    def make_room(self, rows: int) -> None:
        """Grow to hold `rows` rows."""
        if rows > self.capacity:
            for layer in self._own_layers:
                layer.grow(layer.keys, layer.values, rows)

    def advance(self) -> None:
        """Count a row that was written into `buffers`."""
        for layer in self._own_layers:
            layer.length += 1
