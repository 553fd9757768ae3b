from typing import Any

import pytest
import torch

from taste_speech.streaming.segment import TASTESegment
from taste_speech.words import Word

IDS = torch.tensor([[5, 6, 7]])
TASTE = torch.tensor([[[1, 2], [-1, -1], [3, 0]]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("user", "audio", IDS), "modality='audio' requires taste_ids to be provided"),
        (("user", "text", IDS, TASTE), "modality='text' should not have taste_ids"),
        (("user", "video", IDS), "modality is 'video'; choose 'text' or 'audio'"),
        (("narrator", "text", IDS), "role is 'narrator'; choose 'system', 'user' or 'assistant'"),
        (("user", "text", IDS[0]), r"text_ids has shape \(3,\); expected \(1, S\)"),
        (("user", "text", IDS.expand(2, 3)), "text_ids has a batch of 2; give one segment at a time"),
        (("user", "text", IDS.float()), "text_ids has dtype torch.float32; give integers"),
        (("user", "text", [[1]]), "text_ids is a list; give an integer tensor"),
        (("user", "text", -IDS), "text_ids holds -7; LLM token ids are 0 or more"),
        (("user", "audio", IDS, TASTE[0]), r"taste_ids has shape \(3, 2\); expected \(1, S, L\)"),
        (("user", "audio", IDS, TASTE[:, :2]), "taste_ids has 2 rows for 3 text tokens"),
        (("user", "audio", IDS, TASTE.float()), "taste_ids has dtype torch.float32; give integers"),
        (("user", "audio", IDS, TASTE - 1), "taste_ids holds -2; codes are 0 or more"),
        (
            ("user", "audio", IDS, torch.tensor([[[1, -1]] * 3])),
            "a row of taste_ids is -1 on some levels only",
        ),
    ],
)
def test_wrong_segments_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TASTESegment(*arguments)


def test_empty_segments_are_allowed() -> None:
    assert TASTESegment("assistant", "text", IDS[:, :0]).words == []
    assert TASTESegment("assistant", "audio", IDS[:, :0], TASTE[:, :0]).words == []


def test_words_begin_where_taste_tokens_are() -> None:
    segment = TASTESegment("user", "audio", IDS, TASTE)
    assert segment.words == [Word(ids=(5, 6), taste=(1, 2)), Word(ids=(7,), taste=(3, 0))]
    again = TASTESegment.from_words("user", segment.words, 2)
    assert torch.equal(again.text_ids, IDS)
    assert again.taste_ids is not None
    assert torch.equal(again.taste_ids, TASTE)


def test_text_before_the_first_taste_token_is_a_word_without_one() -> None:
    segment = TASTESegment("user", "audio", IDS, torch.tensor([[[-1, -1], [-1, -1], [3, 0]]]))
    assert segment.words == [Word(ids=(5, 6)), Word(ids=(7,), taste=(3, 0))]
