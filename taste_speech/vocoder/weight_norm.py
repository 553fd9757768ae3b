"""Weight-normalized 1-D convolutions that keep the published parameter names `weight_g` and `weight_v`.

The effective weight is `v * g / |v|`, the norm taken over all dimensions but the first (Salimans and
Kingma, 2016). For a transposed convolution the first dimension is the *input* channel.

torch's own parametrization does not serve: its state dict has other names, a model with it cannot be pickled,
and folding it for inference throws away the parts that are stored.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class WeightNormConv(nn.Module):
    """Common part: the parameters, the effective weight, and its folded copy for inference."""

    folded: Tensor | None

    def __init__(self, weight_shape: tuple[int, int, int], bias_size: int, init_std: float | None) -> None:
        super().__init__()
        self.weight_v = nn.Parameter(torch.empty(weight_shape))
        self.weight_g = nn.Parameter(torch.empty(weight_shape[0], 1, 1))
        self.bias = nn.Parameter(torch.empty(bias_size))
        self.register_buffer("folded", None, persistent=False)
        self._reset_parameters(init_std)

    def _reset_parameters(self, init_std: float | None) -> None:
        fan_in = self.weight_v[0].numel()
        if init_std is None:
            nn.init.uniform_(self.weight_v, -(fan_in**-0.5), fan_in**-0.5)
        else:
            nn.init.normal_(self.weight_v, 0.0, init_std)
        nn.init.uniform_(self.bias, -(fan_in**-0.5), fan_in**-0.5)
        with torch.no_grad():
            self.weight_g.copy_(self.weight_v.norm(dim=(1, 2), keepdim=True))

    def effective_weight(self) -> Tensor:
        """Return the weight to convolve with: the folded one outside of training, if there is one."""
        if self.folded is not None and not self.training:
            return self.folded
        return self.weight_v * (self.weight_g / self.weight_v.norm(dim=(1, 2), keepdim=True))

    def fold(self) -> None:
        """Compute the effective weight once, for inference."""
        with torch.no_grad():
            self.folded = None
            self.folded = self.effective_weight().detach()

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], *args: Any) -> None:
        self.folded = None  # belongs to the weights that are being replaced
        super()._load_from_state_dict(state_dict, *args)


class Conv1d(WeightNormConv):
    """Weight-normalized convolution of stride 1 with "same" padding (odd kernels)."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, dilation: int = 1, init_std: float | None = None
    ) -> None:
        super().__init__((outputs, inputs, kernel), outputs, init_std)
        self.dilation = dilation
        self.padding = dilation * (kernel - 1) // 2

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, frames) -> (batch, outputs, frames)."""
        return F.conv1d(x, self.effective_weight(), self.bias, 1, self.padding, self.dilation)


class ConvTranspose1d(WeightNormConv):
    """Weight-normalized transposed convolution that multiplies the length by `stride`."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, init_std: float | None = None
    ) -> None:
        super().__init__((inputs, outputs, kernel), outputs, init_std)
        if (kernel - stride) % 2:
            raise ValueError(
                f"upsampling kernel {kernel} with rate {stride}: their difference must be even; "
                f"use a kernel of {2 * stride}"
            )
        self.stride = stride
        self.padding = (kernel - stride) // 2

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, frames) -> (batch, outputs, frames * stride)."""
        return F.conv_transpose1d(x, self.effective_weight(), self.bias, self.stride, self.padding)


def fold_weight_norm(module: nn.Module) -> None:
    """Fold every weight-normalized convolution inside `module`; training mode still uses the parts."""
    for part in module.modules():
        if isinstance(part, WeightNormConv):
            part.fold()
