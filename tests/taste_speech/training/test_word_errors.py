import pytest

from taste_speech.training.word_errors import edit_distance, spoken_words, word_error_rate


def test_spoken_words_ignore_case_and_punctuation():
    assert spoken_words("It’s a well-known FACT, yes.") == ["it's", "a", "well", "known", "fact", "yes"]


@pytest.mark.parametrize(
    ("hypothesis", "errors"), [("a b c", 0), ("a x c", 1), ("a c", 1), ("a b b c", 1), ("", 3), ("x y", 3)]
)
def test_edit_distance(hypothesis, errors):
    assert edit_distance(["a", "b", "c"], hypothesis.split()) == errors


def test_rate_counts_errors_of_all_sentences_over_all_words():
    assert word_error_rate(["one two three", "four"], ["one two", "five"]) == pytest.approx(2 / 4)
