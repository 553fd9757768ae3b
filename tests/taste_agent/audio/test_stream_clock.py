import random

import pytest

from taste_agent.audio.stream_clock import StreamClock

RATE_HZ = 16000


def follow(clock, seconds, start_s=5.0, rate_error_ppm=0.0, jitter_s=0.01, seed=0):
    draw = random.Random(seed)
    for position in range(0, int(seconds * RATE_HZ), 320):
        true_s = start_s + position / RATE_HZ * (1 + rate_error_ppm / 1e6)
        clock.observe(position, true_s + draw.uniform(-jitter_s, jitter_s))
    return clock


def test_jitter_is_averaged_out():
    clock = follow(StreamClock(RATE_HZ), 5)
    assert clock.time_of(5 * RATE_HZ) == pytest.approx(10.0, abs=0.002)
    assert clock.position_at(10.0) == pytest.approx(5 * RATE_HZ, abs=32)


def test_outliers_do_not_move_it():
    clock = follow(StreamClock(RATE_HZ), 5)
    before = clock.time_of(0)
    for _ in range(10):
        clock.observe(5 * RATE_HZ, 99.0)
    assert clock.time_of(0) == pytest.approx(before, abs=0.003)


def test_drift_is_followed_and_measured():
    clock = follow(StreamClock(RATE_HZ), 700, rate_error_ppm=200, jitter_s=0.002)
    assert clock.time_of(700 * RATE_HZ) == pytest.approx(705.14, abs=0.005)
    assert clock.drift_ppm == pytest.approx(200, abs=20)


def test_drift_is_unknown_at_first():
    assert follow(StreamClock(RATE_HZ), 300).drift_ppm == 0.0


def test_a_jump_of_the_device_is_followed_within_seconds():
    clock = follow(StreamClock(RATE_HZ), 5)
    for position in range(5 * RATE_HZ, 9 * RATE_HZ, 320):
        clock.observe(position, 5.3 + position / RATE_HZ)
    assert clock.time_of(9 * RATE_HZ) == pytest.approx(14.3, abs=0.005)


def test_ready_after_the_first_pair():
    clock = StreamClock(RATE_HZ)
    assert not clock.ready
    clock.observe(0, 1.0)
    assert clock.ready
