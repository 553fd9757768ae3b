"""Units of one item on the CPU: each step is one row, with as few calls and bytes as it takes."""

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from taste_speech.acceleration.prepared import Prepared
from taste_speech.acceleration.row_linear import RowLinear
from taste_speech.acceleration.threads import threads_of_a_row
from taste_speech.speech_decoder.attention import LayerCache

if TYPE_CHECKING:
    from taste_speech.speech_decoder.blocks import RelativeBlock
    from taste_speech.speech_decoder.unit_decoder import UnitDecoder, UnitDecoderState


class UnitRowRunner:
    """Replaces the steps of `UnitDecoder.generate_with_alignment`: same units for the same generator.

    It keeps the decoder's weights in the form that rows need, and nothing of an item.
    """

    def __init__(self) -> None:
        self._rows = Prepared[UnitRows]()

    @torch.no_grad()
    def generate(
        self,
        decoder: "UnitDecoder",
        prefix: Tensor,
        forced_units: Tensor | None,
        limits: tuple[int, int],
        generator: torch.Generator | None,
        greedy: bool,
        align: bool,
        said_tokens: int = 0,
    ) -> tuple[list[int], Tensor]:
        """As `UnitRunner.generate`."""
        forced = 0 if forced_units is None else forced_units.shape[1]
        rows = self._rows_of(decoder)
        capacity = prefix.shape[1] + forced + limits[1]
        logits, state = decoder.start(prefix, capacity, forced_units, align, said_tokens=said_tokens)
        looked_at = state.condition if align or state.window is not None else None
        with threads_of_a_row(rows.weights):
            ids = decoder.draw(
                logits, state, limits, generator, greedy, lambda unit: rows.step(unit, state, looked_at)
            )
        attention = torch.stack(state.attention)[: forced + len(ids)] if align else prefix.new_zeros(0, 0)
        return ids, attention

    def _rows_of(self, decoder: "UnitDecoder") -> "UnitRows":
        parts = (decoder.llm, decoder.llm_decoder)
        weights = [weight for part in parts for weight in part.parameters()]
        return self._rows.of((*weights, decoder.speech_embedding.weight), lambda: UnitRows(decoder))


class UnitRows:
    """`UnitDecoder.step` for one unit; the decoder is in eval mode."""

    def __init__(self, decoder: "UnitDecoder") -> None:
        self._decoder, llm = decoder, decoder.llm
        self.weights = sum(weight.numel() for weight in llm.parameters())
        # What the input layer makes of a unit depends on nothing else.
        self._inputs = llm.embed(decoder.speech_embedding.weight).split(1)
        self._blocks = [_BlockRow(cast("RelativeBlock", block)) for block in llm.encoders]
        self._head = RowLinear(decoder.llm_decoder)

    def step(self, unit: int, state: "UnitDecoderState", looked_at: slice | None) -> Tensor:
        """Feeds a unit; returns logits (1, vocabulary + 1) of what follows.

        Args:
            unit: id.
            state: advanced by one row.
            looked_at: rows on which the attention is collected in `state`; a window needs them.
        """
        decoder, encoder, window = self._decoder, state.encoder, state.window
        x: Tensor = self._inputs[unit]
        visible = {} if window is None else window.visible(encoder.length + 1)
        weights: dict[int, Tensor] = {}
        for index, block in enumerate(self._blocks):
            x, looks = block(
                x, encoder.layers[index], encoder.positions[index], encoder.length, visible.get(index)
            )
            if looked_at is not None and index in decoder.aligned_blocks:
                weights[index] = looks[None, ..., looked_at]
        encoder.length += 1
        if weights:
            state.attention.append(decoder.alignment(weights)[0])
        if window is not None:
            window.follow(state.attention[-1])
        return self._head(decoder.llm.after_norm(x))


class _BlockRow:
    """`RelativeBlock.forward` for one row."""

    def __init__(self, block: "RelativeBlock") -> None:
        attention, feed_forward = block.self_attn, block.feed_forward
        self._shape = (3, attention.heads, 1, attention.head_dim)
        self._scale = attention.head_dim**-0.5
        self._biases = torch.stack([attention.pos_bias_u, attention.pos_bias_v])[:, :, None]
        self._inputs = RowLinear(attention.linear_q, attention.linear_k, attention.linear_v)
        self._output = RowLinear(attention.linear_out)
        self._before_attention, self._before_feed_forward = block.norms
        self._widen, self._narrow = RowLinear(feed_forward.w_1), RowLinear(feed_forward.w_2)
        self._activation = feed_forward.activation

    def __call__(
        self, x: Tensor, cache: LayerCache, table: Tensor, position: int, visible: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """(1, size) at `position`; returns the next (1, size), and (heads, 1, keys) attention.

        Args:
            cache: keys and values before the row, which is added to them.
            table: (heads, offsets, head_dim), offsets descending to 0.
            visible: (heads, 1, keys) rows that each head may look at; None: all.
        """
        query, key, value = self._inputs(self._before_attention(x)).view(self._shape).unbind()
        keys, values = cache.write(position, key[None], value[None])
        by_content, by_place = (query + self._biases).unbind()
        places = table[:, table.shape[1] - position - 1 :]
        scores = torch.bmm(by_place, places.transpose(1, 2))
        scores = torch.baddbmm(
            scores, by_content, keys[0].transpose(1, 2), beta=self._scale, alpha=self._scale
        )
        if visible is not None:
            scores.masked_fill_(~visible, -torch.inf)
        weights = torch.softmax(scores, dim=-1)
        x = x + self._output(torch.bmm(weights, values[0]).view(x.shape))
        return x + self._narrow(self._activation(self._widen(self._before_feed_forward(x)))), weights
