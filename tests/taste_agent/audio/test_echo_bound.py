import numpy as np
import pytest

from taste_agent.audio.echo import WebRtcCanceller
from taste_agent.audio.echo_bound import EchoBound
from tests.taste_agent.speech import spoken

FRAME = 160
RATE_HZ = 16000
LONG = "it is five o clock in the afternoon and the sun is still up over the quiet sea. " * 4


def level_db(samples):
    return 10 * np.log10(np.mean(np.square(samples)) + 1e-12)


def voice(seconds, pitch_hz, seed):
    """A buzz whose pitch and loudness wander, as a voice's do."""
    draw = np.random.default_rng(seed)
    size = seconds * RATE_HZ
    wander = np.interp(
        np.arange(size), np.arange(0, size + 1600, 1600), draw.uniform(0.8, 1.2, size // 1600 + 1)
    )
    phase = 2 * np.pi * np.cumsum(pitch_hz * wander) / RATE_HZ
    return (0.1 * wander * sum(np.sin(k * phase + k) / k for k in range(1, 20))).astype(np.float32)


def later(samples, delay):
    return np.concatenate([np.zeros(delay, dtype=np.float32), samples])[: samples.size]


def held_down(cleaned, near, far):
    bound = EchoBound(RATE_HZ)
    frames = range(0, far.size - FRAME + 1, FRAME)
    return np.concatenate([bound.apply(*(x[i : i + FRAME] for x in (cleaned, near, far))) for i in frames])


@pytest.mark.parametrize("delay", [0, 333, 5000])
def test_an_echo_that_was_let_through_is_held_down(delay):
    far = voice(3, 140, 0)
    near = 0.5 * later(far, delay)
    left = held_down(near, near, far)[RATE_HZ:]
    assert level_db(left) < level_db(near[RATE_HZ:]) - 25


@pytest.mark.parametrize("person_db", [0, -6, -12])
def test_a_person_over_an_echo_loses_nothing(person_db):
    far, person = voice(3, 140, 0), voice(3, 110, 1) * 10 ** (person_db / 20)
    kept = held_down(person, person + later(far, 500), far)
    assert level_db(kept) > level_db(person) - 1


def test_what_is_heard_while_nothing_is_played_is_untouched():
    person, silence = voice(2, 110, 1), np.zeros(2 * RATE_HZ, dtype=np.float32)
    np.testing.assert_array_equal(held_down(person, person, silence), person)


def test_a_way_that_jumps_lets_no_speech_through():
    far = spoken(LONG)
    far = far[: far.size // FRAME * FRAME]
    echo = later(far, 500)
    for at in range(8, far.size // RATE_HZ, 4):  # some samples are lost
        echo[at * RATE_HZ :] = later(far, 500 + 40 * at)[at * RATE_HZ :]
    canceller = WebRtcCanceller()
    canceller.set_delay_ms(30)
    cleaned = [canceller.process(echo[i : i + FRAME], far[i : i + FRAME]) for i in range(0, far.size, FRAME)]
    windows = [level_db(np.concatenate(cleaned[i : i + 10])) for i in range(400, len(cleaned) - 10, 10)]
    assert sum(level > -35 for level in windows) <= len(range(8, far.size // RATE_HZ, 4))
    assert max(windows) < -25
