"""One unit through the unit decoder over fixed buffers: draw it, feed it, keep the logits for the next."""

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from taste_speech.acceleration.replay import Replay
from taste_speech.speech_decoder.alignment_window import FIRST_CONDITION, bound_heads
from taste_speech.speech_decoder.attention import LayerCache, RelativeAttention

if TYPE_CHECKING:
    from taste_speech.speech_decoder.blocks import RelativeBlock
    from taste_speech.speech_decoder.unit_decoder import UnitDecoder


class UnitStep:
    """Buffers and recordings for up to `capacity` rows (prefix, units) of one item.

    Args:
        decoder: the weights.
        capacity: rows; the position tables are made for it.
    """

    def __init__(self, decoder: "UnitDecoder", capacity: int) -> None:
        weight = decoder.llm_decoder.weight
        device, dtype = weight.device, weight.dtype
        self.decoder, self.capacity = decoder, capacity
        self.top_k = min(decoder.decoding.top_k, decoder.stop_id + 1)
        self.temperature = decoder.decoding.temperature
        with torch.inference_mode(False), torch.no_grad():
            self.state = decoder.llm.new_state(capacity)
            """Keys and values; the prefix is fed into it by the plain code."""
            self.logits = torch.zeros(decoder.stop_id + 1, dtype=dtype, device=device)
            self.ids = torch.zeros(capacity, dtype=torch.long, device=device)
            """Units in order; after the stop id they mean nothing."""
            self.exponentials = torch.ones(capacity, self.top_k, device=device)
            """Random numbers of each draw."""
            self.attention = torch.zeros(capacity, capacity, dtype=dtype, device=device)
            """By unit, how much the row that follows it looked at each row."""
            # Units, rows, least units, row after the text, token that is being said.
            self._counters = torch.zeros(5, dtype=torch.long, device=device)
            self._window, heads = decoder.decoding.alignment_window, decoder.decoding.alignment_heads
            bound = bound_heads(heads or [], decoder.config.llm__attention_heads) if self._window else {}
            self._bound = {block: which.to(device) for block, which in bound.items()}
        self._replays: dict[tuple[bool, bool], Replay] = {}

    def begin(self, logits: Tensor, rows: int, least: int, text_end: int, token: int) -> None:
        """Start behind the prefix.

        Args:
            logits: (1, vocabulary + 1) of the first unit.
            rows: that are in `state`.
            least: units before the stop id.
            text_end: row after the text's last one.
            token: of the text with which the new units begin.
        """
        self.logits.copy_(logits[0])
        self._counters.copy_(torch.tensor([0, rows, least, text_end, token]))

    def replay(self, greedy: bool, align: bool) -> Replay:
        """The step, recorded on first use: before `begin`, for recording runs it."""
        key = (greedy, align)
        if key not in self._replays:
            self._counters.zero_()
            self._replays[key] = Replay(lambda: self._body(greedy, align), self.logits.device)
        return self._replays[key]

    def _body(self, greedy: bool, align: bool) -> None:
        count, position, least, text_end, token = self._counters.split(1)
        must_go_on = count < least
        if self._window is not None:
            must_go_on |= token < text_end - FIRST_CONDITION - 1 - self._window.unsaid
        unit = self._greedy(must_go_on) if greedy else self._draw(count, must_go_on)
        self.ids.index_copy_(0, count, unit)
        fed = unit.clamp(max=self.decoder.stop_id - 1)  # a stop id ends it: what follows is thrown away
        row = self._forward(self.decoder.speech_embedding(fed[None]), position, align)
        if row is not None:
            self.attention.index_copy_(0, count, row)
            if self._window is not None:
                said = row.masked_fill(~self._text(), -1).argmax(-1) - FIRST_CONDITION
                token.copy_(torch.maximum(token, said))
        self._counters[:2] += 1

    def _text(self) -> Tensor:
        """(capacity,) whether a row is text."""
        rows = torch.arange(self.capacity, device=self.logits.device)
        return (rows >= FIRST_CONDITION) & (rows < self._counters[3])

    def _hidden(self, block: int, later: Tensor) -> Tensor:
        """(capacity,) or (heads, 1, capacity): rows that are not there yet, or outside the window."""
        if self._window is None or block not in self._bound:
            return later
        tokens = torch.arange(self.capacity, device=later.device) - FIRST_CONDITION - self._counters[4]
        outside = self._text() & ((tokens < -self._window.back) | (tokens > self._window.ahead))
        return (later | outside & self._bound[block][:, None])[:, None]

    def _greedy(self, must_go_on: Tensor) -> Tensor:
        """(1,) the most probable id; as `sampling.greedy_unit`."""
        stop = torch.arange(len(self.logits), device=self.logits.device) == self.decoder.stop_id
        return self.logits.masked_fill(stop & must_go_on, -torch.inf).argmax()[None]

    def _draw(self, count: Tensor, must_go_on: Tensor) -> Tensor:
        """(1,) a draw as `sampling.sample_unit` makes it: argmax(p / e), e exponential, is multinomial."""
        values, ids = torch.topk(self.logits.float(), self.top_k)
        probabilities = torch.softmax(values / self.temperature, dim=-1)
        kept = probabilities * ~((ids == self.decoder.stop_id) & must_go_on)
        noise = self.exponentials.index_select(0, count)[0]
        choice = ids.index_select(0, (kept / noise).argmax()[None])
        return torch.where(kept.any(), choice, self._greedy(must_go_on))

    def _forward(self, x: Tensor, position: Tensor, align: bool) -> Tensor | None:
        """Rows as `RelativeEncoder.step` and `UnitDecoder` compute them; (1, capacity) attention."""
        decoder, llm = self.decoder, self.decoder.llm
        keys = torch.arange(self.capacity, device=x.device)
        later = keys > position
        x = llm.embed(x)
        weights: dict[int, Tensor] = {}
        for index, block in enumerate(llm.encoders):
            wanted = (align or self._window is not None) and index in decoder.aligned_blocks
            cache, table = self.state.layers[index], self.state.positions[index]
            # Column c of a table is offset size - 1 - c; key j lies position - j to the left.
            columns = (keys - position + table.shape[1] - 1).clamp(max=table.shape[1] - 1)
            x, probabilities = _block(
                cast("RelativeBlock", block),
                x,
                table,
                columns,
                cache,
                position,
                self._hidden(index, later),
                wanted,
            )
            if probabilities is not None:
                weights[index] = probabilities
        self.logits.copy_(decoder.llm_decoder(llm.after_norm(x)[:, -1])[0])
        return decoder.alignment(weights) if weights else None


def _block(
    block: "RelativeBlock",
    x: Tensor,
    table: Tensor,
    columns: Tensor,
    cache: LayerCache,
    position: Tensor,
    hidden: Tensor,
    wants_weights: bool,
) -> tuple[Tensor, Tensor | None]:
    before_attention, before_feed_forward = block.norms
    attended, weights = _attention(
        block.self_attn, before_attention(x), table, columns, cache, position, hidden, wants_weights
    )
    x = x + attended
    return x + block.feed_forward(before_feed_forward(x)), weights


def _attention(
    attention: RelativeAttention,
    x: Tensor,
    table: Tensor,
    columns: Tensor,
    cache: LayerCache,
    position: Tensor,
    hidden: Tensor,
    wants_weights: bool,
) -> tuple[Tensor, Tensor | None]:
    """`RelativeAttention.forward` for one row (1, 1, size) at `position`, over all rows of the buffers.

    Args:
        columns: (capacity,) the column of `table` that holds the offset to each key.
        hidden: (capacity,) or (heads, 1, capacity) keys that are not to be seen.
    """
    query, key, value = (
        linear(x).unflatten(-1, (attention.heads, attention.head_dim)).transpose(1, 2)
        for linear in (attention.linear_q, attention.linear_k, attention.linear_v)
    )
    cache.keys.index_copy_(2, position, key)
    cache.values.index_copy_(2, position, value)
    by_offset = (query + attention.pos_bias_v[:, None]) @ table.transpose(-1, -2)
    bias = by_offset.index_select(-1, columns) * attention.head_dim**-0.5
    bias = bias.masked_fill(hidden, -torch.inf)
    query = query + attention.pos_bias_u[:, None]
    weights = None
    if wants_weights:
        scores = query @ cache.keys.transpose(-1, -2) * attention.head_dim**-0.5 + bias
        weights = torch.softmax(scores, dim=-1)
        out = weights @ cache.values
    else:
        out = F.scaled_dot_product_attention(query, cache.keys, cache.values, bias)
    return attention.linear_out(out.transpose(1, 2).flatten(2)), weights
