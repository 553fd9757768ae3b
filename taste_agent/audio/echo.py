"""Removing the agent's own voice from the microphone."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import Any, Protocol

import numpy as np

from taste_agent.audio.echo_bound import EchoBound
from taste_agent.audio.echo_path import EchoPath
from taste_agent.audio.ports import Samples
from taste_agent.errors import AgentError

FRAME_MS = 10
# The loudspeaker counts as sounding above this level; below it there is no echo to measure.
FAR_ACTIVE_RMS = 0.003
# Where the microphone is weaker than the loudspeaker by more, no echo comes back that could be cancelled.
NO_ECHO_DB = 45.0
# Figures cover the last blocks of half a second in which the loudspeaker sounded.
FIGURE_BLOCK_FRAMES = 50
FIGURE_BLOCKS = 10
# After so much silence of the loudspeaker no echo is on its way any more.
RESTING_FRAMES = 100
# What is left of an echo that comes back by so much weaker is below the level of speech.
WORKING_DB = 30.0
# A canceller that works knows the echo's way: what it leaves comes within this after what was played.
WORKING_REACH_S = 0.3


@dataclass(frozen=True)
class EchoFigures:
    """What the canceller is measured to do, over the last five seconds in which the loudspeaker sounded.

    `return_loss_db`: how much weaker the microphone is than the loudspeaker signal before cancelling;
    `enhancement_db`: how much cancelling took away beyond that. Both None until something was played,
    and the second where no echo comes back.
    """

    return_loss_db: float | None = None
    enhancement_db: float | None = None
    delay_ms: int = 0


def echo_reach_s(figures: EchoFigures, widest_s: float) -> float:
    """How long after a sound was played its echo is to be expected in the cleaned signal, `widest_s` at most.

    Until the canceller has proved that it works, nothing is known about the echo's way.
    """
    if figures.return_loss_db is None:
        return widest_s
    works = figures.return_loss_db + (figures.enhancement_db or 0.0) >= WORKING_DB
    return min(widest_s, WORKING_REACH_S) if works else widest_s


class EchoUnavailableError(AgentError):
    """The echo canceller cannot run on this machine."""


class Canceller(Protocol):
    """Takes the echo of what the loudspeaker plays out of what the microphone captures."""

    rate_hz: int

    def process(self, near: Samples, far: Samples) -> Samples:
        """Clean one 10 ms frame `near` (T,) with the loudspeaker's frame `far` (T,)."""
        ...

    def figures(self) -> EchoFigures:
        """What was measured lately."""
        ...


class EchoMeter:
    """Measures echo levels frame by frame; pure arithmetic, no audio library."""

    def __init__(self) -> None:
        self._blocks: deque[tuple[float, float]] = deque(maxlen=FIGURE_BLOCKS)
        self._sums = np.zeros(3)
        self._frames = 0

    def add(self, near: Samples, cleaned: Samples, far: Samples) -> None:
        """Count one frame of the microphone before and after cancelling, and of the loudspeaker."""
        far_energy = float(far @ far)
        if far_energy < FAR_ACTIVE_RMS**2 * far.size:
            return
        self._sums += (float(near @ near), float(cleaned @ cleaned), far_energy)
        self._frames += 1
        if self._frames == FIGURE_BLOCK_FRAMES:
            near_sum, clean_sum, far_sum = self._sums + 1e-9
            self._blocks.append((10 * np.log10(far_sum / near_sum), 10 * np.log10(near_sum / clean_sum)))
            self._sums[:] = 0
            self._frames = 0

    def figures(self, delay_ms: int = 0) -> EchoFigures:
        """The medians over the last blocks: a person talking over the agent spoils few of them."""
        blocks = tuple(self._blocks)  # another thread may add to them meanwhile
        if not blocks:
            return EchoFigures(delay_ms=delay_ms)
        loss_db = float(median(block[0] for block in blocks))
        # Where most blocks are without an echo, a person speaks in the others.
        echoes = [enhancement for loss, enhancement in blocks if loss < NO_ECHO_DB > loss_db]
        return EchoFigures(
            return_loss_db=loss_db,
            enhancement_db=float(median(echoes)) if echoes else None,
            delay_ms=delay_ms,
        )


class WebRtcCanceller:
    """WebRTC's echo canceller, noise suppression, high-pass filter and gain control on 10 ms frames.

    Where no echo comes back (headphones, a far loudspeaker) WebRTC's canceller still expects one for many
    seconds and takes the person's voice for it. As soon as the levels prove that there is none, its result is
    left aside for one without cancelling; it goes on adapting meanwhile, and rests while nothing is played.
    """

    def __init__(
        self,
        rate_hz: int = 16000,
        *,
        noise_suppression: bool = True,
        high_pass: bool = True,
        gain_control: bool = False,
    ) -> None:
        """Load the library; `EchoUnavailableError` where that fails."""
        try:
            from livekit.rtc import AudioFrame, AudioProcessingModule

            others = {
                "noise_suppression": noise_suppression,
                "high_pass_filter": high_pass,
                "auto_gain_control": gain_control,
            }
            self._module = AudioProcessingModule(echo_cancellation=True, **others)
            self._without = AudioProcessingModule(echo_cancellation=False, **others)
        except Exception as error:  # the native library fails in ways of its own on unsupported platforms
            raise EchoUnavailableError(
                f"echo.mode webrtc does not work here ({error}); auto and half_duplex listen only while the "
                "agent is silent; if you wear headphones, set echo.mode to headphones"
            ) from error
        self._frame_type = AudioFrame
        self.rate_hz = rate_hz
        self.frame_samples = rate_hz * FRAME_MS // 1000
        self.set_delay_ms(0)
        self._meter = EchoMeter()
        self._bound = EchoBound(rate_hz)
        self._path = EchoPath()
        self._bypassed = False
        self._silent_frames = 0
        self._fade = np.linspace(0.0, 1.0, self.frame_samples, dtype=np.float32)

    def set_delay_ms(self, delay_ms: int) -> None:
        """Tell how much later than its `far` frame an echo can reach `near` at the earliest."""
        self._delay_ms = max(0, delay_ms)
        self._module.set_stream_delay_ms(self._delay_ms)

    def process(self, near: Samples, far: Samples) -> Samples:
        """Clean one 10 ms frame `near` (T,) with the loudspeaker's frame `far` (T,)."""
        for name, frame in (("near", near), ("far", far)):
            if frame.shape != (self.frame_samples,):
                raise ValueError(
                    f"{name} has shape {frame.shape}; the canceller takes {self.frame_samples} samples"
                )
        self._silent_frames = 0 if far.any() else self._silent_frames + 1
        if self._bypassed and self._silent_frames > RESTING_FRAMES:
            return self._processed(self._without, near)
        self._module.process_reverse_stream(self._packed(far))
        cleaned = self._bound.apply(self._processed(self._module, near), near, far)
        self._meter.add(near, cleaned, far)
        self._path.add(near, far)
        return self._chosen(cleaned, near)

    def _chosen(self, cleaned: Samples, near: Samples) -> Samples:
        """The cleaned signal or, where there is no echo, the plain one; a change of mind is a cross-fade."""
        before, self._bypassed = self._bypassed, self._path.negligible
        if not before and not self._bypassed:
            return cleaned
        plain = self._processed(self._without, near)
        if before == self._bypassed:
            return plain
        old, new = (plain, cleaned) if before else (cleaned, plain)
        return old + self._fade * (new - old)

    def _processed(self, module: Any, samples: Samples) -> Samples:
        packed = self._packed(samples)
        module.process_stream(packed)
        return np.frombuffer(packed.data, dtype=np.int16).astype(np.float32) / 32768.0

    def _packed(self, samples: Samples) -> Any:
        pcm = np.clip(np.rint(samples * 32767.0), -32768, 32767).astype(np.int16)
        # The library writes its result into the buffer it was given, so that must be writable.
        return self._frame_type(bytearray(pcm.tobytes()), self.rate_hz, 1, self.frame_samples)

    def figures(self) -> EchoFigures:
        """What was measured lately."""
        return self._meter.figures(self._delay_ms)


class HalfDuplexGate:
    """The fallback: while the loudspeaker sounds, and a moment after, the microphone counts as silent.

    With it the agent cannot be interrupted by voice, which the caller must show.
    """

    def __init__(self, rate_hz: int = 16000, hangover_ms: int = 400) -> None:
        """Close for `hangover_ms` after the last sounding frame: the longest echo delay to expect."""
        self.rate_hz = rate_hz
        self._hangover_frames = hangover_ms // FRAME_MS
        self._closed_frames = 0

    def process(self, near: Samples, far: Samples) -> Samples:
        """Return `near` (T,), or silence while closed."""
        if float(far @ far) >= FAR_ACTIVE_RMS**2 * far.size:
            self._closed_frames = self._hangover_frames + 1
        if self._closed_frames == 0:
            return near
        self._closed_frames -= 1
        return np.zeros_like(near)

    def figures(self) -> EchoFigures:
        """Nothing is measured."""
        return EchoFigures()
