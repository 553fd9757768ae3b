import numpy as np
import pytest

from taste_agent.audio.text_gate import (
    EchoGate,
    GatedRecognition,
    GatedRecognizer,
    HeardWord,
    PlayedWord,
    own_words,
)
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
    marks = own_words(
        [HeardWord(word, 0, RATE_HZ) for word in heard.split()],
        [PlayedWord(word, RATE_HZ // 2) for word in played.split()],
        reach=0,
    )
    assert "".join("1" if mark else "0" for mark in marks) == own


class Fixed:
    """A recogniser that always understands the same; with `ends_s` it knows when each word ended."""

    def __init__(self, text, ends_s=()):
        self.text = text
        self.ends_s = ends_s

    def start(self):
        pass

    def accept(self, samples):
        pass

    def partial(self):
        return self.text

    def finish(self):
        texts = self.text.split()
        times = [(end_s - 0.3, end_s) for end_s in self.ends_s] or [(None, None)] * len(texts)
        words = (RecognizedWord(text, *time) for text, time in zip(texts, times, strict=True))
        return Recognition(self.text, tuple(words))


def recognise(text, played_at_s, start_s=18.0, speech_s=2.0, reach_s=0.5, ends_s=(), played="the sun is up"):
    gate = EchoGate(lambda: reach_s)
    for word in played.split():
        gate.played(PlayedWord(word, int(played_at_s * RATE_HZ)))
    recognizer = GatedRecognizer(Fixed(text, ends_s), gate)
    recognizer.begin_at(int(start_s * RATE_HZ))
    recognizer.start()
    recognizer.accept(np.zeros(int(speech_s * RATE_HZ), dtype=np.float32))
    return recognizer, gate


def test_echo_is_not_understood():
    recognizer, gate = recognise("the sun is up", played_at_s=19.0)
    assert recognizer.partial() == ""
    assert recognizer.echo_text == "the sun is up"
    assert gate.dropped_words == 0
    assert recognizer.finish() == GatedRecognition("", (), echo_text="the sun is up")
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


@pytest.mark.parametrize(
    ("ends_s", "reach_s", "text"),
    [
        (1.25, 0.3, ""),  # 50 ms after it was played: its echo
        (1.55, 0.3, ""),
        (1.75, 0.3, "rome"),  # half a second after it: no echo takes so long where one is cancelled
        (2.15, 0.3, "rome"),
        (1.75, 0.6, ""),  # as long as nothing is known about the echo, this could be one
        (0.9, 0.3, "rome"),  # an echo is not heard before its sound
    ],
)
def test_a_word_of_the_agent_that_the_person_repeats_is_no_echo(ends_s, reach_s, text):
    recognizer, _ = recognise("rome", 19.2, reach_s=reach_s, ends_s=(ends_s,), played="it is rome")
    assert recognizer.finish().text == text


def test_untouched_results_are_passed_on_as_they_are():
    recognizer, _ = recognise("something  else", played_at_s=19.0)
    assert recognizer.finish().text == "something  else"
