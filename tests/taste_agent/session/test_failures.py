"""What happens to a conversation when the recognizer fails: nobody waits for ever, and no reply is lost."""

import pytest

from taste_agent import events as ev
from taste_speech.errors import TasteError
from tests.taste_agent.fakes import FakeBrain, run_session
from tests.taste_agent.speech import silence, spoken, track

LONG = "this is quite a long answer and it goes on for a good while so that you can interrupt me"


def failing(brain: FakeBrain, method: str, piece: int) -> FakeBrain:
    """A brain whose recognizer fails once it is in that piece."""
    recognizer = brain.scripted
    original = getattr(recognizer, method)

    def fail(*arguments):
        if len(recognizer.accepted) == piece + 1:
            raise TasteError("the recognizer ended; please say that again, another one is started")
        return original(*arguments)

    setattr(recognizer, method, fail)
    return brain


@pytest.mark.parametrize("method", ["accept", "partial", "finish"])
def test_the_next_question_is_answered(method):
    first, second = spoken("what is the time"), spoken("and who are you", voice="low")
    audio = track(silence(1), first, silence(3), second, silence(3))
    brain = failing(FakeBrain(["what is the time", "and who are you"], ["i am taste"]), method, 0)
    done = run_session(audio, brain)
    assert [e.text for e in done.of(ev.Notice)] == [
        "the recognizer ended; please say that again, another one is started"
    ]
    assert [e.reason for e in done.of(ev.SpeechDropped)] == ["nothing_recognized"]
    assert done.brain.history == [("user", "and who are you"), ("assistant", "i am taste")]


@pytest.mark.parametrize("method", ["accept", "finish"])
def test_a_reply_goes_on_when_what_is_said_over_it_cannot_be_recognized(method):
    audio = track(silence(1), spoken("tell me a story"), silence(4), spoken("well"), silence(3))
    brain = failing(FakeBrain(["tell me a story", "well"], [LONG]), method, 1)
    done = run_session(audio, brain, "replay.fixed.word_ms=300")
    assert [e.text for e in done.of(ev.ReplyFinished)] == [LONG]
    assert len(done.of(ev.Notice)) == 1
