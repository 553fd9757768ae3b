"""A small memory of states by what was said."""

import hashlib
import threading
import weakref
from collections import OrderedDict
from typing import Any, Generic, Protocol, Self, TypeVar

from torch import Tensor


class _Clonable(Protocol):
    def clone(self) -> Self: ...


State = TypeVar("State", bound=_Clonable)


class RecentStates(Generic[State]):
    """The last states of a function by what was said, for each model.

    Token ids cannot carry the phase of the voice or the end of the sound; this memory does. It holds few
    entries, none of which outlives its model, and is safe to use from several threads.
    """

    _SIZE = 8

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._states: weakref.WeakKeyDictionary[Any, OrderedDict[bytes, State]] = weakref.WeakKeyDictionary()

    def find(self, model: Any, key: bytes) -> State | None:
        """A clone of the state of `key`, if it is still here."""
        with self._lock:
            state = self._states.get(model, OrderedDict()).get(key)
            return None if state is None else state.clone()

    def keep(self, model: Any, key: bytes, state: State) -> None:
        """Remembers a clone of `state`; the oldest one is forgotten."""
        with self._lock:
            states = self._states.setdefault(model, OrderedDict())
            states[key] = state.clone()
            states.move_to_end(key)
            while len(states) > self._SIZE:
                states.popitem(last=False)


def key_of(
    speaker_embeds: Tensor, rate: int, text_ids: Tensor, taste_ids: Tensor, speech_ids: Tensor
) -> bytes:
    """Digest of a voice, a rate, and what it has said."""
    digest = hashlib.sha256(str(rate).encode())
    digest.update(speaker_embeds.detach().float().cpu().numpy().tobytes())
    for ids in (text_ids, taste_ids, speech_ids):
        digest.update(str(tuple(ids.shape)).encode() + ids.long().cpu().numpy().tobytes())
    return digest.digest()
