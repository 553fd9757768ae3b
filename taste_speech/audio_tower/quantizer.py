"""Residual vector quantizer: one vector <-> one row of codebook indices, a taste token."""

import torch
from torch import Tensor, nn

from taste_speech.configuration_sections import QuantizerConfig

NO_TASTE = -1
"""In every tensor of codes: there is no taste token here. As the index of a taste token: there is none."""


class ResidualQuantizer(nn.Module):
    """Quantizes vectors of width `dim` in a projected space of width `codebook_dim`.

    Level q takes the codebook entry nearest to what the levels before it left over. Distances are computed
    in float32 whatever the weights' dtype, because near ties would flip with less.
    """

    def __init__(self, config: QuantizerConfig):
        super().__init__()
        self.project_in = nn.Linear(config.dim, config.codebook_dim)
        self.project_out = nn.Linear(config.codebook_dim, config.dim)
        shape = (config.num_quantizers, config.codebook_size, config.codebook_dim)
        self.codebooks = nn.Parameter(torch.randn(shape) * 0.02)

    @property
    def num_quantizers(self) -> int:
        """Levels, the width of a taste token."""
        return self.codebooks.shape[0]

    def quantize(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Replace vectors by their quantized form.

        In training mode the gradient passes straight through the quantization to `x`.

        Args:
            x: (..., dim).
            mask: (...), false where there is nothing to quantize: the indices there are -1, the codes zero.

        Returns:
            (..., dim) output (the output bias where masked) and (..., levels) int64 indices.
        """
        projected = self.project_in(x.to(self.project_in.weight.dtype))
        codes, indices = self.search(projected, mask)
        if self.training:
            codes = projected + (codes - projected).detach()
        return self.project_out(codes.to(projected.dtype)), indices

    def search(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Find the residual codes nearest to (..., codebook_dim): float32 sum and (..., levels) indices."""
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
        """(..., up to `levels`) indices -> (..., levels, codebook_dim); -1 and missing levels give zeros."""
        missing = self.num_quantizers - indices.shape[-1]
        indices = nn.functional.pad(indices, (0, missing), value=NO_TASTE)
        levels = torch.arange(self.num_quantizers, device=indices.device)
        codes = self.codebooks[levels, indices.clamp(min=0)]
        return codes * (indices != NO_TASTE)[..., None]

    def code_from_indices(self, indices: Tensor) -> Tensor:
        """(..., up to `levels`) indices -> (..., codebook_dim): the sum of the levels' codes."""
        return self.codes_from_indices(indices).sum(-2)

    def output_from_indices(self, indices: Tensor) -> Tensor:
        """(..., up to `levels`) indices -> (..., dim): what `quantize` put out for them."""
        return self.project_out(self.code_from_indices(indices))

    def indices_from_code(self, code: Tensor) -> Tensor:
        """(..., codebook_dim) -> (..., levels): residual search without the input projection."""
        return self.search(code)[1]
