"""Fast inference on the CPU, where the bytes of weights that a step reads decide how long it takes."""

import ctypes
import platform
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

_MOST_WEIGHTS_FOR_ONE_THREAD = 20_000_000


class HalfLinear(nn.Module):
    """Linear layers of the same input, merged into one. Weights are float16; inputs and outputs are float32.

    FBGEMM does the product. Its packed weights are read-only, so copies of the layer share them.

    Args:
        layers: the layers to merge; their outputs are concatenated.
    """

    def __init__(self, *layers: nn.Linear) -> None:
        super().__init__()
        self.in_features = layers[0].in_features
        self.out_features = sum(layer.out_features for layer in layers)
        self.count = sum(p.numel() for layer in layers for p in layer.parameters())
        weights = [layer.weight.detach() for layer in layers]
        self._packed = _pack(torch.cat(weights) if len(weights) > 1 else weights[0])
        self._bias = None
        if any(layer.bias is not None for layer in layers):
            self._bias = torch.cat([_bias(layer) for layer in layers])

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs), float32."""
        return torch.fbgemm_linear_fp16_weight_fp32_activation(x, self._packed, self._bias)

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the unpacked weights: multiplying by the identity matrix recovers them exactly."""
        identity = torch.eye(self.in_features)
        columns = torch.fbgemm_linear_fp16_weight_fp32_activation(identity, self._packed, None)
        return _restored, (columns.T.half(), self._bias)


def _restored(weight: Tensor, bias: Tensor | None) -> HalfLinear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.weight.data = weight.float()
    if bias is not None:
        layer.bias.data = bias
    return HalfLinear(layer)


class RowLinear:
    """Linear layers of the same input, called as one.

    If float16 represents all weights exactly, a packed float16 copy is used: half the bytes, the same
    numbers. Otherwise the layers themselves are called.

    Args:
        layers: the layers to call; their outputs are concatenated.
    """

    def __init__(self, *layers: nn.Linear) -> None:
        exact = can_pack() and all(_is_exact_in_half(layer.weight) for layer in layers)
        self._packed = HalfLinear(*layers) if exact else None
        self._layers = () if exact else layers

    def __call__(self, x: Tensor) -> Tensor:
        """(rows, inputs) -> (rows, outputs of all layers)."""
        if self._packed is not None:
            return self._packed.forward(x)
        if len(self._layers) == 1:
            return self._layers[0](x)
        return torch.cat([layer(x) for layer in self._layers], dim=-1)


def can_pack() -> bool:
    """Return whether this PyTorch can multiply float32 rows by packed float16 weights (x86-64 builds can)."""
    has_functions = hasattr(torch, "fbgemm_pack_gemm_matrix_fp16")
    return has_functions and "fbgemm" in torch.backends.quantized.supported_engines


def quantize(block: nn.Module, *names: str, each_output: bool = False) -> None:
    """Quantize linear layers to int8 in place: weights once, activations at each call.

    Args:
        block: the module that contains the layers.
        names: names of the layers; empty means all of them.
        each_output: use one scale per output instead of one per layer, which is more accurate.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch has deprecated the function
        ao = torch.ao.quantization
        kind = ao.per_channel_dynamic_qconfig if each_output else ao.default_dynamic_qconfig
        which = dict.fromkeys(names or [nn.Linear], kind)
        ao.quantize_dynamic(block, which, dtype=torch.qint8, inplace=True)


def _is_exact_in_half(weight: Tensor) -> bool:
    on_cpu = weight.device.type == "cpu" and weight.dtype == torch.float32
    return on_cpu and torch.equal(weight.half().float(), weight)


def _bias(layer: nn.Linear) -> Tensor:
    return layer.weight.new_zeros(layer.out_features) if layer.bias is None else layer.bias.detach()


def _pack(weight: Tensor) -> Tensor:
    with warnings.catch_warnings():
        # On first use both functions warn that they are deprecated; without them `can_pack` is false.
        warnings.simplefilter("ignore")
        packed = torch.fbgemm_pack_gemm_matrix_fp16(weight)
        zeros = weight.new_zeros(1, weight.shape[1])
        torch.fbgemm_linear_fp16_weight_fp32_activation(zeros, packed, weight.new_zeros(len(weight)))
    return packed


@contextmanager
def one_thread_if_small(weights: int) -> Iterator[None]:
    """Run PyTorch on one thread inside the block if the work is too small to split.

    Only the calling thread is affected.

    Args:
        weights: number of weights that the work reads.
    """
    before = torch.get_num_threads()
    if before == 1 or weights > _MOST_WEIGHTS_FOR_ONE_THREAD:
        yield
        return
    set_threads = _set_threads_of_caller()
    set_threads(1)
    try:
        yield
    finally:
        set_threads(before)


@cache
def _set_threads_of_caller() -> Callable[[int], None]:
    """Return a function that sets the number of threads for the calling thread only.

    `torch.set_num_threads` also sets the default for threads that start later: one that starts inside the
    block would stay on one thread. It is used only if OpenMP and MKL cannot be called directly.
    """
    try:
        library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
        set_openmp, set_mkl = library.omp_set_num_threads, library.MKL_Set_Num_Threads_Local
    except (OSError, AttributeError):
        return torch.set_num_threads

    def set_threads(number: int) -> None:
        set_openmp(number)
        set_mkl(number)

    return set_threads


def cpu_name() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
