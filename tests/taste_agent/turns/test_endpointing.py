import pytest

from taste_agent.config import EndpointingSettings
from taste_agent.turns.endpointing import ends_hanging, required_silence_ms

SETTINGS = EndpointingSettings(
    min_silence_ms=500, max_silence_ms=1500, sure_probability=0.8, unsure_probability=0.4
)


@pytest.mark.parametrize(
    ("probability", "expected"), [(1.0, 500), (0.8, 500), (0.6, 1000), (0.4, 1500), (0.0, 1500)]
)
def test_silence_follows_the_models_probability(probability, expected):
    assert required_silence_ms(SETTINGS, probability, "what is it") == pytest.approx(expected)


def test_unknown_probability_waits_and_no_probability_does_not():
    assert required_silence_ms(SETTINGS, None, "what is it", asks_model=True) == 1500
    assert required_silence_ms(SETTINGS, None, "what is it", asks_model=False) == 500


def test_a_sure_model_does_not_cut_a_hanging_sentence():
    assert required_silence_ms(SETTINGS, 1.0, "i would like to") == 1500


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
    ],
)
def test_hanging_texts(text, hanging):
    assert ends_hanging(text, SETTINGS.hanging_words) is hanging


def test_equal_probabilities_make_a_step():
    step = SETTINGS.model_copy(update={"sure_probability": 0.5, "unsure_probability": 0.5})
    assert [required_silence_ms(step, p, "yes") for p in (0.49, 0.5)] == [1500, 500]
