"""A GPU that is none: tensors say they are on it, and what mixes them with others fails as on a real one.

The values are kept and computed on the CPU, so that what depends on values works too.
"""

from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("meta")
_aten = torch.ops.aten
# These may take tensors of several devices.
_CROSSING = {
    _aten._to_copy.default,
    _aten.copy_.default,
    _aten.index.Tensor,
    _aten._index_put_impl_.default,
}


class OnDevice(Tensor):
    """A tensor that says it is on `DEVICE`; its values are `held` on the CPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "OnDevice":
        tensor = torch.Tensor._make_wrapper_subclass(
            cls, held.shape, held.stride(), held.storage_offset(), dtype=held.dtype, device=DEVICE
        )
        tensor.held = held
        return tensor

    def tolist(self) -> Any:
        return self.held.tolist()

    def new_tensor(self, data: Any) -> Tensor:
        return self.held.new_tensor(data).to(DEVICE)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(func, args, kwargs or {})


class PretendedDevice(ExitStack):
    """While it is entered, tensors can be made on `DEVICE` and moved there."""

    def __enter__(self) -> "PretendedDevice":
        super().__enter__()
        self.enter_context(_Functions())
        self.enter_context(_Operators())
        return self


class _Functions(TorchFunctionMode):
    """What does not come to `_Operators` as it would with a real device."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.tensor:
            return func(*args, **kwargs | {"device": "cpu"}).to(kwargs.get("device", "cpu"))
        if func is functional.ctc_loss:  # takes targets and lengths of the CPU too
            args = [arg.to(args[0].device) for arg in args]
        return func(*args, **kwargs)


class _Operators(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(func, args, kwargs or {})


def moved(module: nn.Module) -> nn.Module:
    """The module with its parameters and buffers on `DEVICE`."""
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            part._parameters[name] = nn.Parameter(OnDevice(parameter.detach()), parameter.requires_grad)
        for name, buffer in part.named_buffers(recurse=False):
            part._buffers[name] = OnDevice(buffer)
    return module


def _compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    assert not any(t.is_meta and not isinstance(t, OnDevice) for t in tensors), f"{func} gets no values"
    there = any(isinstance(tensor, OnDevice) for tensor in tensors)
    if there and func not in _CROSSING:
        others = [tuple(t.shape) for t in tensors if t.ndim and not isinstance(t, OnDevice)]
        assert not others, f"{func} gets tensors of {DEVICE} and, of the CPU, {others}"
    if kwargs.get("device") is not None:
        there = torch.device(kwargs["device"]).type == DEVICE.type
        kwargs = kwargs | {"device": torch.device("cpu")}
    elif func is _aten.copy_.default:
        there = isinstance(args[0], OnDevice)
    if there:
        assert kwargs.get("generator") is None, f"{func} on {DEVICE} gets a generator of the CPU"
    known = {id(tensor.held): tensor for tensor in tensors if isinstance(tensor, OnDevice)}
    given = tree_map(lambda leaf: leaf.held if isinstance(leaf, OnDevice) else leaf, (args, kwargs))
    result = func(*given[0], **given[1])
    if there and torch.Tag.inplace_view in func.tags:  # a new shape for a tensor that stays the same
        with no_dispatch():
            func(*args, **kwargs)

    def as_there(leaf: Any) -> Any:
        return known.get(id(leaf), OnDevice(leaf)) if there and isinstance(leaf, Tensor) else leaf

    return tree_map(as_there, result)
