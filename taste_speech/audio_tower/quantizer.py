"""Residual vector quantizer: one vector <-> one row of codebook indices, a taste token."""

import torch
from torch import Tensor, nn

from taste_speech.configuration_sections import QuantizerConfig

NO_TASTE = -1
"""Code or index that stands for "no taste token"."""


class ResidualQuantizer(nn.Module):
    """Quantizes vectors of width `dim` in a projected space of width `codebook_dim`.

    Each level takes the codebook entry closest to the residual of the levels before it. Distances are always
    computed in float32, because near ties would flip at lower precision.
    """

    def __init__(self, config: QuantizerConfig):
        super().__init__()
        self.project_in = nn.Linear(config.dim, config.codebook_dim)
        self.project_out = nn.Linear(config.codebook_dim, config.dim)
        shape = (config.num_quantizers, config.codebook_size, config.codebook_dim)
        self.codebooks = nn.Parameter(torch.randn(shape) * 0.02)

    @property
    def num_quantizers(self) -> int:
        """Number of levels, which is the length of a taste token."""
        return self.codebooks.shape[0]

    def quantize(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Quantize vectors. In training mode the gradient passes straight through to `x`.

        Args:
            x: (..., dim).
            mask: (...), false where there is nothing to quantize; codes are zero and indices -1 there.

        Returns:
            quantized vectors (..., dim) and int64 indices (..., levels).
        """
        projected = self.project_in(x.to(self.project_in.weight.dtype))
        codes, indices = self.search(projected, mask)
        if self.training:
            codes = projected + (codes - projected).detach()
        return self.project_out(codes.to(projected.dtype)), indices

    def search(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(..., codebook_dim) -> float32 sum and indices (..., levels) of the closest residual codes."""
        residual = x.float()
        levels, total = [], torch.zeros_like(residual)
        for codebook in self.codebooks.float():
            products = residual @ codebook.T
            distances = residual.square().sum(-1, keepdim=True) + codebook.square().sum(-1) - 2 * products
            index = distances.argmin(-1)
            code = codebook[index]
            if mask is not None:
                code = code * mask[..., None]
                index = index.masked_fill(~mask, NO_TASTE)
            residual = residual - code
            total = total + code
            levels.append(index)
        return total, torch.stack(levels, dim=-1)

    def codes_from_indices(self, indices: Tensor) -> Tensor:
        """(..., up to `levels`) indices -> (..., levels, codebook_dim); zeros for -1 and missing levels."""
        missing = self.num_quantizers - indices.shape[-1]
        indices = nn.functional.pad(indices, (0, missing), value=NO_TASTE)
        levels = torch.arange(self.num_quantizers, device=indices.device)
        codes = self.codebooks[levels, indices.clamp(min=0)]
        return codes * (indices != NO_TASTE)[..., None]

    def code_from_indices(self, indices: Tensor) -> Tensor:
        """(..., up to `levels`) indices -> (..., codebook_dim), the sum of the codes."""
        return self.codes_from_indices(indices).sum(-2)

    def output_from_indices(self, indices: Tensor) -> Tensor:
        """(..., up to `levels`) indices -> (..., dim), as `quantize` returns."""
        return self.project_out(self.code_from_indices(indices))

    def indices_from_code(self, code: Tensor) -> Tensor:
        """(..., codebook_dim) -> (..., levels), without the input projection."""
        return self.search(code)[1]
