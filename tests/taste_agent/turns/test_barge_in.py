import pytest

from taste_agent.clock import samples_of_ms
from taste_agent.config import BargeInSettings
from taste_agent.turns.barge_in import BargeInDecision, Interjection, content_words, decide_barge_in

SETTINGS = BargeInSettings(cancel_after_ms=900, resume_after_ms=500)


def decide(speech_ms=300, silence_ms=0, partial="", final="", pending=True):
    heard = Interjection(samples_of_ms(speech_ms), samples_of_ms(silence_ms), partial, final, pending)
    return decide_barge_in(SETTINGS, heard, ("and", "the"))


@pytest.mark.parametrize(
    ("heard", "decision"),
    [
        ({}, BargeInDecision.WAIT),
        ({"speech_ms": 899}, BargeInDecision.WAIT),
        ({"speech_ms": 900}, BargeInDecision.CANCEL_SPEECH),
        ({"final": "stop"}, BargeInDecision.CANCEL_WORD),
        ({"final": "yeah but wait"}, BargeInDecision.CANCEL_WORD),
        ({"partial": "stop"}, BargeInDecision.WAIT),
        ({"partial": "stop now"}, BargeInDecision.WAIT),
        ({"partial": "stop now please"}, BargeInDecision.CANCEL_WORD),
        ({"partial": "and the and the stop now"}, BargeInDecision.WAIT),
        ({"partial": "uh huh yes"}, BargeInDecision.WAIT),
        ({"silence_ms": 600}, BargeInDecision.WAIT),
        ({"silence_ms": 600, "pending": False}, BargeInDecision.RESUME),
        ({"silence_ms": 499, "pending": False}, BargeInDecision.WAIT),
        ({"silence_ms": 600, "pending": False, "final": "uh-huh"}, BargeInDecision.RESUME),
        ({"silence_ms": 600, "pending": False, "final": "Uh-huh."}, BargeInDecision.RESUME),
    ],
)
def test_decisions(heard, decision):
    assert decide(**heard) is decision


def test_content_words_leave_out_backchannels_and_single_letters():
    assert content_words("Yeah, okay: stop a b it", SETTINGS.backchannels) == ["stop", "it"]
