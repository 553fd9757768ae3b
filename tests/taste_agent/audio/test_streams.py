import threading
from types import SimpleNamespace

import numpy as np
import pytest

from taste_agent.audio import streams
from taste_agent.audio.streams import CaptureSide, PlaybackSide, RingBuffer, converter_delay_s

RATE_HZ = 16000
BLOCK = 320
NO_FLAGS = SimpleNamespace(input_overflow=False, output_underflow=False)
UNDERFLOW = SimpleNamespace(input_overflow=False, output_underflow=True)
FADE = 64


def times(adc_s=0.0, dac_s=0.0, current_s=0.0):
    return SimpleNamespace(inputBufferAdcTime=adc_s, outputBufferDacTime=dac_s, currentTime=current_s)


def playback(prime=BLOCK, **options):
    return PlaybackSide(RATE_HZ, prime_samples=prime, fade_samples=FADE, **options)


def pull(side, blocks=1, flags=NO_FLAGS):
    out = np.full((blocks * BLOCK, 1), 9.0, dtype=np.float32)
    for i in range(blocks):
        side.callback(out[i * BLOCK : (i + 1) * BLOCK], BLOCK, times(), flags)
    return out[:, 0]


def ones(blocks):
    return np.ones(blocks * BLOCK, dtype=np.float32)


def test_capture_averages_two_channels():
    side = CaptureSide(RATE_HZ)
    block = np.stack([np.full(BLOCK, 0.5), np.full(BLOCK, 0.1)], axis=1).astype(np.float32)
    side.callback(block, BLOCK, times(), NO_FLAGS)
    np.testing.assert_allclose(side.ring.read(BLOCK), 0.3, atol=1e-6)


def test_capture_stamps_the_time_of_capture():
    side = CaptureSide(RATE_HZ)
    block = np.zeros((BLOCK, 1), dtype=np.float32)
    for _ in range(2):
        side.callback(block, BLOCK, times(adc_s=99.98, current_s=100.0), NO_FLAGS)
    (first, at_s), (second, _) = side.stamps
    assert (first, second) == (0, BLOCK)
    assert side.stamps[-1][1] == pytest.approx(side.last_callback_s - 0.02, abs=1e-6)
    assert at_s <= side.stamps[-1][1]


def test_capture_stamps_the_last_sound():
    side = CaptureSide(RATE_HZ)
    began_s = side.last_sound_s
    side.callback(np.zeros((BLOCK, 1), dtype=np.float32), BLOCK, times(), NO_FLAGS)
    assert side.last_sound_s == began_s
    block = np.zeros((BLOCK, 1), dtype=np.float32)
    block[7] = 1e-5
    side.callback(block, BLOCK, times(), NO_FLAGS)
    assert side.last_sound_s == side.last_callback_s > began_s


@pytest.mark.parametrize(
    ("converter_s", "current_s", "expected_s"),
    [(100.07, 100.0, 0.07), (0.0, 100.0, 0.05), (500.0, 100.0, 0.05), (99.9, 100.0, -0.1)],
)
def test_times_that_make_no_sense_are_replaced(converter_s, current_s, expected_s):
    assert converter_delay_s(converter_s, current_s, 0.05) == pytest.approx(expected_s)


def test_playback_waits_until_primed_and_fades_in():
    side = playback(prime=2 * BLOCK)
    side.queue.write(ones(1))
    assert not pull(side).any()
    side.queue.write(ones(1))
    first = pull(side)
    assert first[0] == 0.0
    assert (np.diff(first[:FADE]) > 0).all()
    assert (first[FADE:] == 1.0).all()


def test_running_dry_fades_out_counts_and_primes_again():
    side = playback(prime=2 * BLOCK)
    side.queue.write(ones(2))
    side.queue.write(ones(1)[: BLOCK // 2])
    pull(side, 2)
    gap = pull(side)
    assert gap[BLOCK // 2 - 1] == 0.0
    assert (np.diff(gap[BLOCK // 2 - FADE : BLOCK // 2]) < 0).all()
    assert not gap[BLOCK // 2 :].any()
    side.queue.write(ones(1))
    assert not pull(side).any()
    assert side.underruns == 1


def test_running_dry_in_silence_is_no_underrun():
    side = playback()
    side.queue.write(np.zeros(BLOCK, dtype=np.float32))
    pull(side, 3)
    assert side.underruns == 0


def test_a_device_that_runs_dry_again_and_again_is_one_underrun():
    side = playback()
    side.queue.write(ones(9))
    pull(side)
    pull(side, 8, UNDERFLOW)
    pull(side)
    assert (side.underruns, side.breaks) == (1, 8)


def test_two_hiccups_are_two_underruns(monkeypatch):
    now_s = [100.0]
    monkeypatch.setattr(streams, "time", SimpleNamespace(monotonic=lambda: now_s[0]))
    side = playback()
    side.queue.write(ones(3))
    pull(side)
    for now_s[0] in (101.0, 102.0):
        pull(side, 1, UNDERFLOW)
    assert side.underruns == 2


def test_a_device_that_runs_dry_in_silence_is_no_underrun():
    side = playback()
    side.queue.write(np.concatenate((np.zeros(BLOCK, dtype=np.float32), ones(2))))
    pull(side)
    pull(side, 1, UNDERFLOW)  # what it brings sounds, but what came before did not
    assert (side.underruns, side.breaks) == (0, 1)


def test_reference_is_what_was_really_played():
    side = playback()
    pull(side)
    side.queue.write(ones(2))
    heard = pull(side, 4)
    np.testing.assert_array_equal(side.reference.read(5 * BLOCK)[BLOCK:], heard)
    assert [position for position, _ in side.stamps] == [0, BLOCK, 2 * BLOCK, 3 * BLOCK, 4 * BLOCK]


def test_cut_silences_what_is_queued_and_what_was_asked_for_but_nothing_after():
    side = playback()
    side.queue.write(ones(4))
    pull(side)
    side.cut(next_samples=BLOCK)
    side.queue.write(ones(3))
    heard = pull(side, 6)
    assert (np.diff(heard[:FADE]) < 0).all()
    assert not heard[FADE : 4 * BLOCK].any()
    assert (heard[4 * BLOCK :] == 1.0).all()


def test_latency_is_queue_and_device():
    side = playback(latency_s=0.05)
    side.queue.write(ones(2))
    assert side.latency_samples == 2 * BLOCK + 800


def test_all_channels_get_the_same():
    side = playback()
    side.queue.write(ones(2))
    out = np.zeros((BLOCK, 2), dtype=np.float32)
    side.callback(out, BLOCK, times(), NO_FLAGS)
    np.testing.assert_array_equal(out[:, 0], out[:, 1])
    assert out[-1, 0] == 1.0


def samples(*values):
    return np.array(values, dtype=np.float32)


def test_samples_come_out_in_order_over_the_seam():
    ring = RingBuffer(4)
    got = []
    for start in range(0, 30, 3):
        assert ring.write(np.arange(start, start + 3, dtype=np.float32)) == 3
        got += ring.read(3).tolist()
    assert got == list(range(30))


def test_what_does_not_fit_is_dropped_and_counted():
    ring = RingBuffer(4)
    assert ring.write(samples(1, 2, 3, 4, 5, 6)) == 4
    assert (ring.available, ring.free) == (4, 0)
    assert ring.read(10).tolist() == [1, 2, 3, 4]


def test_read_into_fills_the_head_only():
    ring = RingBuffer(8)
    ring.write(samples(1, 2))
    out = np.full(4, 9, dtype=np.float32)
    assert ring.read_into(out) == 2
    assert out.tolist() == [1, 2, 9, 9]


def test_skip_forgets_the_oldest():
    ring = RingBuffer(8)
    ring.write(samples(1, 2, 3))
    assert ring.skip(2) == 2
    assert ring.read(8).tolist() == [3]
    assert ring.skip(5) == 0


@pytest.mark.parametrize("capacity", [0, -1])
def test_capacity_must_be_positive(capacity):
    with pytest.raises(ValueError, match="at least 1"):
        RingBuffer(capacity)


def test_one_writer_and_one_reader_lose_nothing():
    ring = RingBuffer(64)
    total = 20000
    got = []

    def write():
        sent = 0
        while sent < total:
            block = np.arange(sent, min(sent + 7, total), dtype=np.float32)
            sent += ring.write(block)

    writer = threading.Thread(target=write)
    writer.start()
    while len(got) < total:
        got += ring.read(11).tolist()
    writer.join()
    assert got == list(range(total))
