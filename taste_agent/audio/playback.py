"""The jitter buffer between generated sound and the loudspeaker. Pure; counts what was really played."""

from dataclasses import dataclass

import numpy as np

from taste_agent.audio.chunk_pace import ChunkPace
from taste_agent.audio.ports import Samples
from taste_agent.clock import samples_of_ms
from taste_agent.config import PlaybackSettings
from taste_speech.words import Word


@dataclass(frozen=True, eq=False, slots=True)
class Pulled:
    """What one pull gave."""

    samples: Samples
    started: bool = False
    """The reply's first sample is in it."""
    words_ended: int = 0
    finished: bool = False
    """The reply's last sample is in it (or was before it)."""
    ran_dry: bool = False
    """Playback has just run out of samples although more are to come."""
    gap_samples: int = 0
    """Length of the gap that ended with this pull."""


class PlaybackBuffer:
    """Holds one reply; each `begin` forgets the previous one.

    Playback starts when `prebuffer_ms` are there (or the reply is complete), and what is there lasts until
    the next chunk is to be expected, if that can be had within `max_prebuffer_ms`. It fades at every start
    and stop, and after a pause goes on from the beginning of the word that the pause fell into. When it runs
    dry it fades out, waits for a prebuffer twice as long, and counts the gap; a reply without one halves it.
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
        """Makes room for a new reply; what was left of the old one can no longer sound."""
        self.generation = generation
        if not self._ran_dry:
            self._prebuffer = max(self._least_prebuffer, self._prebuffer // 2)
        self._ran_dry = False
        self._held = 0  # samples for which playback has waited although something was there
        self._pace.begin()
        self._pending = np.zeros(0, np.float32)
        self._pending_start = 0  # reply sample of _pending[0]; never after the start of the running word
        self._position = 0  # reply sample that is played next
        self._words: list[Word] = []
        self._words_ended = 0
        self._complete = False
        self._flowing = False  # enough buffered
        self._paused = False
        self._cancelled = False
        self._gain = 0.0
        self._started = False
        self._finished = False
        self._gap = 0

    @property
    def paused(self) -> bool:
        """Whether playback was told to wait."""
        return self._paused

    @property
    def words_ended(self) -> int:
        """Words of this reply that were pulled to their end."""
        return self._words_ended

    def push(self, generation: int, samples: Samples, words: tuple[Word, ...]) -> None:
        """Takes the next chunk; one of another generation is dropped."""
        if generation != self.generation:
            return
        self._pace.arrived()
        keep_from = max(0, self._word_start() - self._pending_start)
        self._pending = np.concatenate([self._pending[keep_from:], samples.astype(np.float32, copy=False)])
        self._pending_start += keep_from
        self._words.extend(words)

    def complete(self, generation: int) -> None:
        """No more chunks will come."""
        if generation == self.generation:
            self._complete = True

    def pause(self) -> None:
        """Fades out and waits."""
        self._pace.disturb()
        self._paused = True

    def resume(self) -> int:
        """Goes on from the start of the interrupted word, whose index it returns."""
        if self._paused:
            self._paused = False
            if self._gain == 0.0:  # else it had not fallen silent yet
                self._position = max(self._word_start(), self._pending_start)
        return self._words_ended

    def unpull(self, words: int) -> None:
        """Takes back the last `words` that were pulled: the loudspeaker's queue is silenced before them.

        For a paused reply; nothing more sounds until `resume`, which says them again, as far back as samples
        are kept.
        """
        self._words_ended -= words
        self._position = max(self._word_start(), self._pending_start)
        self._gain = 0.0
        self._finished = self._cancelled

    def cancel(self) -> None:
        """Fades out and forgets the rest."""
        self._paused = self._cancelled = True
        self._finished |= self._gain == 0.0

    def pull(self, count: int) -> Pulled:
        """The next `count` samples for the loudspeaker; silence where there is nothing to say."""
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
        # A fade's worth is kept back while more is to come, so that running dry can fade too.
        runs_dry = not self._complete and available < count + self._fade_samples
        if self._paused or runs_dry:
            played = self._fade_out(out, min(count, available), available if self._paused else count)
        else:
            played = self._play(out, min(count, available))
        first = not self._started and played > 0
        self._started |= first
        if runs_dry and not self._paused:
            self._flowing, self._gap, self._held, self._ran_dry = False, count - played, 0, True
            self._prebuffer = min(max(2 * self._prebuffer, count), self._max_prebuffer)
        at_end = self._complete and self._position >= self._pending_start + len(self._pending)
        self._finished = at_end or (self._cancelled and self._gain == 0.0)
        ended = self._count_words(everything=at_end and not self._cancelled)
        return Pulled(out, first, ended, self._finished, runs_dry and self._started, gap)

    def _is_enough(self, available: int) -> bool:
        """Whether playback can start: not if a short wait keeps it from running dry before the next chunk."""
        if available < max(self._prebuffer, 1):
            return False
        missing = self._pace.next_due + self._fade_samples - available
        return missing <= 0 or missing > self._max_prebuffer - self._held

    def _play(self, out: Samples, count: int) -> int:
        gains = np.minimum(self._gain + np.arange(1, count + 1, dtype=np.float32) / self._fade_samples, 1.0)
        return self._copy(out, gains)

    def _fade_out(self, out: Samples, count: int, within: int) -> int:
        """Copies what sounds of a fade that is over after at most `within` samples; returns how many."""
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
        """Reply sample at which the word that is being played began."""
        return min(self._words[self._words_ended - 1].end, self._position) if self._words_ended else 0

    def _count_words(self, everything: bool) -> int:
        before = self._words_ended
        while self._words_ended < len(self._words) and (
            everything or self._words[self._words_ended].end <= self._position
        ):
            self._words_ended += 1
        return self._words_ended - before


class SilentPlayback(PlaybackBuffer):
    """Where nothing sounds: words count as heard as soon as they are there."""

    def pull(self, count: int) -> Pulled:
        """Silence, and all words that are new."""
        out = np.zeros(count, np.float32)
        if self._finished or self._paused:
            return Pulled(out, finished=self._finished)
        first = not self._started and bool(self._words)
        self._started |= first
        self._finished = self._complete
        return Pulled(out, first, self._count_words(everything=True), self._finished)
