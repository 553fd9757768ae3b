"""Whisper's decoder for one utterance, word times from its attention, and detection of repetition loops."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.whisper.modeling_whisper import WhisperDecoder, WhisperDecoderLayer

from taste_speech.cpu import RowLinear

_MIN_REPEATED_TOKENS = 4
"""Minimum number of tokens of a text that counts as a loop when it is said twice."""
_MEDIAN_FRAMES = 7
"""Width of the median filter that removes isolated peaks of attention, as in Whisper."""


@dataclass
class DecodingState:
    """Keys and values of one utterance, one pair for each layer.

    Attributes:
        heard: keys and values of the encoder states, each (heads, frames, head width).
        said: keys and values of tokens, each (heads, positions, head width); the first `length` are valid.
        length: number of tokens so far; lower it to remove tokens.
    """

    heard: list[tuple[Tensor, Tensor]]
    said: list[tuple[Tensor, Tensor]]
    length: int = 0


@dataclass(frozen=True)
class Rows:
    """Outputs of the decoder for some tokens.

    Attributes:
        logits: (tokens, vocabulary) scores of the token after each token.
        attention: (alignment heads, tokens, frames).
    """

    logits: Tensor
    attention: Tensor


class _Layer:
    def __init__(self, layer: WhisperDecoderLayer, alignment_heads: Sequence[int]) -> None:
        own, cross = layer.self_attn, layer.encoder_attn
        self.heads, self.scaling = own.num_heads, own.scaling
        self.alignment_heads = list(alignment_heads)
        self.norms = (layer.self_attn_layer_norm, layer.encoder_attn_layer_norm, layer.final_layer_norm)
        self.project = RowLinear(own.q_proj, own.k_proj, own.v_proj)
        self.own_out = RowLinear(own.out_proj)
        self.query, self.heard = RowLinear(cross.q_proj), RowLinear(cross.k_proj, cross.v_proj)
        self.cross_out = RowLinear(cross.out_proj)
        self.fc1, self.fc2 = RowLinear(layer.fc1), RowLinear(layer.fc2)

    def split(self, x: Tensor, parts: int = 1) -> Tensor:
        """Reshape (rows, parts * d) to (parts, heads, rows, head width)."""
        return x.unflatten(1, (parts, self.heads, -1)).permute(1, 2, 0, 3)

    def attend(
        self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return attended values (rows, d) and weights (heads, rows, keys)."""
        scores = (queries * self.scaling) @ keys.transpose(1, 2)
        weights = (scores if mask is None else scores + mask).softmax(-1)
        return (weights @ values).transpose(0, 1).flatten(1), weights

    def __call__(
        self, x: Tensor, state: DecodingState, index: int, mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        start, end = state.length, state.length + len(x)
        queries, new_keys, new_values = self.split(self.project(self.norms[0](x)), 3)
        keys, values = state.said[index]
        keys[:, start:end], values[:, start:end] = new_keys, new_values
        x = x + self.own_out(self.attend(queries, keys[:, :end], values[:, :end], mask)[0])
        (queries,) = self.split(self.query(self.norms[1](x)))
        attended, weights = self.attend(queries, *state.heard[index], None)
        x = x + self.cross_out(attended)
        return x + self.fc2(functional.gelu(self.fc1(self.norms[2](x)))), weights[self.alignment_heads]


class DecoderRows:
    """A decoder on the CPU that takes a few tokens at a time and caches keys and values.

    Args:
        decoder: decoder whose weights are used.
        alignment_heads: layer and head of each attention head that follows the time of the tokens.
        vocabulary: number of ids to score; later ids are never needed.
    """

    def __init__(
        self, decoder: WhisperDecoder, alignment_heads: Sequence[tuple[int, int]], vocabulary: int
    ) -> None:
        self.embed, self.positions = decoder.embed_tokens, decoder.embed_positions.weight
        self.max_tokens: int = self.positions.shape[0]
        self.layers = [
            _Layer(layer, [head for of, head in alignment_heads if of == index])
            for index, layer in enumerate(decoder.layers)
        ]
        self.norm = decoder.layer_norm
        output = nn.Linear(self.embed.embedding_dim, vocabulary, bias=False, device="meta")
        output.weight = nn.Parameter(self.embed.weight[:vocabulary], requires_grad=False)
        self.output = RowLinear(output)

    def begin(self, frames: Tensor) -> DecodingState:
        """Return the state before the first token for encoder states (frames, d)."""
        width = frames.shape[1] // self.layers[0].heads
        shape = (self.layers[0].heads, self.max_tokens, width)
        return DecodingState(
            [tuple(layer.split(layer.heard(frames), 2).contiguous()) for layer in self.layers],
            [(torch.empty(shape), torch.empty(shape)) for _ in self.layers],
        )

    def __call__(self, state: DecodingState, token_ids: Sequence[int]) -> Rows:
        """Decode more tokens and add them to `state`."""
        count = len(token_ids)
        x = self.embed(torch.tensor(token_ids)) + self.positions[state.length : state.length + count]
        mask = None
        if count > 1:
            mask = torch.full((count, state.length + count), -torch.inf).triu(state.length + 1)
        attention = []
        for index, layer in enumerate(self.layers):
            x, weights = layer(x, state, index, mask)
            attention.append(weights)
        state.length += count
        return Rows(self.output(self.norm(x)), torch.cat(attention))


def loop_start(token_ids: Sequence[int]) -> int | None:
    """Return how many tokens to keep if the decoder repeats itself, or None if it does not.

    A loop is a phrase said three times, a single token four times, or a longer whole text twice.
    """
    count, ids = len(token_ids), list(token_ids)
    if count >= 2 * _MIN_REPEATED_TOKENS and count % 2 == 0 and ids[: count // 2] == ids[count // 2 :]:
        return count // 2
    for length in range(1, count // 3 + 1):
        times = 4 if length == 1 else 3
        phrase = ids[count - length :]
        if times * length <= count and ids[count - times * length :] == times * phrase:
            return count - (times - 1) * length
    return None


def token_frames(attention: Tensor) -> list[int]:
    """Return the end frame (exclusive) of each token except the last.

    Each head's weights are normalized over the tokens, so that frames that every token attends to have no
    effect. Dynamic programming then assigns a span of frames to each token, in order.

    Args:
        attention: (heads, tokens, frames) of the alignment heads; the last token is the end of the text.
    """
    std, mean = torch.std_mean(attention, dim=1, keepdim=True, unbiased=False)
    normalized = (attention - mean) / std.clamp(min=1e-9)
    reach = _MEDIAN_FRAMES // 2
    padded = functional.pad(normalized, (reach, reach), mode="reflect")
    scores = padded.unfold(2, _MEDIAN_FRAMES, 1).median(-1).values.mean(0).numpy()
    rows, frames = scores.shape
    sums = np.pad(np.cumsum(scores, axis=1), ((0, 0), (1, 0)))  # (rows, frames + 1), before each boundary
    best, came_from = sums[0], []
    for row in range(1, rows):
        begun = best - sums[row]  # scores of spans that start at each boundary
        highest = np.maximum.accumulate(begun)
        came_from.append(np.maximum.accumulate(np.where(begun == highest, np.arange(frames + 1), 0)))
        best = highest + sums[row]
    ends = [frames]
    for boundaries in reversed(came_from):
        ends.insert(0, int(boundaries[ends[0]]))
    return ends[:-1]
