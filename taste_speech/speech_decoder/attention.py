"""Self-attention with relative positions, for a whole sequence or for new rows on a cache.

For query i and key j of one head (Transformer-XL, Dai et al. 2019; signed offsets as in ESPnet):

    score(i, j) = [(q_i + u) . k_j + (q_i + v) . (W_pos r_(i-j))] / sqrt(head_dim)

with r_d the sinusoid of the signed offset d = i - j, positive when the key lies to the left.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def sinusoids(offsets: Tensor, size: int) -> Tensor:
    """(n,) signed offsets -> (n, size): sin in even, cos in odd columns, frequencies 10000^(-2m/size)."""
    exponents = torch.arange(0, size, 2, device=offsets.device, dtype=torch.float32) / size
    angles = offsets.float()[:, None] * torch.exp(-math.log(10000.0) * exponents)
    return torch.stack([torch.sin(angles), torch.cos(angles)], dim=-1).flatten(1)[:, :size]


def descending_offsets(highest: int, lowest: int, device: torch.device) -> Tensor:
    """Offsets highest, highest - 1, ..., lowest: the order in which `relative_shift` expects them."""
    return torch.arange(highest, lowest - 1, -1, device=device)


def relative_shift(scores: Tensor, keys: int) -> Tensor:
    """From scores by offset to scores by key.

    Args:
        scores: (..., n, offsets), column c = offset keys - 1 - c; either `keys` columns (offsets >= 0,
            results right of the diagonal are meaningless) or keys + n - 1 columns (all offsets).
        keys: number of keys; the n queries are the last n positions.

    Returns:
        (..., n, keys).
    """
    *lead, rows, columns = scores.shape
    if rows == 1:
        return scores[..., :keys]
    flat = F.pad(scores, (1, 0)).flatten(-2)[..., rows:]
    return flat.reshape(*lead, rows, columns)[..., :keys]


@dataclass
class LayerCache:
    """Keys and values of one layer: (batch, heads, capacity, head_dim), filled from the left."""

    keys: Tensor
    values: Tensor

    def write(self, start: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Stores new rows at `start` and returns everything up to their end."""
        end = start + keys.shape[2]
        self.keys[:, :, start:end] = keys
        self.values[:, :, start:end] = values
        return self.keys[:, :, :end], self.values[:, :, :end]


class RelativeAttention(nn.Module):
    """Multi-head attention of the formula above."""

    def __init__(self, size: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if size % heads:
            raise ValueError(f"attention size {size} with {heads} heads: the size must be a multiple of them")
        self.heads, self.head_dim, self.dropout = heads, size // heads, dropout
        self.linear_q = nn.Linear(size, size)
        self.linear_k = nn.Linear(size, size)
        self.linear_v = nn.Linear(size, size)
        self.linear_out = nn.Linear(size, size)
        self.linear_pos = nn.Linear(size, size, bias=False)
        self.pos_bias_u = nn.Parameter(torch.empty(heads, self.head_dim))
        self.pos_bias_v = nn.Parameter(torch.empty(heads, self.head_dim))
        nn.init.xavier_uniform_(self.pos_bias_u)
        nn.init.xavier_uniform_(self.pos_bias_v)

    def _split(self, x: Tensor) -> Tensor:
        """(batch, rows, size) -> (batch, heads, rows, head_dim)."""
        return x.unflatten(-1, (self.heads, self.head_dim)).transpose(1, 2)

    def project_positions(self, vectors: Tensor) -> Tensor:
        """(offsets, size) sinusoids -> (heads, offsets, head_dim)."""
        projected = self.linear_pos(vectors.to(self.linear_pos.weight.dtype))
        return projected.unflatten(-1, (self.heads, self.head_dim)).transpose(0, 1)

    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        mask: Tensor | None = None,
        cache: LayerCache | None = None,
        start: int = 0,
        wants_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attention of new rows over the cached rows and themselves.

        Args:
            x: (batch, n, size), the new rows.
            positions: (heads, offsets, head_dim), projected, offsets descending (`relative_shift`).
            mask: True where a query may look, broadcastable to (batch, heads, n, keys); None: everywhere.
            cache: keys and values before the new rows, which are added to it; None: there are none.
            start: number of rows in the cache.
            wants_weights: also return the attention (slower).

        Returns:
            (batch, n, size), and None or (batch, heads, n, keys).
        """
        query = self._split(self.linear_q(x))
        keys, values = self._split(self.linear_k(x)), self._split(self.linear_v(x))
        if cache is not None:
            keys, values = cache.write(start, keys, values)
        by_offset = (query + self.pos_bias_v[:, None]) @ positions.transpose(-1, -2)
        bias = relative_shift(by_offset, keys.shape[2]) * self.head_dim**-0.5
        if mask is not None:
            bias = bias.masked_fill(~mask, -math.inf)
        query = query + self.pos_bias_u[:, None]
        weights = None
        if wants_weights:
            scores = query @ keys.transpose(-1, -2) * self.head_dim**-0.5 + bias
            weights = torch.softmax(scores, dim=-1)
            out = weights @ values
        else:
            dropout = self.dropout if self.training else 0.0
            out = F.scaled_dot_product_attention(query, keys, values, bias, dropout)
        return self.linear_out(out.transpose(1, 2).flatten(2)), weights
