"""Key-value cache that appends in place: a step costs the same however long the history is."""

import copy
from typing import Any, Protocol, Self

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
        """Append (batch, heads, rows, head dim); return the keys and values of all rows so far."""
        begin, end = self.length, self.length + key_states.shape[-2]
        if not self.is_initialized or end > self.keys.shape[-2]:
            self._grow(key_states, value_states, end)
        self.keys[..., begin:end, :] = key_states
        self.values[..., begin:end, :] = value_states
        self.length = end
        return self.keys[..., :end, :], self.values[..., :end, :]

    def get_seq_length(self) -> int:
        """Return how many rows it holds."""
        return self.length

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return length and offset of the keys that `query_length` new rows attend to."""
        return self.length + query_length, 0

    def _grow(self, keys: Tensor, values: Tensor, needed: int) -> None:
        """Make room for `needed` rows like these; what is not used yet is zero."""
        self.dtype, self.device = keys.dtype, keys.device
        capacity = max(needed, _FIRST_CAPACITY, 2 * self.length)
        for name, new in (("keys", keys), ("values", values)):
            buffer = new.new_zeros(*new.shape[:-2], capacity, new.shape[-1])
            if self.length:
                buffer[..., : self.length, :] = getattr(self, name)[..., : self.length, :]
            setattr(self, name, buffer)
        self.is_initialized = True


class GrowingCache(Cache):
    """`GrowingLayer`s of a model with `num_layers` layers. Not for training: rows are written in place."""

    def __init__(self, num_layers: int) -> None:
        super().__init__(layers=[GrowingLayer() for _ in range(num_layers)])

    def keep(self, rows: int) -> None:
        """Forget all rows but the first `rows`."""
        for layer in self.layers:
            layer.length = min(layer.length, rows)

    def clone(self) -> Self:
        """Return a cache with its own memory."""
        return copy.deepcopy(self)
