"""Words become the phonemes that a dictionary, or a network, gives for them."""

import pytest

from taste_speech.pronunciation import PhonemeTokenizer, silent_tail
from taste_speech.training.tokenizer import UNKNOWN, build_phoneme_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> PhonemeTokenizer:
    return PhonemeTokenizer(build_phoneme_tokenizer())


@pytest.mark.parametrize(
    ("word", "pieces"),
    [
        ("hello,", ["▁h", "ə", "l", "ˈO", ","]),
        ("I", ["▁ˌI"]),
        ("Brooklyn's", ["▁b", "ɹ", "ˈʊ", "k", "l", "ə", "n", "z"]),
        ("well-known", ["▁w", "ˌɛ", "l", "n", "ˈO", "n"]),
    ],
)
def test_a_word_is_cut_into_its_phones(tokenizer, word, pieces):
    ids = tokenizer.encode(f" {word}", add_special_tokens=False)
    assert tokenizer.convert_ids_to_tokens(ids) == pieces


def test_a_word_that_no_dictionary_has_is_said_all_the_same(tokenizer):
    ids = tokenizer.encode(" brillig")
    assert len(ids) > 4
    assert tokenizer.unk_token_id not in ids


def test_what_has_no_sound_is_one_unknown_piece(tokenizer):
    assert tokenizer.convert_ids_to_tokens(tokenizer.encode(" \u200b")) == [UNKNOWN]


def test_marks_at_the_end_of_a_word_are_not_said(tokenizer):
    ids = tokenizer.encode(" why?!")
    assert silent_tail(tokenizer, ids, "why?!", "") == 2
    assert silent_tail(object(), [1, 2, 3, 4], "why?", ".?") == 1


def test_the_pieces_are_written_and_read_again(tokenizer, tmp_path):
    from transformers import AutoTokenizer

    tokenizer.save_pretrained(tmp_path)
    again = PhonemeTokenizer(AutoTokenizer.from_pretrained(tmp_path))
    assert again.encode(" hello") == tokenizer.encode(" hello")
    assert len(again) == len(tokenizer)
