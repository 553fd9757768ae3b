import torch

from taste_speech.training.spelling import Spelling
from taste_speech.training.word_times import PHONES


class Letters:
    def __call__(self, text, add_special_tokens):
        return {"input_ids": [ord(c) - ord("a") + 1 for c in text.strip()]}


def test_words_are_spelled_by_number_and_what_has_no_phones_is_left_out():
    words = Spelling.spelled({"cab": ["k", "ae", "b"], "...": [], "a": ["pau", "ax"]}, Letters())
    assert words == [
        ([3, 1, 2], [PHONES.index("k"), PHONES.index("ae"), PHONES.index("b")]),
        ([1], [PHONES.index("ax")]),
    ]


def test_a_batch_is_rows_of_words_with_their_phones():
    spelling = Spelling([([1, 2], [5]), ([3], [6, 7])], rows=6)
    ids, n_tokens, phones = spelling.batch(torch.Generator().manual_seed(0))
    assert ids.shape == (6, int(n_tokens.max()))
    said = {1: [5], 3: [6, 7]}
    for row, count, spoken in zip(ids, n_tokens.tolist(), phones, strict=True):
        tokens = row[:count].tolist()
        assert spoken == [phone for token in tokens if token in said for phone in said[token]]
