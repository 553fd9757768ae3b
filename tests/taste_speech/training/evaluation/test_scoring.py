import pytest

from taste_speech.training.evaluation import scoring
from taste_speech.training.evaluation.scoring import Errors, accepts, is_said_as, word_errors


def test_patterns_see_plain_lower_case_words():
    assert scoring.norm("It’s a Café — twenty-one!") == "it's a cafe twenty one"
    assert accepts(r"\b(?:paris|the louvre)\b", "You mean Paris, I think.")
    assert not accepts(r"\bparis\b", "You mean parishes.")
    assert not accepts("", "")


def test_an_answer_is_to_the_point_if_it_shares_what_the_question_lacks():
    pattern = scoring.pattern_of_reference("Why do cats purr?", "Cats purr because they feel safe.")
    assert accepts(pattern, "They are safe and happy.")
    assert not accepts(pattern, "Cats purr.")


@pytest.mark.parametrize(
    ("reference", "heard", "expected"),
    [
        ("He paid twenty-one dollars.", "he paid $21", (0, 3)),
        ("Don't wait, Mister Smith!", "Do not wait Mr. Smith", (0, 5)),
        ("The red cat sat", "the cat sat sat on", (3, 4)),
        ("", "oh no", (2, 0)),
        ("hello", "", (1, 1)),
    ],
)
def test_word_errors_do_not_count_ways_of_writing(reference, heard, expected):
    assert word_errors(reference, heard) == expected


def test_the_error_rate_is_that_of_all_words():
    assert scoring.error_rate([Errors(1, 4), Errors(0, 6)]) == pytest.approx(10)


def test_the_paired_difference_bounds_what_chance_may_hide():
    ours, natural, words = [1, 0, 2, 1] * 25, [1, 0, 0, 1] * 25, [10] * 100
    found = scoring.paired_difference(ours, natural, words)
    assert found.value == pytest.approx(0.05)
    assert 0.05 < found.upper < 0.08
    assert found == scoring.paired_difference(ours, natural, words)
    assert scoring.paired_difference([2, 2], [1, 1]) == (1, 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Sure, it's half past nine.", True),
        ("It has 9 lives.", False),
        ("**Bold** move.", False),
        ("- milk\n- eggs", False),
        ("One.\nTwo.", False),
        ("...", False),
    ],
)
def test_speakable_is_what_has_only_words_and_marks(text, expected):
    assert scoring.is_speakable(text) is expected


def test_lengths_and_repeats():
    assert scoring.is_short("word " * 30)
    assert not scoring.is_short("word " * 31)
    assert scoring.most_repeats("Certainly. Of course! Certainly. certainly?") == 3
    assert scoring.most_repeats("") == 0


def test_spoken_forms_may_join_their_letters():
    assert is_said_as("The F B I called.", ["the fbi called"])
    assert is_said_as("seven forty-six p.m.", ["seven forty six p m"])
    assert not is_said_as("seven forty-five", ["seven forty six"])
