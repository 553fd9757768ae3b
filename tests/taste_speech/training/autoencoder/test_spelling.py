import torch

from taste_speech.training.autoencoder.side_tasks import Spelling
from taste_speech.training.corpus.phones import PHONES


class Letters:
    def __call__(self, texts, add_special_tokens):
        return {"input_ids": [[ord(c) - ord("a") + 1 for c in text.strip()] for text in texts]}


def test_words_are_spelled_by_number_with_stress_and_without_marks():
    words = Spelling.spelled({"cab": "kˈæb", "a": "ə,"}, Letters())
    assert words == {
        "cab": ([3, 1, 2], [PHONES.index(symbol) for symbol in "kˈæb"]),
        "a": ([1], [PHONES.index("ə")]),
    }


def test_a_batch_is_rows_of_words_with_their_phones():
    spelling = Spelling([([1, 2], [5]), ([3], [6, 7])], rows=6)
    ids, n_tokens, phones = spelling.batch(torch.Generator().manual_seed(0))
    assert ids.shape == (6, int(n_tokens.max()))
    said = {1: [5], 3: [6, 7]}
    for row, count, spoken in zip(ids, n_tokens.tolist(), phones, strict=True):
        tokens = row[:count].tolist()
        assert spoken == [phone for token in tokens if token in said for phone in said[token]]


def test_half_of_the_words_are_common_ones():
    spelling = Spelling([([1], [5])], [([2], [6])], rows=200)
    _, _, phones = spelling.batch(torch.Generator().manual_seed(0))
    drawn = [phone for row in phones for phone in row]
    assert 0.4 < drawn.count(6) / len(drawn) < 0.6
