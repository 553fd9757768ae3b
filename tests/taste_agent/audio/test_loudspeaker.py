import random

import numpy as np
import pytest

from taste_agent.audio.loudspeaker import STEADY_S, PlayedReference, StreamClock
from taste_agent.audio.streams import PlaybackSide

RATE_HZ = 16000
FRAME = 160


def played(side, samples, heard_from_s, rate_error_ppm=0.0):
    """What a callback would leave behind: blocks in the reference, each with its time."""
    for start in range(0, samples.size, FRAME):
        position = side.reference.written
        side.stamps.append((position, heard_from_s + position / side.rate_hz * (1 + rate_error_ppm / 1e6)))
        side.reference.write(samples[start : start + FRAME])


def new_side(rate_hz=RATE_HZ):
    return PlaybackSide(rate_hz, prime_samples=1, fade_samples=1)


def ramp(count, start=0):
    return np.arange(start, start + count, dtype=np.float32)


def test_nothing_followed_is_silence():
    assert not PlayedReference().frame(1.0, FRAME).any()


def test_frame_is_what_was_heard_then():
    reference, side = PlayedReference(), new_side()
    reference.attach(side)
    played(side, ramp(RATE_HZ), heard_from_s=10.0)
    reference.pull()
    np.testing.assert_array_equal(reference.frame(10.5, FRAME), ramp(FRAME, 8000))
    np.testing.assert_array_equal(reference.frame(10.51, FRAME), ramp(FRAME, 8160))


def test_what_the_device_was_not_given_yet_is_none():
    reference, side = PlayedReference(), new_side()
    reference.attach(side)
    played(side, ramp(1600), heard_from_s=0.0)
    reference.pull()
    assert reference.frame(0.2, FRAME) is None


def test_what_was_heard_before_the_beginning_is_silence():
    reference, side = PlayedReference(), new_side()
    reference.attach(side)
    played(side, ramp(1600) + 1, heard_from_s=10.0)
    reference.pull()
    frame = reference.frame(9.995, FRAME)
    assert not frame[:80].any()
    np.testing.assert_array_equal(frame[80:], ramp(80) + 1)


@pytest.mark.parametrize("ppm", [-300, 300])
def test_drift_is_followed_in_silence(ppm):
    reference, side = PlayedReference(), new_side()
    reference.attach(side)
    positions = []
    time_s = 0.0
    for second in range(120):
        sound = ramp(RATE_HZ) if second % 10 < 7 else np.zeros(RATE_HZ, dtype=np.float32)
        played(side, sound, heard_from_s=0.0, rate_error_ppm=ppm)
        reference.pull()
        while reference.frame(time_s, FRAME) is not None:
            positions.append(reference._position)
            time_s += FRAME / RATE_HZ
    moved = np.flatnonzero(np.diff(positions[1:]) != FRAME)
    assert 1 <= moved.size <= 2
    assert all((at + 2) / 100 % 10 >= 7 for at in moved)
    expected = time_s / (1 + ppm / 1e6) * RATE_HZ
    assert positions[-1] == pytest.approx(expected, abs=2 * FRAME + STEADY_S * RATE_HZ)


def starts_of(reference, asked_s):
    """The first sample of each frame that is asked for by those times."""
    return np.array([reference.frame(time_s, FRAME)[0] for time_s in asked_s])


def test_jitter_of_the_times_moves_nothing():
    reference, side = PlayedReference(), new_side()
    reference.attach(side)
    played(side, ramp(2 * RATE_HZ) + 1, heard_from_s=0.0)
    reference.pull()
    jitter_s = np.random.default_rng(0).uniform(-0.01, 0.01, 150)
    assert set(np.diff(starts_of(reference, 0.1 + 0.01 * np.arange(150) + jitter_s))) == {FRAME}


def test_in_silence_the_position_follows_at_once_and_in_sound_not_at_all():
    late_s = 0.03
    for samples, steps in (
        (np.zeros(2 * RATE_HZ, dtype=np.float32), {FRAME, FRAME + 480}),
        (ramp(2 * RATE_HZ) + 1, {FRAME}),
    ):
        reference, side = PlayedReference(), new_side()
        reference.attach(side)
        played(side, samples, heard_from_s=0.0)
        reference.pull()
        positions = []
        for i in range(100):
            reference.frame(0.1 + 0.01 * i + late_s * (i >= 10), FRAME)
            positions.append(reference._position)
        assert set(np.diff(positions)) == steps


def test_a_frame_that_is_not_waited_for_moves_no_other():
    reference, side = PlayedReference(), new_side()
    reference.attach(side)
    played(side, ramp(RATE_HZ) + 1, heard_from_s=0.0)
    reference.pull()
    first = reference.frame(0.5, FRAME)[0]
    reference.skip(FRAME)
    assert starts_of(reference, (0.52, 0.53)).tolist() == [first + 2 * FRAME, first + 3 * FRAME]


def test_after_the_device_ran_dry_only_later_times_count():
    reference, side = PlayedReference(), new_side()
    reference.attach(side)
    played(side, ramp(RATE_HZ) + 1, heard_from_s=0.0)
    reference.pull()
    reference.frame(0.9, FRAME)
    played(side, ramp(FRAME, RATE_HZ) + 1, heard_from_s=0.0)  # not taken over yet
    played(side, ramp(FRAME, RATE_HZ + FRAME) + 1, heard_from_s=0.03)
    side.breaks += 1
    played(side, ramp(RATE_HZ // 2, RATE_HZ + 2 * FRAME) + 1, heard_from_s=0.03)
    reference.pull()
    assert reference.frame(1.2, FRAME)[0] - 1 == round(1.17 * RATE_HZ)


def test_a_far_jump_is_taken_at_once():
    reference, side = PlayedReference(), new_side()
    reference.attach(side)
    played(side, ramp(RATE_HZ), heard_from_s=0.0)
    reference.pull()
    reference.frame(0.1, FRAME)
    assert reference.frame(0.5, FRAME)[0] == 8000


def test_device_rate_is_converted():
    reference, side = PlayedReference(), new_side(48000)
    reference.attach(side)
    tone = np.sin(2 * np.pi * 440 * np.arange(48000) / 48000).astype(np.float32)
    played(side, tone, heard_from_s=0.0)
    reference.pull()
    expected = np.sin(2 * np.pi * 440 * (np.arange(FRAME) / RATE_HZ + 0.5))
    np.testing.assert_allclose(reference.frame(0.5, FRAME), expected, atol=0.02)


@pytest.mark.parametrize("at_once_s", [0.02, 1.5, 3])
def test_what_is_taken_over_late_or_often_stays_in_place(at_once_s):
    reference, side = PlayedReference(), new_side()
    reference.attach(side)
    size = round(at_once_s * RATE_HZ)
    for start in range(0, 12 * RATE_HZ, size):
        played(side, ramp(size, start) + 1, heard_from_s=0.0)
        reference.pull()
        end_s = (start + size) / RATE_HZ
        np.testing.assert_array_equal(reference.frame(end_s - 0.02, FRAME), ramp(FRAME, start + size - 319))
        reference._position = None


def test_memory_is_bounded():
    reference, side = PlayedReference(), new_side()
    reference.attach(side)
    for _ in range(30):
        played(side, ramp(RATE_HZ), heard_from_s=0.0)
        reference.pull()
    assert reference._kept.size <= 4 * RATE_HZ
    assert reference._kept.base.size == 4 * RATE_HZ


def follow(clock, seconds, start_s=5.0, rate_error_ppm=0.0, jitter_s=0.01, seed=0):
    draw = random.Random(seed)
    for position in range(0, int(seconds * RATE_HZ), 320):
        true_s = start_s + position / RATE_HZ * (1 + rate_error_ppm / 1e6)
        clock.observe(position, true_s + draw.uniform(-jitter_s, jitter_s))
    return clock


def test_jitter_is_averaged_out():
    clock = follow(StreamClock(), 5)
    assert clock.time_of(5 * RATE_HZ) == pytest.approx(10.0, abs=0.002)
    assert clock.position_at(10.0) == pytest.approx(5 * RATE_HZ, abs=32)


def test_outliers_do_not_move_it():
    clock = follow(StreamClock(), 5)
    before = clock.time_of(0)
    for _ in range(10):
        clock.observe(5 * RATE_HZ, 99.0)
    assert clock.time_of(0) == pytest.approx(before, abs=0.003)


def test_drift_is_followed():
    clock = follow(StreamClock(), 700, rate_error_ppm=200, jitter_s=0.002)
    assert clock.time_of(700 * RATE_HZ) == pytest.approx(705.14, abs=0.005)


def test_a_jump_of_the_device_is_followed_within_seconds():
    clock = follow(StreamClock(), 5)
    for position in range(5 * RATE_HZ, 9 * RATE_HZ, 320):
        clock.observe(position, 5.3 + position / RATE_HZ)
    assert clock.time_of(9 * RATE_HZ) == pytest.approx(14.3, abs=0.005)


def test_ready_after_the_first_pair():
    clock = StreamClock()
    assert not clock.ready
    clock.observe(0, 1.0)
    assert clock.ready
