import pytest

from taste_speech.recognition.spoken_form import spoken_form, spoken_forms
from taste_speech.training.corpus.dialogues import as_heard


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (" What is 2 plus 2?", "what is two plus two"),
        ("It's 3:30, Mr. Lee.", "it's three thirty mister lee"),
        ("It costs $5, or £1,200.", "it costs five dollars or one thousand two hundred pounds"),
        ("In 1984, or on the 21st.", "in nineteen eighty four or on the twenty first"),
        ("Half of it is 50%.", "half of it is fifty percent"),
        ("well-known café — “quoted”…", "well known cafe quoted"),
        ("Don't say 'no', it’s rock 'n' roll", "don't say no it's rock n roll"),
        ("Mm-hmm. Uh-huh. Hmm. OK. Umm...", "mhm uh huh hm okay um"),
        ("", ""),
        ("... - !", ""),
    ],
)
def test_what_is_written_becomes_what_is_said(written, said):
    assert spoken_form(written) == said


def test_words_stay_with_the_written_word_that_they_come_from():
    assert spoken_forms(["It's", "25", "--", "now."]) == [["it's"], ["twenty", "five"], [], ["now"]]


def test_words_without_figures_are_as_the_models_were_trained():
    for sentence in ("Well, I'm not sure.", "What's the capital of Côte d'Or?", "it is twelve o'clock"):
        assert spoken_form(sentence) == as_heard(sentence.replace("ô", "o"))
