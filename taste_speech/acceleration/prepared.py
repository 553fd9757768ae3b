"""Weights in the form in which a fast path reads them."""

import threading
from collections.abc import Callable, Iterable
from typing import Generic, Self, TypeVar

from torch import Tensor

Form = TypeVar("Form")


class Prepared(Generic[Form]):
    """Something made of weights, made again when these change; a copied model makes its own."""

    def __init__(self) -> None:
        self._form: Form | None = None
        self._weights: tuple[int, ...] = ()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[Self], tuple[()]]:
        """Nothing is copied or stored: a form belongs to the weights that it was made of."""
        return type(self), ()

    def of(self, weights: Iterable[Tensor], make: Callable[[], Form]) -> Form:
        """What `make` made of these weights."""
        found = fingerprint(weights)
        with self._lock:
            if self._form is None or found != self._weights:
                self._form, self._weights = make(), found
            return self._form


def fingerprint(tensors: Iterable[Tensor]) -> tuple[int, ...]:
    """Differs when a tensor was replaced or written to: what was packed is then out of date."""
    return tuple(part for x in tensors for part in (x.data_ptr(), 0 if x.is_inference() else x._version))
