"""The jitter buffer between generated sound and the loudspeaker. Pure; counts the played words."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from taste_agent.audio.ports import Samples
from taste_agent.clock import samples_of_ms
from taste_agent.config import PlaybackSettings
from taste_speech.words import Word

# Covers the last one to three replies: the pace of chunks changes with the load of the machine.
RECENT_CHUNKS = 6
# Chunks grow, and some take longer than the average.
MARGIN = 1.5


class ChunkPace:
    """Predicts when the next chunk of a reply arrives; time is counted in samples pulled."""

    def __init__(self) -> None:
        self._intervals: deque[int] = deque(maxlen=RECENT_CHUNKS)
        self.begin()

    def begin(self) -> None:
        """Start to wait for a chunk."""
        self._since = 0
        self._disturbed = False

    def passed(self, count: int) -> None:
        """Advance the time by `count` samples."""
        self._since += count

    def disturb(self) -> None:
        """Ignore the current interval: the chunk may be waiting for something else."""
        self._disturbed = True

    def arrived(self) -> None:
        """Record the arrival of a chunk, and start to wait for the next one."""
        if not self._disturbed:
            self._intervals.append(self._since)
        self.begin()

    @property
    def next_due(self) -> int:
        """Samples until the next chunk is expected, with a margin; 0 if unknown."""
        if not self._intervals:
            return 0
        expected = MARGIN * sum(self._intervals) / len(self._intervals)
        return max(0, round(expected) - self._since)


@dataclass(frozen=True, eq=False, slots=True)
class Pulled:
    """Result of one pull."""

    samples: Samples
    started: bool = False
    """Whether it contains the reply's first sample."""
    words_ended: int = 0
    finished: bool = False
    """Whether the reply has been played to its last sample."""
    ran_dry: bool = False
    """Whether playback has just run out of samples although more will come."""
    gap_samples: int = 0
    """Length of the gap that ended with this pull."""


class PlaybackBuffer:
    """Holds one reply; each `begin` drops the previous one.

    Playback starts when `prebuffer_ms` are buffered or the reply is complete. It waits longer, up to
    `max_prebuffer_ms`, if that makes the buffer last until the next chunk is expected. It fades at every
    start and stop, and resumes after a pause from the start of the interrupted word. When it runs dry, it
    fades out, doubles the prebuffer and counts the gap; a reply without a gap halves the prebuffer.
    """

    def __init__(self, settings: PlaybackSettings) -> None:
        self._fade_samples = max(1, samples_of_ms(settings.fade_ms))
        self._least_prebuffer = self._prebuffer = samples_of_ms(settings.prebuffer_ms)
        self._max_prebuffer = samples_of_ms(settings.max_prebuffer_ms)
        self._pace = ChunkPace()
        self._ran_dry = False
        self.generation = 0
        self.begin(0)

    def begin(self, generation: int) -> None:
        """Start a new reply; the rest of the old one is dropped."""
        self.generation = generation
        if not self._ran_dry:
            self._prebuffer = max(self._least_prebuffer, self._prebuffer // 2)
        self._ran_dry = False
        self._held = 0  # samples for which playback has waited although some were buffered
        self._pace.begin()
        self._pending = np.zeros(0, np.float32)
        self._pending_start = 0  # reply sample of _pending[0]; never after the start of the running word
        self._position = 0  # reply sample that is played next
        self._words: list[Word] = []
        self.words_ended = 0  # pulled to their end
        self._flowing = False  # enough buffered
        self._complete = self._paused = self._canceled = self._started = self._finished = False
        self._gain, self._gap = 0.0, 0

    def push(self, generation: int, samples: Samples, words: tuple[Word, ...]) -> None:
        """Take the next chunk; drop one of another generation."""
        if generation != self.generation:
            return
        self._pace.arrived()
        keep_from = max(0, self._word_start() - self._pending_start)
        self._pending = np.concatenate([self._pending[keep_from:], samples.astype(np.float32, copy=False)])
        self._pending_start += keep_from
        self._words.extend(words)

    def complete(self, generation: int) -> None:
        """Note that the reply has no more chunks."""
        if generation == self.generation:
            self._complete = True

    def pause(self) -> None:
        """Fade out and wait."""
        self._pace.disturb()
        self._paused = True

    def resume(self) -> int:
        """Continue from the start of the interrupted word, and return its index."""
        if self._paused:
            self._paused = False
            if self._gain == 0.0:  # otherwise the fade had not ended yet
                self._position = max(self._word_start(), self._pending_start)
        return self.words_ended

    def unpull(self, words: int) -> None:
        """Take back the last `words` of a paused reply, which were silenced in the queue.

        `resume` plays them again, as far back as samples are kept.
        """
        self.words_ended -= words
        self._position = max(self._word_start(), self._pending_start)
        self._gain = 0.0
        self._finished = self._canceled

    def cancel(self) -> None:
        """Fade out and drop the rest."""
        self._paused = self._canceled = True
        self._finished |= self._gain == 0.0

    def pull(self, count: int) -> Pulled:
        """Return the next `count` samples for the loudspeaker; silence if there are none."""
        out = np.zeros(count, np.float32)
        self._pace.passed(count)
        if self._finished or (self._paused and self._gain == 0.0):
            return Pulled(out, finished=self._finished)
        available = self._pending_start + len(self._pending) - self._position
        gap = self._gap
        if not self._flowing:
            if not self._complete and not self._is_enough(available):
                self._held += count if available else 0
                self._gap += count if self._started else 0
                return Pulled(out)
            self._flowing, self._gap = True, 0
        # Until the reply is complete, keep enough samples for a fade-out when running dry.
        runs_dry = not self._complete and available < count + self._fade_samples
        if self._paused or runs_dry:
            played = self._fade_out(out, min(count, available), available if self._paused else count)
        else:
            steps = np.arange(1, min(count, available) + 1, dtype=np.float32)
            played = self._copy(out, np.minimum(self._gain + steps / self._fade_samples, 1.0))
        first = not self._started and played > 0
        self._started |= first
        if runs_dry and not self._paused:
            self._flowing, self._gap, self._held, self._ran_dry = False, count - played, 0, True
            self._prebuffer = min(max(2 * self._prebuffer, count), self._max_prebuffer)
        at_end = self._complete and self._position >= self._pending_start + len(self._pending)
        self._finished = at_end or (self._canceled and self._gain == 0.0)
        ended = self._count_words(everything=at_end and not self._canceled)
        return Pulled(out, first, ended, self._finished, runs_dry and self._started, gap)

    def _is_enough(self, available: int) -> bool:
        """Return whether to start; no if a short wait prevents running dry before the next chunk."""
        if available < max(self._prebuffer, 1):
            return False
        missing = self._pace.next_due + self._fade_samples - available
        return missing <= 0 or missing > self._max_prebuffer - self._held

    def _fade_out(self, out: Samples, count: int, within: int) -> int:
        """Copy the samples of a fade of at most `within` samples, and return how many."""
        length = max(1, min(round(self._gain * self._fade_samples), within))
        steps = np.arange(1, min(count, length) + 1, dtype=np.float32)
        played = self._copy(out, np.float32(self._gain) * (1 - steps / np.float32(length)))
        self._gain = self._gain if played else 0.0
        return played

    def _copy(self, out: Samples, gains: Samples) -> int:
        start, played = self._position - self._pending_start, len(gains)
        out[:played] = self._pending[start : start + played] * gains
        self._gain = float(gains[-1]) if played else self._gain
        self._position += played
        return played

    def _word_start(self) -> int:
        """Return the reply sample at which the current word began."""
        return min(self._words[self.words_ended - 1].end, self._position) if self.words_ended else 0

    def _count_words(self, everything: bool) -> int:
        before = self.words_ended
        while self.words_ended < len(self._words) and (
            everything or self._words[self.words_ended].end <= self._position
        ):
            self.words_ended += 1
        return self.words_ended - before


class SilentPlayback(PlaybackBuffer):
    """Playback of replies that are only read: words count as heard when they arrive."""

    def pull(self, count: int) -> Pulled:
        """Return silence, and count all new words."""
        out = np.zeros(count, np.float32)
        if self._finished or self._paused:
            return Pulled(out, finished=self._finished)
        first = not self._started and bool(self._words)
        self._started |= first
        self._finished = self._complete
        return Pulled(out, first, self._count_words(everything=True), self._finished)
