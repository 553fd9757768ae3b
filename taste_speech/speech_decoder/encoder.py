"""Pre-norm encoders with relative attention, for whole sequences or for new rows after cached ones.

For query i and key j of one head (Transformer-XL, Dai et al. 2019; signed offsets as in ESPnet):

    score(i, j) = [(q_i + u) . k_j + (q_i + v) . (W_pos r_(i-j))] / sqrt(head_dim)

with r_d the sinusoid of the signed offset d = i - j, positive when the key lies to the left.

The unit decoder's language model is causal, and the flow's encoder is bidirectional; the two condition
encoders of the unit decoder can be either. The published names of the two kinds of block differ.
"""

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_TABLE_STEP = 256


@dataclass(frozen=True)
class EncoderSettings:
    """Sizes of an encoder.

    Attributes:
        transformer: whether the blocks have ReLU and the norms `norm1` and `norm2`, and the input layer ends
            with a ReLU; else the blocks have SiLU and the norms `norm_mha` and `norm_ff`.
        causal: whether row i sees only rows 0..i.
    """

    input_size: int
    size: int
    heads: int
    linear_units: int
    blocks: int
    transformer: bool = False
    causal: bool = True
    dropout: float = 0.1
    positional_dropout: float = 0.1
    attention_dropout: float = 0.0


def sinusoids(offsets: Tensor, size: int) -> Tensor:
    """(n,) signed offsets -> (n, size): sin in even, cos in odd columns, frequencies 10000^(-2m/size)."""
    exponents = torch.arange(0, size, 2, device=offsets.device, dtype=torch.float32) / size
    angles = offsets.float()[:, None] * torch.exp(-math.log(10000.0) * exponents)
    return torch.stack([torch.sin(angles), torch.cos(angles)], dim=-1).flatten(1)[:, :size]


def descending_offsets(highest: int, lowest: int, device: torch.device) -> Tensor:
    """Return the offsets highest, highest - 1, ..., lowest, in the order that `relative_shift` expects."""
    return torch.arange(highest, lowest - 1, -1, device=device)


def relative_shift(scores: Tensor, keys: int) -> Tensor:
    """Convert scores by offset into scores by key.

    Args:
        scores: (..., n, offsets), where column c is offset keys - 1 - c. Either `keys` columns (offsets >= 0;
            results right of the diagonal are undefined) or keys + n - 1 columns (all offsets).
        keys: number of keys. The n queries are the last n positions.

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
        """Write new rows at `start`; return all rows up to their end."""
        end = start + keys.shape[2]
        self.keys[:, :, start:end] = keys
        self.values[:, :, start:end] = values
        return self.keys[:, :, :end], self.values[:, :, :end]


class RelativeAttention(nn.Module):
    """Multi-head attention as in the formula above."""

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
        """Attend from new rows to the cached rows and to the new rows.

        Args:
            x: (batch, n, size), the new rows.
            positions: (heads, offsets, head_dim), projected, offsets descending (`relative_shift`).
            mask: true where a query may attend, broadcastable to (batch, heads, n, keys); None: everywhere.
            cache: keys and values of earlier rows, to which the new ones are appended; None: no earlier rows.
            start: number of rows in the cache.
            wants_weights: whether to also return the attention weights, which is slower.

        Returns:
            (batch, n, size), and None or the weights (batch, heads, n, keys).
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


class FeedForward(nn.Module):
    """Two linear layers with an activation in between."""

    def __init__(self, size: int, hidden: int, activation: nn.Module, dropout: float) -> None:
        super().__init__()
        self.w_1 = nn.Linear(size, hidden)
        self.activation = activation
        self.dropout = nn.Dropout(dropout)
        self.w_2 = nn.Linear(hidden, size)

    def forward(self, x: Tensor) -> Tensor:
        """(..., size) -> (..., size)."""
        return self.w_2(self.dropout(self.activation(self.w_1(x))))


class RelativeBlock(nn.Module):
    """x + attention(norm(x)), then x + feed_forward(norm(x))."""

    def __init__(self, settings: EncoderSettings) -> None:
        super().__init__()
        size = settings.size
        activation = nn.ReLU() if settings.transformer else nn.SiLU()
        self.self_attn = RelativeAttention(size, settings.heads, settings.attention_dropout)
        self.feed_forward = FeedForward(size, settings.linear_units, activation, settings.dropout)
        self._norms = ("norm1", "norm2") if settings.transformer else ("norm_mha", "norm_ff")
        for name in self._norms:
            self.add_module(name, nn.LayerNorm(size, eps=1e-5))
        self.dropout = nn.Dropout(settings.dropout)

    @property
    def norms(self) -> tuple[nn.Module, nn.Module]:
        """The layer norms before attention and before the feed-forward layers."""
        return getattr(self, self._norms[0]), getattr(self, self._norms[1])

    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        mask: Tensor | None = None,
        cache: LayerCache | None = None,
        start: int = 0,
        wants_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Do the same as `RelativeAttention.forward`, for the whole block."""
        before_attention, before_feed_forward = self.norms
        attended, weights = self.self_attn(before_attention(x), positions, mask, cache, start, wants_weights)
        x = x + self.dropout(attended)
        return x + self.dropout(self.feed_forward(before_feed_forward(x))), weights


@dataclass
class EncoderState:
    """Cached keys and values of the rows that a causal encoder has seen.

    Attributes:
        layers: one cache per block.
        positions: one (heads, offsets, head_dim) table per block, with offsets descending to 0. All states
            share them.
        length: number of rows in the caches.
    """

    layers: list[LayerCache]
    positions: list[Tensor]
    length: int = 0


class InputLayer(nn.Module):
    """Linear layer, LayerNorm and optional ReLU, scaled by sqrt(size)."""

    def __init__(self, settings: EncoderSettings) -> None:
        super().__init__()
        layers = [
            nn.Linear(settings.input_size, settings.size),
            nn.LayerNorm(settings.size, eps=1e-5),
            nn.Dropout(settings.dropout),
        ]
        self.out = nn.Sequential(*layers, *([nn.ReLU()] if settings.transformer else []))
        self.scale = math.sqrt(settings.size)
        self.dropout = nn.Dropout(settings.positional_dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(..., input_size) -> (..., size)."""
        return self.dropout(self.out(x) * self.scale)


class RelativeEncoder(nn.Module):
    """Input layer, blocks and final LayerNorm."""

    def __init__(self, settings: EncoderSettings) -> None:
        super().__init__()
        self.settings = settings
        self.embed = InputLayer(settings)
        self.encoders = nn.ModuleList(RelativeBlock(settings) for _ in range(settings.blocks))
        self.after_norm = nn.LayerNorm(settings.size, eps=1e-5)
        self._tables: list[Tensor] = []
        self._tables_of: tuple[object, ...] = ()

    @property
    def blocks(self) -> list[RelativeBlock]:
        """The blocks, with their type; `encoders` is the published name."""
        return cast(list[RelativeBlock], list(self.encoders))

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Encode whole sequences.

        Args:
            x: (batch, rows, input_size), padded on the right.
            lengths: (batch,) valid rows. Causal encoders do not need it: their rows see no padding.

        Returns:
            (batch, rows, size).
        """
        rows = x.shape[1]
        offsets = descending_offsets(rows - 1, 0 if self.settings.causal else 1 - rows, x.device)
        vectors = sinusoids(offsets, self.settings.size)
        mask = self._mask(rows, lengths, x.device)
        x = self.embed(x)
        for block in self.blocks:
            x, _ = block(x, block.self_attn.project_positions(vectors), mask)
        return self.after_norm(x)

    def _mask(self, rows: int, lengths: Tensor | None, device: torch.device) -> Tensor | None:
        if self.settings.causal:
            return torch.ones((rows, rows), dtype=torch.bool, device=device).tril()
        if lengths is None:
            return None
        return (torch.arange(rows, device=device) < lengths[:, None])[:, None, None]

    @torch.no_grad()
    def new_state(self, capacity: int) -> EncoderState:
        """Return an empty state for one item of at most `capacity` rows."""
        weight, first = self.after_norm.weight, self.blocks[0].self_attn
        shape = (1, first.heads, capacity, first.head_dim)
        layers = [LayerCache(weight.new_zeros(shape), weight.new_zeros(shape)) for _ in self.encoders]
        return EncoderState(layers, self._position_tables(capacity))

    def _position_tables(self, capacity: int) -> list[Tensor]:
        """Return tables for at least `capacity` offsets, which are kept until the weights change."""
        attentions = [block.self_attn for block in self.blocks]
        weights = [attention.linear_pos.weight for attention in attentions]
        versions = [0 if weight.is_inference() else weight._version for weight in weights]
        key = (weights[0].device, weights[0].dtype, *versions, *(weight.data_ptr() for weight in weights))
        if self._tables_of != key or self._tables[0].shape[1] < capacity:
            size = math.ceil(capacity / _TABLE_STEP) * _TABLE_STEP
            vectors = sinusoids(descending_offsets(size - 1, 0, weights[0].device), self.settings.size)
            self._tables_of = key
            self._tables = [attention.project_positions(vectors).contiguous() for attention in attentions]
        return self._tables

    @torch.no_grad()
    def step(
        self,
        x: Tensor,
        state: EncoderState,
        weights_for: slice | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Encode new rows after those in `state` (causal encoders only).

        Args:
            x: (1, n, input_size).
            state: state to advance by n rows.
            weights_for: keys whose attention weights to return; None: no weights.

        Returns:
            (1, n, size), and of each block the weights (1, heads, n, keys of `weights_for`).

        Raises:
            ValueError: the rows do not fit into the state.
        """
        rows, keys, capacity = x.shape[1], state.length + x.shape[1], state.layers[0].keys.shape[2]
        if keys > capacity:
            raise ValueError(f"{keys} rows do not fit into a state made for {capacity}; create a larger one")
        mask = None
        if rows > 1:
            mask = torch.ones((rows, keys), dtype=torch.bool, device=x.device).tril(state.length)
        x = self.embed(x)
        collected: list[Tensor] = []
        for block, cache, table in zip(self.blocks, state.layers, state.positions, strict=True):
            x, weights = block(x, table[:, -keys:], mask, cache, state.length, weights_for is not None)
            if weights is not None:
                collected.append(weights[..., weights_for])
        state.length = keys
        return self.after_norm(x), collected
