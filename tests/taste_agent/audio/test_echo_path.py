import numpy as np
import pytest

from taste_agent.audio.echo_path import EchoPath

FRAME = 160


def run(gain_db=None, delay_ms=0, seconds=4, person_from_s=None, near_noise=1e-5):
    """Speech-like bursts from the loudspeaker, what comes back of them, and perhaps a person."""
    draw = np.random.default_rng(1)
    size = seconds * 16000
    envelope = np.repeat(draw.uniform(0.3, 1.0, size // 1600), 1600)
    far = (draw.standard_normal(size) * 0.1 * envelope).astype(np.float32)
    near = (draw.standard_normal(size) * near_noise).astype(np.float32)
    if gain_db is not None:
        delay = delay_ms * 16
        near[delay:] += far[: size - delay] * 10 ** (gain_db / 20)
    if person_from_s is not None:
        start = int(person_from_s * 16000)
        near[start:] += (draw.standard_normal(size - start) * 0.05).astype(np.float32)
    path = EchoPath()
    verdicts = []
    for i in range(0, size, FRAME):
        path.add(near[i : i + FRAME], far[i : i + FRAME])
        verdicts.append(path.negligible)
    return path, verdicts


def test_nothing_is_known_before_the_agent_has_spoken():
    path = EchoPath()
    silence = np.zeros(FRAME, dtype=np.float32)
    for _ in range(500):
        path.add(silence, silence)
    assert path.gain_db is None
    assert not path.negligible


def test_without_echo_it_is_known_soon():
    _, verdicts = run()
    assert not verdicts[20]
    assert verdicts[120]


@pytest.mark.parametrize("gain_db", [0, -6, -12, -20, -30])
@pytest.mark.parametrize("delay_ms", [0, 20, 200, 400, 650])
def test_an_echo_is_never_called_negligible(gain_db, delay_ms):
    path, verdicts = run(gain_db, delay_ms)
    assert not any(verdicts)
    assert path.gain_db >= gain_db - 0.5


def test_a_faint_echo_is_negligible():
    assert run(-50, 100)[1][-1]


def test_a_person_who_speaks_for_a_while_changes_nothing():
    _, verdicts = run(seconds=5, person_from_s=2.5)
    assert all(verdicts[120:])


def test_an_echo_that_comes_back_is_noticed_within_seconds():
    path = EchoPath()
    draw = np.random.default_rng(0)
    for second in range(8):
        for _ in range(100):
            far = (draw.standard_normal(FRAME) * 0.1).astype(np.float32)
            path.add(far * (0.5 if second >= 3 else 0.0), far)
    assert not path.negligible
