"""Linear layers for the CPU, where what counts for few rows is how many bytes of weights are read."""

import warnings
from typing import Any, Self

import torch
from torch import Tensor, nn


class HalfLinear(nn.Module):
    """Linear layers of one input as one: weights in half precision, inputs, sums and outputs in float32.

    FBGEMM, which multiplies, pads the inputs to a multiple of 512 (576 take the memory of 1,024, not their
    time). What it has packed cannot be written to, so copies share it.

    Args:
        layers: whose weights it takes over; their outputs lie side by side.
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
        """Return the same layer."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Store the weights unpacked: the product with the unit matrix gives them back exactly."""
        columns = torch.fbgemm_linear_fp16_weight_fp32_activation(
            torch.eye(self.in_features), self._packed, None
        )
        return _restored, (columns.T.half(), self._bias)


def _restored(weight: Tensor, bias: Tensor | None) -> HalfLinear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.weight.data = weight.float()
    if bias is not None:
        layer.bias.data = bias
    return HalfLinear(layer)


class RowLinear:
    """Linear layers of one input as one call, their outputs side by side.

    Weights that half precision holds exactly, as those of a checkpoint that is stored in it, are kept as
    such for this: half the bytes, the same numbers. Others are read where they are.

    Args:
        layers: with the same number of inputs.
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
    """Tell whether this PyTorch multiplies float32 rows by weights in half precision (on x86-64 it does)."""
    has_functions = hasattr(torch, "fbgemm_pack_gemm_matrix_fp16")
    return has_functions and "fbgemm" in torch.backends.quantized.supported_engines


def quantize(block: nn.Module, *names: str, each_output: bool = False) -> None:
    """Quantize the linear layers of a block to int8, in place: weights once, activations at each call.

    Args:
        block: holds the layers.
        names: of the layers; none: all of them.
        each_output: give each output a scale of its own, which is finer.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the function is on its way out of torch itself
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
    """(outputs, inputs) in half precision, in the order in which FBGEMM reads them."""
    with warnings.catch_warnings():
        # PyTorch warns once that the functions may go; then `can_pack` is false.
        warnings.simplefilter("ignore")
        packed = torch.fbgemm_pack_gemm_matrix_fp16(weight)
        zeros = weight.new_zeros(1, weight.shape[1])
        torch.fbgemm_linear_fp16_weight_fp32_activation(zeros, packed, weight.new_zeros(len(weight)))
    return packed
