"""Key-value cache that appends in place: a step costs the same however long the history is."""

from typing import Any, Protocol, Self, cast

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import DynamicLayer

_FIRST_CAPACITY = 64


class ConversationCache(Protocol):
    """Keys and values of a conversation, which can be cut back and copied."""

    def keep(self, rows: int) -> None:
        """Forget all rows but the first `rows`."""

    def clone(self) -> Self:
        """Return a cache with its own memory."""


class GrowingLayer(DynamicLayer):
    """Keys and values of one layer in a buffer that doubles when it is full.

    transformers' own layer concatenates, which copies the whole history at every step.
    """

    is_sliding = False
    is_initialized: bool
    keys: Any
    values: Any

    def __init__(self) -> None:
        super().__init__()
        self.length = 0

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Append (batch, heads, rows, head dim); returns the keys and values of all rows so far."""
        begin, end = self.length, self.length + key_states.shape[-2]
        if not self.is_initialized or end > self.keys.shape[-2]:
            self._grow(key_states, value_states, end)
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

    def copy(self) -> Self:
        """Return a layer with its own memory."""
        other = type(self)()
        other.is_initialized, other.length = self.is_initialized, self.length
        if self.is_initialized:
            other.dtype, other.device = self.dtype, self.device
            other.keys, other.values = self.keys.clone(), self.values.clone()
        return other

    def _grow(self, keys: Tensor, values: Tensor, needed: int) -> None:
        """Make room for `needed` rows like these; what is not used yet is zero."""
        old = (self.keys, self.values) if self.is_initialized else None
        self.dtype, self.device = keys.dtype, keys.device
        capacity = max(needed, _FIRST_CAPACITY, 2 * self.length)
        self.keys, self.values = (
            torch.zeros(*new.shape[:-2], capacity, new.shape[-1], dtype=new.dtype, device=new.device)
            for new in (keys, values)
        )
        if old is not None:
            self.keys[..., : self.length, :] = old[0][..., : self.length, :]
            self.values[..., : self.length, :] = old[1][..., : self.length, :]
        self.is_initialized = True


class GrowingCache(Cache):
    """`GrowingLayer`s of a model with `num_layers` layers. Not for training: rows are written in place."""

    def __init__(self, num_layers: int) -> None:
        super().__init__(layers=[GrowingLayer() for _ in range(num_layers)])

    @property
    def _own_layers(self) -> list[GrowingLayer]:
        return cast(list[GrowingLayer], self.layers)

    def keep(self, rows: int) -> None:
        """Forget all rows but the first `rows`."""
        for layer in self._own_layers:
            layer.length = min(layer.length, rows)

    def clone(self) -> Self:
        """Return a cache with its own memory."""
        other = type(self)(0)
        other.layers = [layer.copy() for layer in self._own_layers]
        return other
