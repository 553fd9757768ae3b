import math

import pytest

from taste_agent.clock import samples_of_ms
from taste_agent.config import BargeInSettings, EndpointingSettings
from taste_agent.turns.rules import (
    UNHEARD_MS,
    BargeInDecision,
    Interjection,
    content_words,
    decide_barge_in,
    ends_hanging,
    probability_over,
    required_silence_ms,
)

BARGE_IN = BargeInSettings(cancel_after_ms=900, resume_after_ms=500)
ENDPOINTING = EndpointingSettings(
    min_silence_ms=500, max_silence_ms=1500, sure_probability=0.8, unsure_probability=0.4
)


@pytest.mark.parametrize(
    ("probability", "expected"), [(1.0, 500), (0.8, 500), (0.6, 1000), (0.4, 1500), (0.0, 1500)]
)
def test_the_surer_the_end_the_shorter_the_silence(probability, expected):
    assert required_silence_ms(ENDPOINTING, probability, heard=True) == pytest.approx(expected)


def test_where_nothing_tells_from_the_sound_the_minimum_is_longer():
    assert required_silence_ms(ENDPOINTING, 1.0, heard=False) == 500 + UNHEARD_MS
    assert required_silence_ms(ENDPOINTING, None, heard=False) == 500 + UNHEARD_MS
    brief = ENDPOINTING.model_copy(update={"max_silence_ms": 600})
    assert required_silence_ms(brief, 1.0, heard=False) == 600


def test_logits_of_model_and_sound_are_weighted():
    even = ENDPOINTING.model_copy(update={"text_weight": 1.0, "sound_weight": 1.0, "weight_offset": 0.0})
    # Their odds are 9 : 1 and 1 : 4, together 9 : 4.
    assert probability_over(even, "what is it", 0.9, 0.2) == pytest.approx(9 / 13)
    sound = even.model_copy(update={"sound_weight": 2.0})  # the sound's odds count squared
    assert probability_over(sound, "what is it", 0.9, 0.2) == pytest.approx(9 / 25)
    later = even.model_copy(update={"weight_offset": -math.log(9)})
    assert probability_over(later, "what is it", 0.9, 0.2) == pytest.approx(0.2)
    assert 0 < probability_over(even, "what is it", 0.0, 1.0) < 1


def test_what_alone_is_known_decides_alone():
    assert probability_over(ENDPOINTING, "what is it", 0.7, None) == 0.7
    assert probability_over(ENDPOINTING, "what is it", None, 0.7) == 0.7
    assert probability_over(ENDPOINTING, "what is it", None, None) is None


def test_a_sure_model_does_not_cut_a_hanging_sentence():
    assert probability_over(ENDPOINTING, "i would like to", 1.0, 1.0) == 0


@pytest.mark.parametrize(
    ("text", "hanging"),
    [
        ("what is the", True),
        ("What is THE", True),
        ("apples, ", True),
        ("so the dog...", True),
        ("the dog…", True),
        ("i think so.", False),
        ("turn it on", False),
        ("", False),
        ("so", True),
        ("and?", False),
        ("I went to the.", True),
        ("Yes, because.", True),
        ("That is what it is for.", False),
    ],
)
def test_hanging_texts(text, hanging):
    assert ends_hanging(text, ENDPOINTING.hanging_words) is hanging


def test_equal_probabilities_make_a_step():
    step = ENDPOINTING.model_copy(update={"sure_probability": 0.5, "unsure_probability": 0.5})
    assert [required_silence_ms(step, p, heard=True) for p in (0.49, 0.5)] == [1500, 500]


def decide(speech_ms=300, silence_ms=0, partial="", final="", pending=True):
    heard = Interjection(samples_of_ms(speech_ms), samples_of_ms(silence_ms), partial, final, pending)
    return decide_barge_in(BARGE_IN, heard, ("and", "the"))


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
    assert content_words("Yeah, okay: stop a b it", BARGE_IN.backchannels) == ["stop", "it"]
