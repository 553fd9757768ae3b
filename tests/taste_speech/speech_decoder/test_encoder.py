import math

import pytest
import torch

from taste_speech.speech_decoder.encoder import (
    LayerCache,
    RelativeAttention,
    descending_offsets,
    relative_shift,
    sinusoids,
)

SIZE, HEADS = 16, 2


@pytest.fixture
def attention() -> RelativeAttention:
    torch.manual_seed(0)
    return RelativeAttention(SIZE, HEADS).eval()


def by_formula(attention: RelativeAttention, x: torch.Tensor, causal: bool) -> torch.Tensor:
    """The definition, one query, key and head at a time."""
    rows, dim = x.shape[1], attention.head_dim
    q, k, v = (part(x[0]) for part in (attention.linear_q, attention.linear_k, attention.linear_v))
    out = torch.zeros(rows, SIZE)
    for head in range(HEADS):
        cut = slice(head * dim, (head + 1) * dim)
        for i in range(rows):
            scores = []
            for j in range(i + 1 if causal else rows):
                position = attention.linear_pos(sinusoids(torch.tensor([i - j]), SIZE))[0, cut]
                content = (q[i, cut] + attention.pos_bias_u[head]) @ k[j, cut]
                scores.append(
                    (content + (q[i, cut] + attention.pos_bias_v[head]) @ position) / math.sqrt(dim)
                )
            weights = torch.softmax(torch.stack(scores), 0)
            out[i, cut] = sum(w * v[j, cut] for j, w in enumerate(weights))
    return attention.linear_out(out)[None]


@pytest.mark.parametrize("causal", [True, False])
def test_attention_follows_the_formula(attention: RelativeAttention, causal: bool) -> None:
    x = torch.randn(1, 7, SIZE)
    offsets = descending_offsets(6, 0 if causal else -6, x.device)
    mask = torch.ones(7, 7, dtype=torch.bool).tril() if causal else None
    out, _ = attention(x, attention.project_positions(sinusoids(offsets, SIZE)), mask)
    torch.testing.assert_close(out, by_formula(attention, x, causal), rtol=1e-4, atol=1e-5)


def test_new_rows_on_a_cache_equal_the_whole(attention: RelativeAttention) -> None:
    x = torch.randn(1, 9, SIZE)
    table = attention.project_positions(sinusoids(descending_offsets(31, 0, x.device), SIZE))
    mask = torch.ones(9, 9, dtype=torch.bool).tril()
    whole, _ = attention(x, table[:, -9:], mask)
    cache = LayerCache(torch.zeros(1, HEADS, 9, SIZE // HEADS), torch.zeros(1, HEADS, 9, SIZE // HEADS))
    pieces = []
    for start, end in ((0, 4), (4, 5), (5, 9)):
        new_mask = torch.ones(end - start, end, dtype=torch.bool).tril(start)
        pieces.append(attention(x[:, start:end], table[:, -end:], new_mask, cache, start)[0])
    torch.testing.assert_close(torch.cat(pieces, 1), whole)


def test_returned_weights_are_those_of_the_output(attention: RelativeAttention) -> None:
    x = torch.randn(1, 5, SIZE)
    table = attention.project_positions(sinusoids(descending_offsets(4, 0, x.device), SIZE))
    mask = torch.ones(5, 5, dtype=torch.bool).tril()
    fast, nothing = attention(x, table, mask)
    slow, weights = attention(x, table, mask, wants_weights=True)
    torch.testing.assert_close(slow, fast)
    assert nothing is None
    assert weights.shape == (1, HEADS, 5, 5)
    assert not weights[0, :, 0, 1:].any()  # row 0 sees only itself


def test_relative_shift_places_each_offset() -> None:
    keys, rows = 5, 3
    offsets = descending_offsets(keys - 1, 1 - rows, torch.device("cpu"))
    shifted = relative_shift(offsets.float().expand(1, rows, -1), keys)[0]
    wanted = torch.arange(keys - rows, keys)[:, None] - torch.arange(keys)
    torch.testing.assert_close(shifted, wanted.float())


def test_size_that_heads_do_not_divide() -> None:
    with pytest.raises(ValueError, match="attention size 10 with 4 heads"):
        RelativeAttention(10, 4)
