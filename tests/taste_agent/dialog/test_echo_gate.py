import pytest

from taste_agent.dialog.echo_gate import EchoGate, own_words
from taste_speech.recognition.base import Recognition, RecognizedWord
from taste_speech.words import Word

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
        [Word(word, start=0, end=RATE_HZ) for word in heard.split()],
        [Word(word, end=RATE_HZ // 2) for word in played.split()],
        reach=0,
    )
    assert "".join("1" if mark else "0" for mark in marks) == own


def recognition_of(text, ends_s=()):
    """What a recognizer understood; with `ends_s` it knows when each word ended."""
    times = [(end_s - 0.3, end_s) for end_s in ends_s] or [(None, None)] * len(text.split())
    words = (RecognizedWord(word, *time) for word, time in zip(text.split(), times, strict=True))
    return Recognition(text, tuple(words))


def new_gate(played_at_s, reach_s=0.5, played="the sun is up"):
    gate = EchoGate(lambda: reach_s)
    for word in played.split():
        gate.played(Word(word, end=int(played_at_s * RATE_HZ)))
    return gate


def heard_through(gate, recognition, start_s=18.0, speech_s=2.0):
    """What is left of what was recognized in audio from `start_s` on, and the echo."""
    return gate.filter(recognition, int(start_s * RATE_HZ), int(speech_s * RATE_HZ))


def test_echo_is_not_understood():
    gate = new_gate(played_at_s=19.0)
    assert gate.partial("the sun is up", 18 * RATE_HZ, 2 * RATE_HZ) == ("", "the sun is up")
    assert gate.dropped_words == 0
    assert heard_through(gate, recognition_of("the sun is up")) == (Recognition("", ()), "the sun is up")
    assert gate.dropped_words == 4


def test_words_that_were_played_before_the_speech_do_not_count():
    gate = new_gate(played_at_s=17.0)
    assert heard_through(gate, recognition_of("the sun is up"))[0].text == "the sun is up"
    assert gate.dropped_words == 0


def test_what_the_person_says_over_the_agent_stays():
    said = recognition_of("the sun is stop that now please listen")
    result, echo = heard_through(new_gate(played_at_s=19.0), said)
    assert result.text == "stop that now please listen"
    assert [word.text for word in result.words] == result.text.split()
    assert echo == "the sun is"


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
    gate = new_gate(19.2, reach_s=reach_s, played="it is rome")
    assert heard_through(gate, recognition_of("rome", (ends_s,)))[0].text == text


def test_untouched_results_are_passed_on_as_they_are():
    result, echo = heard_through(new_gate(played_at_s=19.0), recognition_of("something  else"))
    assert (result.text, echo) == ("something  else", "")
