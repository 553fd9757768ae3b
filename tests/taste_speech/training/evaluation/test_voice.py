import numpy as np
import pytest

from taste_speech.training.evaluation import held_out, voice
from taste_speech.training.evaluation.sounds import Clip
from taste_speech.training.evaluation.subjects import Mouth, TasteMind, text_only


@pytest.fixture
def clip():
    noise = 0.1 * np.random.default_rng(0).standard_normal(32_000).astype(np.float32)
    return Clip("the train leaves at half past nine.", noise, "natural")


@pytest.fixture(params=["tiny", "tiny_phones"])
def mouth(request):
    model, processor = (request.getfixturevalue(f"{request.param}_{part}") for part in ("model", "processor"))
    return Mouth(TasteMind(model, processor))


def test_word_errors_are_those_above_the_natural_voice():
    heard = {"text": "the cat sat", "heard": ["the bat sat", "the cat sat"]}
    (row,) = voice.difference_rows("x", [heard] * 10, 3)
    assert (row.value, row.natural, row.upper, row.count) == (pytest.approx(100 / 3), 0, row.value, 10)
    assert row.reached is False
    assert voice.difference_rows("x", [], 3) == []


def test_the_correlation_leaves_out_what_is_unvoiced():
    nan = float("nan")
    pairs = [([1.0, 2.0, nan], [10.0, 20.0, 5.0]), ([3.0], [30.0])]
    assert voice.correlation(pairs) == pytest.approx(1)
    assert voice.correlation([([nan], [1.0])]) == 0


def test_the_pitch_of_words_is_that_between_their_ends():
    time_s = np.arange(16_000) / 16_000
    tone = np.where(time_s < 0.5, np.sin(2 * np.pi * 120 * time_s), np.sin(2 * np.pi * 200 * time_s))
    found = np.exp(voice.word_pitch(0.5 * tone.astype(np.float32), (0.5, 1.0)))
    assert found == pytest.approx([120, 200], rel=0.05)


def test_all_ways_of_speaking_make_sound(mouth, clip):
    assert len(mouth.vocode(clip)) == pytest.approx(len(clip.samples), abs=600)
    samples, ends = mouth.say_again(clip)
    assert len(ends) == len(clip.text.split())
    assert np.abs(samples).max() > 0
    text, reply = mouth.reply(mouth.mind.talk(), "what time is it?")
    assert text
    assert len(reply) > 0
    assert len(mouth.read("the train leaves")) > 0


def test_text_alone_says_the_same_whatever_was_recorded(mouth, clip):
    muted = Mouth(TasteMind(text_only(mouth.model), mouth.processor))
    other = Clip(clip.text, clip.samples[::-1].copy(), "natural")
    assert np.array_equal(muted.say_again(clip)[0], muted.say_again(other)[0])
    assert not np.array_equal(mouth.say_again(clip)[0], muted.say_again(clip)[0])


def test_forms_are_said_by_the_projects_own_reading(monkeypatch):
    monkeypatch.setattr(
        held_out, "spoken_forms", lambda: [("7 cats", ["seven cats"]), ("$5", ["five euros"])]
    )
    (row,) = voice.say_rows()
    assert (row.value, row.count) == (50, 2)
