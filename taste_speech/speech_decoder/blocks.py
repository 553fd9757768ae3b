"""Encoders made of pre-norm blocks with relative attention: offline, or row by row on a cache.

The unit decoder's two condition encoders and its language model are causal; the flow's encoder looks
both ways. All share this code; the published names of the two kinds of block differ.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from taste_speech.speech_decoder.attention import (
    LayerCache,
    RelativeAttention,
    descending_offsets,
    sinusoids,
)

_TABLE_STEP = 256


@dataclass(frozen=True)
class EncoderSettings:
    """Sizes of an encoder.

    Attributes:
        transformer: blocks with ReLU and the names `norm1`, `norm2`; else SiLU, `norm_mha`, `norm_ff`.
        input_relu: the input layer ends with a ReLU ("linear_legacy").
        causal: row i sees rows 0..i only.
    """

    input_size: int
    size: int
    heads: int
    linear_units: int
    blocks: int
    transformer: bool = False
    input_relu: bool = False
    causal: bool = True
    dropout: float = 0.1
    positional_dropout: float = 0.1
    attention_dropout: float = 0.0


class FeedForward(nn.Module):
    """Two linear layers with an activation between."""

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
        before_attention, before_feed_forward = (getattr(self, name) for name in self._norms)
        return before_attention, before_feed_forward

    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        mask: Tensor | None = None,
        cache: LayerCache | None = None,
        start: int = 0,
        wants_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """As `RelativeAttention.forward`."""
        before_attention, before_feed_forward = self.norms
        attended, weights = self.self_attn(before_attention(x), positions, mask, cache, start, wants_weights)
        x = x + self.dropout(attended)
        return x + self.dropout(self.feed_forward(before_feed_forward(x))), weights


@dataclass
class EncoderState:
    """Rows that a causal encoder has seen: cached keys and values of all layers.

    Attributes:
        layers: one cache per block.
        positions: one (heads, offsets, head_dim) table per block, offsets descending to 0; shared.
        length: rows in the caches.
    """

    layers: list[LayerCache]
    positions: list[Tensor]
    length: int = 0

    @property
    def capacity(self) -> int:
        """Most rows that fit."""
        return self.layers[0].keys.shape[2]

    def clone(self) -> "EncoderState":
        """A state that goes on by itself."""
        layers = [LayerCache(layer.keys.clone(), layer.values.clone()) for layer in self.layers]
        return EncoderState(layers, self.positions, self.length)

    def reset(self) -> None:
        """Forgets all rows."""
        self.length = 0


@dataclass
class _PositionTables:
    """Projected position tables of the last use, and the weights that they belong to."""

    key: tuple[object, ...] = ()
    tables: list[Tensor] = field(default_factory=list)


class InputLayer(nn.Module):
    """Linear layer and LayerNorm (and ReLU), scaled by sqrt(size)."""

    def __init__(self, settings: EncoderSettings) -> None:
        super().__init__()
        layers = [
            nn.Linear(settings.input_size, settings.size),
            nn.LayerNorm(settings.size, eps=1e-5),
            nn.Dropout(settings.dropout),
        ]
        self.out = nn.Sequential(*layers, *([nn.ReLU()] if settings.input_relu else []))
        self.scale = math.sqrt(settings.size)
        self.dropout = nn.Dropout(settings.positional_dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(..., input_size) -> (..., size)."""
        return self.dropout(self.out(x) * self.scale)


class RelativeEncoder(nn.Module):
    """Input layer, blocks, final LayerNorm."""

    def __init__(self, settings: EncoderSettings) -> None:
        super().__init__()
        self.settings = settings
        self.embed = InputLayer(settings)
        self.encoders = nn.ModuleList(RelativeBlock(settings) for _ in range(settings.blocks))
        self.after_norm = nn.LayerNorm(settings.size, eps=1e-5)
        self._tables = _PositionTables()

    @property
    def blocks(self) -> list[RelativeBlock]:
        """The blocks, typed (the attribute has its published name)."""
        return cast(list[RelativeBlock], list(self.encoders))

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Whole sequences.

        Args:
            x: (batch, rows, input_size), padded on the right.
            lengths: (batch,) valid rows. Needed only when not causal: a causal row sees no padding.

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
    def new_state(self, capacity: int, batch: int = 1) -> EncoderState:
        """An empty state for at most `capacity` rows."""
        weight = self.after_norm.weight
        first = self.blocks[0].self_attn
        shape = (batch, first.heads, capacity, first.head_dim)
        layers = [LayerCache(weight.new_zeros(shape), weight.new_zeros(shape)) for _ in self.encoders]
        return EncoderState(layers, self._position_tables(capacity))

    def _position_tables(self, capacity: int) -> list[Tensor]:
        """Projected tables for at least `capacity` offsets; kept until the weights change."""
        attentions = [block.self_attn for block in self.blocks]
        weights = [attention.linear_pos.weight for attention in attentions]
        versions = [0 if w.is_inference() else w._version for w in weights]
        key = (weights[0].device, weights[0].dtype, *versions, *(w.data_ptr() for w in weights))
        if self._tables.key != key or self._tables.tables[0].shape[1] < capacity:
            size = math.ceil(capacity / _TABLE_STEP) * _TABLE_STEP
            vectors = sinusoids(descending_offsets(size - 1, 0, weights[0].device), self.settings.size)
            tables = [attention.project_positions(vectors).contiguous() for attention in attentions]
            self._tables = _PositionTables(key, tables)
        return self._tables.tables

    @torch.no_grad()
    def step(
        self,
        x: Tensor,
        state: EncoderState,
        weights_for: slice | None = None,
        weight_blocks: Collection[int] = (),
        visible: Mapping[int, Tensor] | None = None,
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """New rows after those in `state` (causal encoders only).

        Args:
            x: (batch, n, input_size).
            state: advanced by n rows.
            weights_for: keys whose attention weights are wanted,
            weight_blocks: in these blocks.
            visible: by block (heads, 1, keys): which rows each head may look at; other blocks look at all.

        Returns:
            (batch, n, size), and by block the weights (batch, heads, n, keys of `weights_for`).
        """
        rows, keys = x.shape[1], state.length + x.shape[1]
        if keys > state.capacity:
            raise ValueError(f"{keys} rows do not fit a state made for {state.capacity}; make a larger one")
        mask = None
        if rows > 1:
            mask = torch.ones((rows, keys), dtype=torch.bool, device=x.device).tril(state.length)
        x = self.embed(x)
        collected: dict[int, Tensor] = {}
        for index, block in enumerate(self.blocks):
            cache, table = state.layers[index], state.positions[index][:, -keys:]
            wanted = weights_for is not None and index in weight_blocks
            seen = mask
            if visible is not None and index in visible:
                seen = visible[index].to(x.device)
                seen = seen if mask is None else seen & mask
            x, weights = block(x, table, seen, cache, state.length, wanted)
            if weights is not None:
                collected[index] = weights[..., weights_for]
        state.length = keys
        return self.after_norm(x), collected
