"""Whisper's decoder for one utterance: a few tokens at a time, with what it has computed before kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.whisper.modeling_whisper import WhisperDecoder, WhisperDecoderLayer

Linear = Callable[[Tensor], Tensor]
MakeLinear = Callable[..., Linear]
"""Takes linear layers of one input and makes one call of them, their outputs side by side."""


@dataclass
class DecodingState:
    """Keys and values of one utterance, of each layer.

    Attributes:
        heard: of the encoder's states, each (heads, frames, head width).
        said: of the tokens so far, each (heads, positions, head width), of which `length` count.
        length: tokens so far; it may be set back.
    """

    heard: list[tuple[Tensor, Tensor]]
    said: list[tuple[Tensor, Tensor]]
    length: int = 0


@dataclass(frozen=True)
class Rows:
    """What the decoder makes of some tokens: one row for each.

    Attributes:
        logits: (rows, vocabulary) of the token after it.
        attention: (aligning heads, rows, frames), where in the sound it looks.
    """

    logits: Tensor
    attention: Tensor


class _Layer:
    """One layer; its linear layers may have another number type than the module that they come from."""

    def __init__(self, layer: WhisperDecoderLayer, make: MakeLinear, aligning: Sequence[int]) -> None:
        own, cross = layer.self_attn, layer.encoder_attn
        self.heads, self.scaling = own.num_heads, own.scaling
        self.aligning = list(aligning)
        self.norms = (layer.self_attn_layer_norm, layer.encoder_attn_layer_norm, layer.final_layer_norm)
        self.project = make(own.q_proj, own.k_proj, own.v_proj)
        self.own_out = make(own.out_proj)
        self.query, self.heard = make(cross.q_proj), make(cross.k_proj, cross.v_proj)
        self.cross_out = make(cross.out_proj)
        self.fc1, self.fc2 = make(layer.fc1), make(layer.fc2)

    def split(self, x: Tensor, parts: int = 1) -> Tensor:
        """(rows, parts * d) -> (parts, heads, rows, head width)."""
        return x.unflatten(1, (parts, self.heads, -1)).permute(1, 2, 0, 3)

    def attend(
        self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Attended values (rows, d) and weights (heads, rows, keys)."""
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
        return x + self.fc2(functional.gelu(self.fc1(self.norms[2](x)))), weights[self.aligning]


class DecoderRows:
    """A decoder on the CPU.

    Args:
        decoder: whose weights it uses.
        make: makes the linear layers.
        alignment_heads: pairs of a layer and a head that look where a token is said.
        vocabulary: ids from here on are never asked for.
    """

    def __init__(
        self,
        decoder: WhisperDecoder,
        make: MakeLinear,
        alignment_heads: Sequence[tuple[int, int]],
        vocabulary: int,
    ) -> None:
        self.embed, self.positions = decoder.embed_tokens, decoder.embed_positions.weight
        self.layers = [
            _Layer(layer, make, [head for of, head in alignment_heads if of == index])
            for index, layer in enumerate(decoder.layers)
        ]
        self.norm = decoder.layer_norm
        output = nn.Linear(self.embed.embedding_dim, vocabulary, bias=False, device="meta")
        output.weight = nn.Parameter(self.embed.weight[:vocabulary], requires_grad=False)
        self.output = make(output)

    @property
    def most_tokens(self) -> int:
        """Positions that it knows."""
        return self.positions.shape[0]

    def begin(self, frames: Tensor) -> DecodingState:
        """The state before the first token, of (frames, d) encoder states."""
        width = frames.shape[1] // self.layers[0].heads
        shape = (self.layers[0].heads, self.most_tokens, width)
        return DecodingState(
            [tuple(layer.split(layer.heard(frames), 2).contiguous()) for layer in self.layers],
            [(torch.empty(shape), torch.empty(shape)) for _ in self.layers],
        )

    def __call__(self, state: DecodingState, token_ids: Sequence[int]) -> Rows:
        """Take more tokens; `state` moves on by as many."""
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
