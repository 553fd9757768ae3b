from dataclasses import replace
from typing import Any

import pytest
import torch

from taste_speech import CheckpointError, TasteConfig
from taste_speech.streaming.layout import PromptFormat, Row, row_list, rows
from taste_speech.streaming.segment import TASTESegment
from taste_speech.words import Word

BOS, START, END, SYSTEM, USER, ASSISTANT = 90, 91, 92, 93, 94, 95
A, B0, B1, C = 10, 20, 21, 30
C0, C1, C2 = (0, 1), (2, 3), (4, 5)
FORMAT = PromptFormat(
    bos_id=BOS,
    openings={"system": (START, SYSTEM), "user": (START, USER), "assistant": (START, ASSISTANT)},
    closings=dict.fromkeys(("system", "user", "assistant"), (END,)),
    reply_opening=(START,),
    role_ids={"system": SYSTEM, "user": USER, "assistant": ASSISTANT},
    special_ids=frozenset(range(BOS, 100)),
    vocab_size=100,
    num_quantizers=2,
    codebook_size=8,
)
SPOKEN = TASTESegment.from_words("user", [Word("", (A,), C0), Word("", (B0, B1), C1), Word("", (C,), C2)], 2)
WRITTEN = TASTESegment("assistant", "text", torch.tensor([[A, C]]))


def test_the_worked_example() -> None:
    laid_out = rows([SPOKEN], FORMAT)
    assert laid_out.text_ids.tolist() == [BOS, START, USER, A, B0, B1, C, END]
    assert laid_out.taste_source.tolist() == [-1, -1, -1, -1, 0, 0, 1, 2]
    assert laid_out.text_targets.tolist() == [START, USER, A, B0, B1, C, END, -1]
    assert laid_out.taste_targets.tolist() == [-1, -1, -1, 0, -1, 1, 2, -1]
    assert laid_out.tastes.tolist() == [list(C0), list(C1), list(C2)]
    assert laid_out.segment_index.tolist() == [-1] + [0] * 7
    assert laid_out.row_tastes[4].tolist() == list(C0)
    assert laid_out.target_tastes[6].tolist() == list(C2)


def test_labels_stand_where_the_model_sees_what_they_name() -> None:
    inputs = rows([SPOKEN, WRITTEN], FORMAT).model_inputs()
    assert torch.equal(inputs["labels"], inputs["input_ids"])
    words = inputs["taste_labels"][:, 0] >= 0
    assert words.nonzero().flatten().tolist() == [4, 6, 7]
    assert torch.equal(inputs["taste_labels"][words], inputs["taste_ids"][words])
    answer = rows([SPOKEN, WRITTEN], FORMAT).model_inputs(segments=[1])
    assert answer["labels"].tolist() == [-100] * 8 + [START, ASSISTANT, A, C, END]
    assert (answer["taste_labels"] == -1).all()


def test_segments_do_not_share_taste_tokens() -> None:
    laid_out = rows([SPOKEN, WRITTEN, SPOKEN], FORMAT)
    assert laid_out.taste_source.tolist()[8:] == [-1] * 5 + [-1, -1, -1, 3, 3, 4, 5]
    assert laid_out.segment_index.tolist() == [-1] + [0] * 7 + [1] * 5 + [2] * 7


def test_generation_sees_the_rows_that_training_sees() -> None:
    segments = [WRITTEN, SPOKEN, TASTESegment("assistant", "text", torch.zeros(1, 0, dtype=torch.long))]
    laid_out = rows(segments, FORMAT)
    expected = [
        Row(token, None if codes[0] == -1 else tuple(codes))
        for token, codes in zip(laid_out.text_ids.tolist(), laid_out.row_tastes.tolist(), strict=True)
    ]
    assert row_list(segments, FORMAT) == expected


@pytest.mark.parametrize(
    ("segment", "message"),
    [
        (
            TASTESegment("user", "text", torch.tensor([[100]])),
            "text_ids holds 100; the ids end at 99",
        ),
        (TASTESegment("user", "text", torch.tensor([[END]])), "text_ids holds the special token 92"),
        (
            TASTESegment("user", "audio", torch.tensor([[A]]), torch.zeros(1, 1, 3, dtype=torch.long)),
            "taste_ids has 3 levels; the checkpoint has 2",
        ),
        (
            TASTESegment("user", "audio", torch.tensor([[A]]), torch.full((1, 1, 2), 8)),
            "taste_ids holds 8; codes end at 7",
        ),
    ],
)
def test_segments_must_fit_the_checkpoint(segment: TASTESegment, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rows([segment], FORMAT)


class LetterTokenizer:
    """One id per character; the special tokens of `names` have ids of their own."""

    unk_token_id = None

    def __init__(self, **names: int) -> None:
        self._names = names

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        return [ord(character) for character in text]

    def convert_tokens_to_ids(self, token: str) -> int | None:
        return self._names.get(token)


def test_a_checkpoint_without_role_tokens_gets_a_transcript() -> None:
    fmt = PromptFormat.from_config(TasteConfig(), LetterTokenizer())
    assert fmt.role_ids is None
    segment = (
        replace(SPOKEN, taste_ids=torch.cat([SPOKEN.taste_ids] * 2, dim=-1))
        if SPOKEN.taste_ids is not None
        else SPOKEN
    )
    laid_out = rows([segment], fmt)
    assert laid_out.text_ids.tolist() == [128000, *map(ord, "User:"), A, B0, B1, C, ord("\n")]
    assert laid_out.taste_source.tolist() == [-1] * 7 + [0, 0, 1, 2]
    assert fmt.reply_opening == tuple(map(ord, "Assistant:"))


def test_role_tokens_are_found_by_name() -> None:
    names = {f"<|reserved_special_token_{50 + i}|>": 128058 + i for i in range(5)}
    fmt = PromptFormat.from_config(
        TasteConfig(streaming={"trained_with_role_tokens": True}), LetterTokenizer(**names)
    )
    assert fmt.openings["user"] == (128058, 128061)
    assert fmt.segment_end_id == 128059


def test_a_missing_role_token_is_an_error() -> None:
    config: Any = TasteConfig(streaming={"trained_with_role_tokens": True})
    with pytest.raises(CheckpointError, match=r"no token .*reserved_special_token_50"):
        PromptFormat.from_config(config, LetterTokenizer())
