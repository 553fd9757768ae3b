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
    required_silence_ms,
)

BARGE_IN = BargeInSettings(cancel_after_ms=900, resume_after_ms=500)
ENDPOINTING = EndpointingSettings(
    min_silence_ms=500, max_silence_ms=1500, sure_probability=0.8, unsure_probability=0.4
)


@pytest.mark.parametrize(
    ("probability", "expected"), [(1.0, 500), (0.8, 500), (0.6, 1000), (0.4, 1500), (0.0, 1500)]
)
def test_silence_follows_the_less_sure_of_model_and_sound(probability, expected):
    assert required_silence_ms(ENDPOINTING, probability, "what is it", 0.9) == pytest.approx(expected)
    assert required_silence_ms(ENDPOINTING, 0.9, "what is it", probability) == pytest.approx(expected)


def test_where_nothing_tells_from_the_sound_the_minimum_is_longer():
    assert required_silence_ms(ENDPOINTING, 1.0, "what is it") == 500 + UNHEARD_MS
    brief = ENDPOINTING.model_copy(update={"max_silence_ms": 600})
    assert required_silence_ms(brief, 1.0, "what is it") == 600


def test_unknown_probability_waits_and_no_probability_does_not():
    assert required_silence_ms(ENDPOINTING, None, "what is it", 0.9, asks_model=True) == 1500
    assert required_silence_ms(ENDPOINTING, None, "what is it", 0.9, asks_model=False) == 500
    assert required_silence_ms(ENDPOINTING, None, "what is it", 0.0, asks_model=False) == 1500


def test_one_word_that_the_model_takes_for_an_answer_does_not_wait_to_sound_finished():
    soon = 500 + UNHEARD_MS
    assert required_silence_ms(ENDPOINTING, 0.99, "Seven.", 0.1) == pytest.approx(soon)
    assert required_silence_ms(ENDPOINTING, 0.99, "Seven.", 0.79) == pytest.approx(525)
    assert required_silence_ms(ENDPOINTING, 0.99, "It is seven.", 0.1) == 1500
    # Their odds are 9 : 1 and 1 : 9, together even.
    assert required_silence_ms(ENDPOINTING, 0.9, "Seven.", 0.1) == pytest.approx(1500 - 0.25 * (1500 - soon))
    assert required_silence_ms(ENDPOINTING, 0.9, "Okay", 0.01) == 1500
    assert required_silence_ms(ENDPOINTING, 0.1, "How", 0.9) == 1500
    assert required_silence_ms(ENDPOINTING, 0.99, "and", 0.9) == 1500
    assert required_silence_ms(ENDPOINTING, 1.0, "Yes.", 0.0) == 1500 - 0.25 * (1500 - soon)


def test_a_sure_model_does_not_cut_a_hanging_sentence():
    assert required_silence_ms(ENDPOINTING, 1.0, "i would like to", 1.0) == 1500


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
    assert [required_silence_ms(step, p, "yes", 1.0) for p in (0.49, 0.5)] == [1500, 500]


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
