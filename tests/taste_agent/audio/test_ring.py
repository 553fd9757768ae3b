import threading

import numpy as np
import pytest

from taste_agent.audio.ring import RingBuffer


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
    assert (ring.available, ring.free, ring.dropped_samples) == (4, 0, 2)
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
