"""Linear layers for one row at a time, where what counts is how many bytes of weights are read."""

import warnings

import torch
from torch import Tensor, nn


class RowLinear:
    """Linear layers of one input as one call, their outputs side by side; on the CPU.

    Weights that half precision holds exactly, as those of a checkpoint that is stored in it, are kept as
    such for this: half the bytes, the same numbers, float32 arithmetic. Others are read where they are.

    Args:
        layers: with the same number of inputs.
    """

    def __init__(self, *layers: nn.Linear) -> None:
        self._layers = layers
        self._packed = self._bias = None
        with torch.inference_mode(False), torch.no_grad():
            if can_pack() and all(_is_exact_in_half(layer.weight) for layer in layers):
                self._packed = pack(torch.cat([layer.weight for layer in layers]))
                self._bias = torch.cat([_bias(layer) for layer in layers])
                self._layers = ()  # whoever has no other use for them need not keep them

    def __call__(self, x: Tensor) -> Tensor:
        """(rows, inputs) -> (rows, outputs of all layers)."""
        if self._packed is not None:
            return torch.fbgemm_linear_fp16_weight_fp32_activation(x, self._packed, self._bias)
        if len(self._layers) == 1:
            return self._layers[0](x)
        return torch.cat([layer(x) for layer in self._layers], dim=-1)


def can_pack() -> bool:
    """Whether this PyTorch multiplies float32 rows by weights in half precision (on x86-64 it does)."""
    has_functions = hasattr(torch, "fbgemm_pack_gemm_matrix_fp16")
    return has_functions and "fbgemm" in torch.backends.quantized.supported_engines


def _is_exact_in_half(weight: Tensor) -> bool:
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and torch.equal(weight.half().float(), weight)
    )


def _bias(layer: nn.Linear) -> Tensor:
    return layer.weight.new_zeros(layer.out_features) if layer.bias is None else layer.bias


def pack(weight: Tensor) -> Tensor:
    """(outputs, inputs) in half precision, in the order in which `fbgemm_linear_fp16_weight_*` reads them."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # torch warns once that the functions may go; then `can_pack` is false
        packed = torch.fbgemm_pack_gemm_matrix_fp16(weight)
        zeros = weight.new_zeros(1, weight.shape[1])
        torch.fbgemm_linear_fp16_weight_fp32_activation(zeros, packed, weight.new_zeros(len(weight)))
    return packed
