"""One unit through the unit decoder on the CPU, with as few calls and bytes as it takes."""

import torch
from torch import Tensor

from taste_speech.cpu import RowLinear, one_thread_if_small
from taste_speech.speech_decoder.encoder import LayerCache, RelativeBlock
from taste_speech.speech_decoder.unit_decoder import UnitDecoder, UnitDecoderState


class UnitRows:
    """`UnitDecoder.step` for one unit; it holds the weights as rows need them, and nothing of an item.

    Args:
        decoder: in eval mode.
    """

    @torch.no_grad()
    def __init__(self, decoder: UnitDecoder) -> None:
        self._decoder, llm = decoder, decoder.llm
        self._weights = sum(weight.numel() for weight in llm.parameters())
        # What the input layer makes of a unit depends on nothing else.
        self._inputs = llm.embed(decoder.speech_embedding.weight)
        self._blocks = [_BlockRow(block) for block in llm.blocks]
        self._head = RowLinear(decoder.llm_decoder)

    def step(self, unit: int, state: UnitDecoderState, align: bool) -> Tensor:
        """Feed a unit; return logits (1, vocabulary + 1) of what follows.

        Args:
            unit: id.
            state: advanced by one row.
            align: collect the attention on the condition in `state`; where there is a window, it is anyway.
        """
        decoder, encoder, window = self._decoder, state.encoder, state.window
        x = self._inputs[unit : unit + 1]
        visible = {} if window is None else window.visible(encoder.length + 1)
        weights: dict[int, Tensor] = {}
        with one_thread_if_small(self._weights):
            for index, block in enumerate(self._blocks):
                x, looks = block(
                    x, encoder.layers[index], encoder.positions[index], encoder.length, visible.get(index)
                )
                if (align or window is not None) and index in decoder.aligned_blocks:
                    weights[index] = looks[None, ..., state.condition]
            encoder.length += 1
            if weights:
                state.attention.append(decoder.alignment(weights)[0])
            if window is not None:
                window.follow(state.attention[-1])
            return self._head(decoder.llm.after_norm(x))


class _BlockRow:
    """`RelativeBlock.forward` for one row."""

    def __init__(self, block: RelativeBlock) -> None:
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
