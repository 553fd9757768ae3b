import numpy as np
import pytest

from taste_agent.audio.text_gate import EchoGate, GatedRecognition, GatedRecognizer, PlayedWord, own_words
from taste_speech.recognition.base import Recognition, RecognizedWord

RATE_HZ = 16000


@pytest.mark.parametrize(
    ("heard", "played", "own"),
    [
        ("the sun is up", "it is five and the sun is still up", "0000"),
        ("The sun, is up!", "the sun is up", "0000"),
        ("the son is op", "the sun is up", "0000"),  # three of four match: the rest is misheard
        ("stop", "the sun is up", "1"),
        ("stop please", "the sun is up", "11"),
        ("up", "the sun is up", "0"),
        ("no up", "the sun is up", "11"),
        ("the sun is wait i have a question", "the sun is up", "00011111"),
        ("what is the time", "", "1111"),
        ("stop i have a question", "it is five o clock in a quiet afternoon", "11111"),
        ("what is the time in rome now", "the sun is up in the afternoon", "1111111"),
        ("up is sun the", "the sun is up", "1111"),
        ("", "the sun", ""),
        ("weather in london today", "the weather in london is nice", "0000"),
    ],
)
def test_own_words(heard, played, own):
    marks = own_words(heard.split(), played.split())
    assert "".join("1" if mark else "0" for mark in marks) == own


class Fixed:
    """A recogniser that always understands the same."""

    def __init__(self, text):
        self.text = text

    def start(self):
        pass

    def accept(self, samples):
        pass

    def partial(self):
        return self.text

    def finish(self):
        return Recognition(self.text, tuple(RecognizedWord(word) for word in self.text.split()))


def recognise(text, played_at_s, now_s=20.0, speech_s=2.0, slack_s=0.5):
    gate = EchoGate(slack_s, lambda: int(now_s * RATE_HZ))
    for word in ("the", "sun", "is", "up"):
        gate.played(PlayedWord(word, int(played_at_s * RATE_HZ)))
    recognizer = GatedRecognizer(Fixed(text), gate)
    recognizer.start()
    recognizer.accept(np.zeros(int(speech_s * RATE_HZ), dtype=np.float32))
    return recognizer, gate


def test_echo_is_not_understood():
    recognizer, gate = recognise("the sun is up", played_at_s=19.0)
    assert recognizer.partial() == ""
    assert recognizer.echo_text == "the sun is up"
    assert gate.dropped_words == 0
    assert recognizer.finish() == GatedRecognition("", (), "the sun is up")
    assert gate.dropped_words == 4


def test_words_that_were_played_before_the_speech_do_not_count():
    recognizer, gate = recognise("the sun is up", played_at_s=17.0)
    assert recognizer.finish().text == "the sun is up"
    assert gate.dropped_words == 0


def test_what_the_person_says_over_the_agent_stays():
    recognizer, _ = recognise("the sun is stop that now please listen", played_at_s=19.0)
    result = recognizer.finish()
    assert result.text == "stop that now please listen"
    assert [word.text for word in result.words] == result.text.split()
    assert result.echo_text == "the sun is"


def test_untouched_results_are_passed_on_as_they_are():
    recognizer, _ = recognise("something  else", played_at_s=19.0)
    assert recognizer.finish().text == "something  else"
