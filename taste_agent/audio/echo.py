"""Removing the agent's own voice from the microphone."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import Any, Protocol

import numpy as np

from taste_agent.audio.ports import Samples
from taste_agent.errors import AgentError

FRAME_MS = 10
# The loudspeaker counts as sounding above this level; below it there is no echo to measure.
FAR_ACTIVE_RMS = 0.003
# If the microphone is weaker than the loudspeaker by more, no echo comes back that could be canceled.
NO_ECHO_DB = 45.0
# Figures cover the last blocks of half a second in which the loudspeaker sounded.
FIGURE_BLOCK_FRAMES, FIGURE_BLOCKS = 50, 10
# After this much silence of the loudspeaker no echo is on its way any more.
RESTING_FRAMES = 100
# What is left of an echo that comes back this much weaker is below the level of speech.
WORKING_DB = 30.0
# A canceller that works knows the echo's path: what it leaves arrives within this after what was played.
WORKING_REACH_S = 0.3
# Of `EchoPath`, in frames. Several windows must agree, because a single one may lie between two sounds.
WINDOW_FRAMES, MAX_DELAY_FRAMES, MEMORY_FRAMES, AGREEING_FRAMES = 30, 70, 300, 20
# A weaker echo stays below the level at which sound counts as speech.
NEGLIGIBLE_DB = -35.0
# Of `EchoBound`. A short window is soon past a jump of the echo's path, before the leak counts as speech.
WINDOW_S, MAX_DELAY_S = 0.064, 0.6
# Enough for a delay between two samples and the first reflections, but too few to explain another voice.
TAPS = 32
# Anything quieter is not speech.
LOUD_RMS = 0.002
# The fit explains a little of any sound; only what exceeds the residual by this is attenuated.
MARGIN = 2.0
# Of `EchoHeard`: how often it looks, also once it is proved that there is no echo, and at how much.
LOOK_FRAMES, LATER_LOOK_FRAMES, LOOK_S = 5, 20, 0.3
# In 0.2 s the fit explains more than 0.31 of 95 in 100 simulated echoes (rooms that sound for 0.15 to 0.6 s,
# small loudspeakers, gains to -25 dB), and less than 0.11 of 95 in 100 voices over headphones.
EXPLAINED, UNEXPLAINED = 0.3, 0.15
# So many looks in a row must agree.
AGREEING_LOOKS = 2
# Quiet is what is so much weaker than the loudspeaker; an echo seldom comes after so many quiet frames.
QUIET_GAIN, QUIET_FRAMES = 0.1, 20


@dataclass(frozen=True)
class EchoFigures:
    """How well echo cancellation works, over the last five seconds in which the loudspeaker sounded.

    `return_loss_db`: how much weaker the microphone is than the loudspeaker signal before canceling;
    `enhancement_db`: how much canceling removed beyond that. Both are None until something was played,
    the second also if no echo comes back.
    """

    return_loss_db: float | None = None
    enhancement_db: float | None = None
    delay_ms: int = 0


def echo_reach_s(figures: EchoFigures, widest_s: float) -> float:
    """Return for how long after a sound its echo may be in the cleaned signal, `widest_s` at most.

    Until the canceller has proved that it works, nothing is known about the echo's path.
    """
    if figures.return_loss_db is None:
        return widest_s
    works = figures.return_loss_db + (figures.enhancement_db or 0.0) >= WORKING_DB
    return min(widest_s, WORKING_REACH_S) if works else widest_s


class EchoUnavailableError(AgentError):
    """The echo canceller cannot run on this machine."""


class Canceller(Protocol):
    """Removes the echo of what the loudspeaker plays from what the microphone captures."""

    rate_hz: int

    def process(self, near: Samples, far: Samples) -> Samples:
        """Clean one 10 ms frame `near` (T,) with the loudspeaker's frame `far` (T,)."""

    def figures(self) -> EchoFigures:
        """Return what was measured recently."""


class EchoMeter:
    """Measures echo levels, frame by frame."""

    def __init__(self) -> None:
        self._blocks: deque[tuple[float, float]] = deque(maxlen=FIGURE_BLOCKS)
        self._sums = np.zeros(3)
        self._frames = 0

    def add(self, near: Samples, cleaned: Samples, far: Samples) -> None:
        """Count one frame of the microphone before and after canceling, and of the loudspeaker."""
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
        """Return medians over the last blocks: a person talking over the agent spoils only a few."""
        blocks = tuple(self._blocks)  # another thread may add to them meanwhile
        if not blocks:
            return EchoFigures(delay_ms=delay_ms)
        loss_db = float(median(block[0] for block in blocks))
        # If most blocks are without an echo, a person speaks in the others.
        echoes = [enhancement for loss, enhancement in blocks if loss < NO_ECHO_DB > loss_db]
        return EchoFigures(loss_db, float(median(echoes)) if echoes else None, delay_ms)


class WebRtcCanceller:
    """WebRTC's echo canceller, noise suppression, high-pass filter and gain control on 10 ms frames.

    If no echo comes back (headphones, a distant loudspeaker), WebRTC's canceller still expects one for many
    seconds and mistakes the person's voice for it. As soon as no echo seems to come back, the result is one
    without canceling; the canceller keeps adapting, and rests while nothing is played.
    """

    def __init__(
        self,
        rate_hz: int = 16000,
        *,
        noise_suppression: bool = True,
        high_pass: bool = True,
        gain_control: bool = False,
    ) -> None:
        """Load the library; raise `EchoUnavailableError` if that fails."""
        try:
            from livekit.rtc import AudioFrame, AudioProcessingModule

            others = {"noise_suppression": noise_suppression, "high_pass_filter": high_pass}
            others["auto_gain_control"] = gain_control
            self._module = AudioProcessingModule(echo_cancellation=True, **others)
            self._without = AudioProcessingModule(echo_cancellation=False, **others)
        except Exception as error:  # anything, on platforms that the native library does not support
            raise EchoUnavailableError(
                f"echo.mode webrtc does not work here ({error}); auto and half_duplex listen only while the "
                "agent is silent; if you wear headphones, set echo.mode to headphones"
            ) from error
        self._frame_type = AudioFrame
        self.rate_hz = rate_hz
        self.frame_samples = rate_hz * FRAME_MS // 1000
        self.set_delay_ms(0)
        self._meter, self._bound = EchoMeter(), EchoBound(rate_hz)
        self._path, self._heard = EchoPath(), EchoHeard(rate_hz)
        self._bypassed, self._silent_frames = False, 0
        self._fade = np.linspace(0.0, 1.0, self.frame_samples, dtype=np.float32)

    def set_delay_ms(self, delay_ms: int) -> None:
        """Set how much later than its `far` frame an echo can reach `near` at the earliest."""
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
        # Also where it is not used: whoever speaks when it is first needed would be taken for noise.
        plain = self._processed(self._without, near)
        if self._bypassed and self._silent_frames > RESTING_FRAMES:
            return plain
        self._module.process_reverse_stream(self._packed(far))
        cleaned = self._bound.apply(self._processed(self._module, near), near, far)
        self._meter.add(near, cleaned, far)
        self._path.add(near, far)
        if self._heard.add(near, far):
            self._path.forget()
        return self._chosen(cleaned, plain)

    def _chosen(self, cleaned: Samples, plain: Samples) -> Samples:
        """Return the cleaned signal or, without an echo, the plain one; cross-fade when that changes."""
        if self._path.negligible:
            self._heard.prove()
        before, self._bypassed = self._bypassed, self._path.negligible or self._heard.nothing
        if before == self._bypassed:
            return plain if before else cleaned
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
        """Return what was measured recently."""
        return self._meter.figures(self._delay_ms)


class HalfDuplexGate:
    """The fallback: while the loudspeaker sounds, and briefly after, the microphone counts as silent.

    The agent cannot be interrupted by voice then, which the caller must show.
    """

    def __init__(self, rate_hz: int = 16000, hangover_ms: int = 400) -> None:
        """Stay closed for `hangover_ms`, the longest expected echo delay, after the last sounding frame."""
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
        """Return nothing measured."""
        return EchoFigures()


class EchoPath:
    """An upper bound of the echo's gain, from the energies of both sides; low, there is no echo to cancel.

    The gain is at most the ratio of the microphone's energy over a window to the lowest energy that the
    loudspeaker had in any window that could sound in it (delays up to 0.7 s), whatever else the microphone
    hears. The bound is among the lowest ratios of the last three seconds of playback, so a person who speaks
    only makes some windows useless.
    """

    def __init__(self) -> None:
        self._near: deque[float] = deque(maxlen=WINDOW_FRAMES)
        self._far: deque[float] = deque(maxlen=WINDOW_FRAMES)
        self._far_windows: deque[float] = deque(maxlen=MAX_DELAY_FRAMES)
        self._ratios: deque[float] = deque(maxlen=MEMORY_FRAMES)

    def forget(self) -> None:
        """Begin anew, as an echo was heard."""
        self._ratios.clear()

    def add(self, near: Samples, far: Samples) -> None:
        """Take one frame of each side."""
        self._near.append(float(near @ near) / near.size)
        self._far.append(float(far @ far) / far.size)
        if not self._far[-1] and not any(self._far):
            self._far_windows.append(0.0)
            return
        self._far_windows.append(sum(self._far) / WINDOW_FRAMES)
        least_far = min(self._far_windows)
        if len(self._far_windows) == MAX_DELAY_FRAMES and least_far > FAR_ACTIVE_RMS**2:
            self._ratios.append(sum(self._near) / WINDOW_FRAMES / least_far)

    @property
    def gain_db(self) -> float | None:
        """The bound; None until the loudspeaker has sounded long enough."""
        if len(self._ratios) < AGREEING_FRAMES:
            return None
        return 10 * float(np.log10(sorted(self._ratios)[AGREEING_FRAMES - 1] + 1e-12))

    @property
    def negligible(self) -> bool:
        """Whether there is nothing to cancel, as with headphones."""
        gain_db = self.gain_db
        return gain_db is not None and gain_db < NEGLIGIBLE_DB


class EchoHeard:
    """Tells within half a second of sound whether an echo comes back, even while a person speaks.

    `EchoPath` proves that there is none, but that takes a second of sound and a silent person: who breaks
    into the very first reply would be taken for an echo until then. Here the loudspeaker's signal through a
    few taps is fitted to what the microphone heard: it explains most of an echo and next to nothing of a
    voice.
    """

    def __init__(self, rate_hz: int) -> None:
        self._near = np.zeros(round(LOOK_S * rate_hz), dtype=np.float32)
        self._far = np.zeros(self._near.size + round(MAX_DELAY_S * rate_hz) + TAPS, dtype=np.float32)
        self._frames = self._quiet_frames = self._explained = self._unexplained = 0
        self.echo = False
        """Whether an echo was heard."""
        self._other = self._proved = False

    @property
    def nothing(self) -> bool:
        """Whether no echo seems to come back; not before something was heard that tells."""
        return not self.echo and (self._other or self._quiet_frames >= QUIET_FRAMES)

    def prove(self) -> None:
        """Take it for proved that no echo comes back."""
        self.echo, self._proved = False, True

    def add(self, near: Samples, far: Samples) -> bool:
        """Take one frame of each side; return whether an echo is heard that was not before."""
        _push(self._near, near)
        _push(self._far, far)
        near_rms, far_rms = (float(np.sqrt(frame @ frame / frame.size)) for frame in (near, far))
        self._quiet_frames += near_rms < LOUD_RMS < QUIET_GAIN * far_rms
        self._frames += 1
        looks = self._frames % (LATER_LOOK_FRAMES if self._proved else LOOK_FRAMES) == 0
        if not self.echo and looks and far_rms >= FAR_ACTIVE_RMS:
            self._look()
            self._proved &= not self.echo
            return self.echo
        return False

    def _look(self) -> None:
        if float(self._near @ self._near) < LOUD_RMS**2 * self._near.size:
            return
        # All voices are alike in their lowest tones, which are the loudest: differences weaken them.
        near, far = np.diff(self._near), np.diff(self._far)
        share = 1 - float(np.square(unexplained(near, far)).sum() / (near @ near))
        self._explained = self._explained + 1 if share > EXPLAINED else 0
        self._unexplained = self._unexplained + 1 if share < UNEXPLAINED else 0
        self.echo |= self._explained >= AGREEING_LOOKS
        self._other |= self._unexplained >= AGREEING_LOOKS


class EchoBound:
    """Attenuates the echo that a canceller lets through after the echo's path has changed.

    A canceller adapts over seconds; when the path jumps (a device lost some samples), it lets the echo
    through until it has adapted again. A fit of a few taps to the last moment has no memory: what it cannot
    explain of the microphone by the loudspeaker is at least what the person said, and the cleaned signal need
    not be louder than that. No filter turns the loudspeaker's signal into a voice, so that is untouched.
    """

    def __init__(self, rate_hz: int) -> None:
        self._near = np.zeros(round(WINDOW_S * rate_hz), dtype=np.float32)
        self._far = np.zeros(self._near.size + round(MAX_DELAY_S * rate_hz) + TAPS, dtype=np.float32)
        self._gain = 1.0

    def apply(self, cleaned: Samples, near: Samples, far: Samples) -> Samples:
        """Attenuate the frame `cleaned` (T,), made from `near` (T,) while `far` (T,) was played."""
        _push(self._near, near)
        _push(self._far, far)
        before, self._gain = self._gain, self._gain_for(cleaned)
        if before == self._gain == 1.0:
            return cleaned
        return cleaned * np.linspace(before, self._gain, near.size, dtype=np.float32)

    def _gain_for(self, cleaned: Samples) -> float:
        energy = float(cleaned @ cleaned) / cleaned.size
        if energy < LOUD_RMS**2 or not self._far.any():
            return 1.0
        rest = unexplained(self._near, self._far)[-cleaned.size :]
        allowed = MARGIN * float(rest @ rest) / cleaned.size
        return min(1.0, float(np.sqrt(allowed / energy)))


def unexplained(near: Samples, far: Samples) -> Samples:
    """Return what the best filter of a few taps, at the best delay, cannot make of the loudspeaker's signal.

    Args:
        near: (T,), of the microphone.
        far: longer than T by the latest delay and the taps; it ends at the same time.
    """
    played = far[_best_delay(near, far) :][: near.size + TAPS - 1]
    taps = np.lib.stride_tricks.sliding_window_view(played, near.size)
    products = taps @ taps.T
    products[np.diag_indices(TAPS)] += 1e-6 * np.trace(products) + 1e-9
    explained = np.linalg.solve(products, taps @ near) @ taps
    return (near - explained).astype(np.float32)


def _best_delay(near: Samples, far: Samples) -> int:
    """Return where the taps begin: around the place of the played signal most like the microphone's."""
    size = 1 << (far.size + near.size - 1).bit_length()
    places = far.size - near.size + 1
    alike = np.fft.irfft(np.fft.rfft(far, size) * np.conj(np.fft.rfft(near, size)), size)[:places]
    sums = np.concatenate(([0.0], np.cumsum(np.square(far, dtype=np.float64))))
    energies = sums[near.size :] - sums[: -near.size]
    best = int(np.argmax(np.square(alike) / (energies + 1e-6 * energies.max() + 1e-12)))
    return int(np.clip(best - TAPS // 2, 0, places - TAPS))


def _push(kept: Samples, frame: Samples) -> None:
    """Let the oldest samples of `kept` go for those of `frame`."""
    kept[: -frame.size] = kept[frame.size :]
    kept[-frame.size :] = frame
