import pytest

from taste_speech.training.corpus import lexicon
from taste_speech.training.corpus.sentences import (
    article,
    general_sentences,
    past_tense,
    plural,
    progressive,
)


def test_sentences_are_distinct_and_of_the_wanted_length():
    sentences = general_sentences(500, 1)
    assert len(set(sentences)) == 500
    for sentence in sentences:
        assert 4 <= len(sentence.split()) <= 14
        assert sentence[0].isupper()
        assert sentence[-1] in ".?!"


def test_the_seed_fixes_the_sentences():
    assert general_sentences(20, 1) == general_sentences(20, 1) != general_sentences(20, 2)


def test_the_words_are_many():
    words = {w.strip(".,?!").lower() for s in general_sentences(4000, 1) for w in s.split()}
    assert len(words) > 1500


def test_a_negative_number_is_refused():
    with pytest.raises(ValueError, match="at least 0"):
        general_sentences(-1, 1)


@pytest.mark.parametrize(
    ("function", "word", "expected"),
    [
        (article, "apple", "an"),
        (article, "hour", "an"),
        (article, "university", "a"),
        (article, "dog", "a"),
        (plural, "city", "cities"),
        (plural, "toy", "toys"),
        (plural, "box", "boxes"),
        (plural, "mouse", "mice"),
        (past_tense, "find:found", "found"),
        (past_tense, "carry", "carried"),
        (past_tense, "drop", "dropped"),
        (past_tense, "bake", "baked"),
        (progressive, "begin:began", "beginning"),
        (progressive, "see:saw", "seeing"),
        (progressive, "make:made", "making"),
    ],
)
def test_forms_of_words(function, word, expected):
    assert function(word) == expected


def test_lists_have_no_doubles():
    for name in ("PEOPLE", "ANIMALS", "THINGS", "FOODS", "PLACES", "TRANSITIVE", "INTRANSITIVE", "NAMES"):
        words = getattr(lexicon, name)
        assert len(words) == len(set(words)), name
