import pytest

from taste_speech.training.corpus.dialogues import as_heard, make_talks
from taste_speech.training.corpus.dialogues.murmurs import HESITATIONS
from taste_speech.training.corpus.recognition_model import recognition_sentences, without_hesitation


@pytest.mark.parametrize(
    ("text", "expected"),
    [("what is a um", "what is a"), ("what is a", "what is a"), ("um uh", "um"), ("um what", "um what")],
)
def test_hesitations_at_the_end_are_taken_off(text: str, expected: str) -> None:
    assert without_hesitation(text) == expected


def test_every_cut_off_turn_is_there_with_each_hesitation() -> None:
    sentences = recognition_sentences(200)
    turns = [turn for talk in make_talks(200, 31, "train") for turn in talk.turns if turn.role == "user"]
    cut = [as_heard(turn.text) for turn in turns if not turn.finished]
    assert len(cut) > 5
    for text in cut:
        assert text in sentences
        for hesitation in HESITATIONS:
            assert f"{without_hesitation(text)} {hesitation}" in sentences
    whole = [as_heard(turn.text) for turn in turns if turn.finished]
    assert not any(f"{text} um" in sentences for text in whole if text not in map(without_hesitation, cut))
