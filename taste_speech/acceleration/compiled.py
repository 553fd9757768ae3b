"""Rows of the spoken LM with `torch.compile` and transformers' static cache."""

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, StaticCache
from transformers.cache_utils import StaticLayer

from taste_speech.spoken_lm.language_model import ConversationCache


class CompiledRows:
    """Runs the Llama of the spoken LM; single rows are compiled once per cache size.

    It keeps no state of a conversation. A copied or unpickled model compiles again.

    Args:
        llama: a Llama on any device, of any data type.
        backend: backend of `torch.compile`.
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
        config: configuration of the Llama.
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
