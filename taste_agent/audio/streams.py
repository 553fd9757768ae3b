"""The objects that PortAudio's threads call: their callbacks only copy samples and note the time."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taste_agent.audio.ports import Samples


class RingBuffer:
    """A fixed buffer of mono samples for one writer and one reader.

    Positions only grow. The writer alone changes `written`, the reader alone changes `taken`, and each is
    stored after its samples were copied. That order makes the buffer safe without a lock, so that an audio
    callback never waits for another thread.
    """

    def __init__(self, capacity_samples: int) -> None:
        if capacity_samples <= 0:
            raise ValueError(f"capacity_samples is {capacity_samples}; a ring buffer needs at least 1")
        self._samples = np.zeros(capacity_samples, dtype=np.float32)
        self.written = self.taken = 0

    @property
    def capacity_samples(self) -> int:
        """Capacity of the buffer."""
        return self._samples.size

    @property
    def available(self) -> int:
        """Samples that the reader can take now."""
        return self.written - self.taken

    @property
    def free(self) -> int:
        """Samples that the writer can add now."""
        return self.capacity_samples - self.available

    def write(self, samples: Samples) -> int:
        """Store the `samples` (T,) that fit and return their number; drop the rest."""
        count = min(samples.size, self.free)
        start = self.written % self.capacity_samples
        first = min(count, self.capacity_samples - start)
        self._samples[start : start + first] = samples[:first]
        self._samples[: count - first] = samples[first:count]
        self.written += count
        return count

    def read_into(self, out: Samples) -> int:
        """Move the oldest samples to the start of `out` (T,) and return their number."""
        count = min(out.size, self.available)
        start = self.taken % self.capacity_samples
        first = min(count, self.capacity_samples - start)
        out[:first] = self._samples[start : start + first]
        out[first:count] = self._samples[: count - first]
        self.taken += count
        return count

    def read(self, max_samples: int) -> Samples:
        """Take at most `max_samples` as a new array; not for callbacks, because it allocates."""
        out = np.empty(min(max_samples, self.available), dtype=np.float32)
        return out[: self.read_into(out)]

    def skip(self, count: int) -> int:
        """Drop at most `count` of the oldest samples (reader's side) and return their number."""
        count = min(count, self.available)
        self.taken += count
        return count


RING_S = 10
MAX_BLOCK_SAMPLES = 1 << 15
STAMPS = 256
# Problems within this time belong to one hiccup: first the device runs dry, then the queue.
SAME_HICCUP_S = 0.2
# Larger differences from the current time are wrong; some host APIs leave the times at zero.
BELIEVABLE_S = 2.0


def converter_delay_s(converter_s: float, current_s: float, fallback_s: float) -> float:
    """Return the seconds until (positive) or since (negative) a block passes the converter.

    `converter_s` and `current_s` are times of the stream; if they are implausible, return `fallback_s`, its
    nominal latency with the same sign.
    """
    delay_s = converter_s - current_s
    return fallback_s if converter_s <= 0.0 or abs(delay_s) > BELIEVABLE_S else delay_s


class CaptureSide:
    """Receives mono samples from a microphone at the device's rate, with their capture times.

    `latency_s` is used if the stream reports no times. `last_sound_s` is the time of the last block that was
    not digital silence.
    """

    def __init__(self, rate_hz: int, latency_s: float = 0.0) -> None:
        self.rate_hz = rate_hz
        self.latency_s = latency_s
        self.ring = RingBuffer(RING_S * rate_hz)
        self.stamps: deque[tuple[int, float]] = deque(maxlen=STAMPS)
        self.last_callback_s = self.last_sound_s = time.monotonic()
        self.callbacks = self.overflows = 0
        self._mixed = np.zeros(MAX_BLOCK_SAMPLES, dtype=np.float32)

    def callback(self, indata: NDArray[np.float32], frames: int, times: Any, status: Any) -> None:
        """Take a block (frames, channels) from PortAudio; average two channels."""
        now_s = time.monotonic()
        mixed = self._mixed[:frames]
        np.copyto(mixed, indata[:, 0])
        if indata.shape[1] == 2:
            mixed += indata[:, 1]
            mixed *= 0.5
        delay_s = converter_delay_s(times.inputBufferAdcTime, times.currentTime, -self.latency_s)
        self.stamps.append((self.ring.written, now_s + delay_s))
        if status.input_overflow:
            self.overflows += 1
        self.ring.write(mixed)
        if mixed.any():
            self.last_sound_s = now_s
        self.last_callback_s = now_s
        self.callbacks += 1


class PlaybackSide:
    """Passes samples to a loudspeaker and keeps a copy of them.

    After running dry it waits until `prime_samples` are queued, and fades in, so that a hiccup is one gap
    without crackling. `cut` silences queued samples without moving later ones. `latency_s` is used if the
    stream reports no times.
    """

    def __init__(self, rate_hz: int, prime_samples: int, fade_samples: int, latency_s: float = 0.0) -> None:
        self.rate_hz = rate_hz
        self.prime_samples = prime_samples
        self.queue = RingBuffer(RING_S * rate_hz)
        self.reference = RingBuffer(RING_S * rate_hz)
        self.stamps: deque[tuple[int, float]] = deque(maxlen=STAMPS)
        self.last_callback_s = time.monotonic()
        self.callbacks = 0
        """Callbacks since the stream started or last ran dry."""
        self.delay_s = latency_s
        self.underruns = 0
        self.breaks = 0
        """Number of times the device itself ran dry, after which everything is heard later."""
        self._hiccup_s, self._latency_s = -SAME_HICCUP_S, latency_s
        self._cut_until, self._cut_faded = 0, True
        self._primed = self._sounding = False
        self._fade_out = np.linspace(1.0, 0.0, fade_samples, dtype=np.float32)
        self._fade_in = np.linspace(0.0, 1.0, fade_samples, dtype=np.float32)
        self._block = np.zeros(MAX_BLOCK_SAMPLES, dtype=np.float32)

    @property
    def latency_samples(self) -> int:
        """Samples from the end of the queue to the ear."""
        return self.queue.available + round(self.delay_s * self.rate_hz)

    def cut(self, next_samples: int = 0) -> None:
        """Fade out at once, and silence everything queued and the `next_samples` written after it."""
        self._cut_faded = False
        self._cut_until = self.queue.written + next_samples

    def callback(self, outdata: NDArray[np.float32], frames: int, times: Any, status: Any) -> None:
        """Fill a block (frames, channels) for PortAudio; all channels get the same sound."""
        now_s = time.monotonic()
        block = self._block[:frames]
        if status.output_underflow and self._sounding and self._primed:
            self._count_hiccup(now_s)
        if self._fill(block):
            self._count_hiccup(now_s)
        outdata[:] = block[:, None]
        self.delay_s = converter_delay_s(times.outputBufferDacTime, times.currentTime, self._latency_s)
        self.stamps.append((self.reference.written, now_s + self.delay_s))
        self.reference.write(block)
        if status.output_underflow:  # counted after its stamp, which is the first valid one again
            self.breaks += 1
            self.callbacks = 0
        self.last_callback_s = now_s
        self.callbacks += 1

    def _count_hiccup(self, now_s: float) -> None:
        self.underruns += now_s - self._hiccup_s >= SAME_HICCUP_S
        self._hiccup_s = now_s

    def _fill(self, block: NDArray[np.float32]) -> bool:
        """Fill `block` from the queue; return whether it ran dry in the middle of sound."""
        starting = not self._primed
        if starting and self.queue.available < max(self.prime_samples, block.size):
            block[:] = 0.0
            return False
        self._primed = True
        start = self.queue.taken
        count = self.queue.read_into(block)
        if starting:
            ramp = self._fade_in[: block.size]
            block[: ramp.size] *= ramp
        if start < self._cut_until:
            self._silence(block[: min(count, self._cut_until - start)])
        if count < block.size:
            return self._run_dry(block, count)
        self._sounding = bool(block.any())
        return False

    def _silence(self, block: NDArray[np.float32]) -> None:
        ramp = self._fade_out[: 0 if self._cut_faded else block.size]
        block[: ramp.size] *= ramp
        block[ramp.size :] = 0.0
        self._cut_faded = True

    def _run_dry(self, block: NDArray[np.float32], count: int) -> bool:
        tail = block[:count][-self._fade_out.size :]
        tail *= self._fade_out[self._fade_out.size - tail.size :]
        self._sounding = self._sounding or bool(tail.any())
        block[count:] = 0.0
        self._primed = False
        return self._sounding
