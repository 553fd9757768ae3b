"""Removing the agent's own voice from the microphone."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import Any, Protocol

import numpy as np

from taste_agent.audio.ports import Samples
from taste_agent.clock import ENGINE_RATE_HZ, samples_of_ms
from taste_agent.errors import AgentError

FRAME_MS = 10
FRAME_SAMPLES = samples_of_ms(FRAME_MS)
# Level above which the loudspeaker counts as active; below it there is no echo to measure.
FAR_ACTIVE_RMS = 0.003
# If the microphone is weaker than the loudspeaker by more, there is no echo to cancel.
NO_ECHO_DB = 45.0
# Figures cover the last blocks of half a second in which the loudspeaker was active.
FIGURE_BLOCK_FRAMES, FIGURE_BLOCKS = 50, 10
# Silence of the loudspeaker after which all echoes have decayed.
RESTING_FRAMES = 100
# An echo that is weaker by this is below the level of speech.
WORKING_DB = 30.0
# Delay within which the residual echo of a working canceller arrives.
WORKING_REACH_S = 0.3
# For `EchoPath`, in frames. Several windows must agree, because one may lie between two sounds.
WINDOW_FRAMES, MAX_DELAY_FRAMES, MEMORY_FRAMES, AGREEING_FRAMES = 30, 70, 300, 20
# An echo weaker than this stays below the level of speech.
NEGLIGIBLE_DB = -35.0
# For `EchoBound`. A short window passes a jump of the echo's path before the leak counts as speech.
WINDOW_S, MAX_DELAY_S = 0.064, 0.6
# Enough for fractional delays and the first reflections, but too few to explain another voice.
TAPS = 32
# Anything quieter is not speech.
LOUD_RMS = 0.002
# The fit explains a little of any sound; only more than this multiple of the residual is reduced.
MARGIN = 2.0
# For `EchoHeard`: interval of checks, before and after the proof that there is no echo; their window.
LOOK_FRAMES, LATER_LOOK_FRAMES, LOOK_S = 5, 20, 0.3
# In 0.2 s the fit explains more than 0.31 of 95 % of simulated echoes (reverberation of 0.15 to 0.6 s, small
# loudspeakers, gains down to -25 dB), and less than 0.11 of 95 % of voices over headphones.
EXPLAINED, UNEXPLAINED = 0.3, 0.15
# Number of checks in a row that must agree.
AGREEING_LOOKS = 2
# Frames weaker than the loudspeaker by this factor are quiet; after this many, an echo is unlikely.
QUIET_GAIN, QUIET_FRAMES = 0.1, 20


@dataclass(frozen=True)
class EchoFigures:
    """Quality of echo cancellation over the last five seconds of active playback.

    `return_loss_db` is the attenuation from loudspeaker to microphone before canceling, `enhancement_db` the
    further attenuation by canceling. Both are None before any playback, the second also without an echo.
    """

    return_loss_db: float | None = None
    enhancement_db: float | None = None


def echo_reach_s(figures: EchoFigures, widest_s: float) -> float:
    """Return how long after a sound its echo may be in the cleaned signal.

    That is `widest_s` until the canceller is known to work.
    """
    if figures.return_loss_db is None:
        return widest_s
    works = figures.return_loss_db + (figures.enhancement_db or 0.0) >= WORKING_DB
    return min(widest_s, WORKING_REACH_S) if works else widest_s


class EchoUnavailableError(AgentError):
    """The echo canceller cannot run on this machine."""


class Canceller(Protocol):
    """Removes the echo of the loudspeaker from the microphone's signal."""

    def process(self, near: Samples, far: Samples) -> Samples:
        """Clean one 10 ms frame `near` (T,) with the loudspeaker's frame `far` (T,)."""

    def figures(self) -> EchoFigures:
        """Return the recent measurements."""


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

    def figures(self) -> EchoFigures:
        """Return medians over the last blocks, because a person talking over the agent spoils a few."""
        blocks = tuple(self._blocks)  # another thread may add some meanwhile
        if not blocks:
            return EchoFigures()
        loss_db = float(median(block[0] for block in blocks))
        # If most blocks have no echo, the others contain a person's speech.
        echoes = [enhancement for loss, enhancement in blocks if loss < NO_ECHO_DB > loss_db]
        return EchoFigures(loss_db, float(median(echoes)) if echoes else None)


class WebRtcCanceller:
    """WebRTC's echo canceller, noise suppression, high-pass filter and gain control on 10 ms frames.

    Without an echo (headphones, a distant loudspeaker), WebRTC's canceller still expects one for many seconds
    and mistakes the person's voice for it. So as soon as there seems to be no echo, the signal is not
    canceled; the canceller keeps adapting, and rests while nothing is played.
    """

    def __init__(
        self,
        *,
        delay_ms: int = 0,
        noise_suppression: bool = True,
        high_pass: bool = True,
        gain_control: bool = False,
    ) -> None:
        """Expect echoes `delay_ms` after their `far` frame at the earliest.

        Raises:
            EchoUnavailableError: the library does not work here.
        """
        try:
            from livekit.rtc import AudioFrame, AudioProcessingModule

            others = {"noise_suppression": noise_suppression, "high_pass_filter": high_pass}
            others["auto_gain_control"] = gain_control
            self._module = AudioProcessingModule(echo_cancellation=True, **others)
            self._without = AudioProcessingModule(echo_cancellation=False, **others)
        except Exception as error:  # any exception, on platforms without support by the native library
            raise EchoUnavailableError(
                f"echo.mode webrtc does not work here ({error}); auto and half_duplex listen only while the "
                "agent is silent; if you wear headphones, set echo.mode to headphones"
            ) from error
        self._frame_type = AudioFrame
        self._module.set_stream_delay_ms(delay_ms)
        self._meter, self._bound = EchoMeter(), EchoBound()
        self._path, self._heard = EchoPath(), EchoHeard()
        self._bypassed, self._silent_frames = False, 0
        self._fade = np.linspace(0.0, 1.0, FRAME_SAMPLES, dtype=np.float32)

    def process(self, near: Samples, far: Samples) -> Samples:
        """Clean one 10 ms frame `near` (T,) with the loudspeaker's frame `far` (T,)."""
        for name, frame in (("near", near), ("far", far)):
            if frame.shape != (FRAME_SAMPLES,):
                raise ValueError(
                    f"{name} has shape {frame.shape}; the canceller takes {FRAME_SAMPLES} samples"
                )
        self._silent_frames = 0 if far.any() else self._silent_frames + 1
        # Even if unused: it must adapt, or else it takes the first speech for noise.
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
        """Return the cleaned signal or, without an echo, the plain one; cross-fade when switching."""
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
        # The library writes its result into this buffer, so it must be writable.
        return self._frame_type(bytearray(pcm.tobytes()), ENGINE_RATE_HZ, 1, FRAME_SAMPLES)

    def figures(self) -> EchoFigures:
        """Return the recent measurements."""
        return self._meter.figures()


class HalfDuplexGate:
    """The fallback: mutes the microphone while the loudspeaker is active, and briefly after.

    The agent cannot be interrupted by voice then, which the caller must show.
    """

    def __init__(self, hangover_ms: int = 400) -> None:
        """Stay closed for `hangover_ms`, the longest expected echo delay, after the last active frame."""
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
        """Return figures without measurements."""
        return EchoFigures()


class EchoPath:
    """An upper bound of the echo's gain from the energies of both sides; if it is low, there is no echo.

    The gain is at most the microphone's energy in a window, divided by the loudspeaker's lowest energy in any
    window whose echo could arrive in it (delays up to 0.7 s). The bound is among the lowest ratios of the
    last three seconds of playback, so a person's speech only makes some windows useless.
    """

    def __init__(self) -> None:
        self._near: deque[float] = deque(maxlen=WINDOW_FRAMES)
        self._far: deque[float] = deque(maxlen=WINDOW_FRAMES)
        self._far_windows: deque[float] = deque(maxlen=MAX_DELAY_FRAMES)
        self._ratios: deque[float] = deque(maxlen=MEMORY_FRAMES)

    def forget(self) -> None:
        """Start over, because an echo was heard."""
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
        """The bound; None until the loudspeaker was active long enough."""
        if len(self._ratios) < AGREEING_FRAMES:
            return None
        return 10 * float(np.log10(sorted(self._ratios)[AGREEING_FRAMES - 1] + 1e-12))

    @property
    def negligible(self) -> bool:
        """Whether there is no echo to cancel, as with headphones."""
        gain_db = self.gain_db
        return gain_db is not None and gain_db < NEGLIGIBLE_DB


class EchoHeard:
    """Tells within half a second of playback whether there is an echo, even while a person speaks.

    `EchoPath` needs a second of playback and a silent person, so a person who interrupts the very first reply
    would be mistaken for an echo. This class fits the loudspeaker's signal, through a few taps, to the
    microphone's: that explains most of an echo and almost nothing of a voice.
    """

    def __init__(self) -> None:
        self._near = np.zeros(round(LOOK_S * ENGINE_RATE_HZ), dtype=np.float32)
        self._far = np.zeros(self._near.size + round(MAX_DELAY_S * ENGINE_RATE_HZ) + TAPS, dtype=np.float32)
        self._frames = self._quiet_frames = self._explained = self._unexplained = 0
        self.echo = False
        """Whether an echo was heard."""
        self._other = self._proved = False

    @property
    def nothing(self) -> bool:
        """Whether there seems to be no echo; False until there is evidence."""
        return not self.echo and (self._other or self._quiet_frames >= QUIET_FRAMES)

    def prove(self) -> None:
        """Accept it as proved that there is no echo."""
        self.echo, self._proved = False, True

    def add(self, near: Samples, far: Samples) -> bool:
        """Take one frame of each side; return whether an echo is now heard for the first time."""
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
        # Voices resemble each other in their lowest and loudest tones; differencing weakens those.
        near, far = np.diff(self._near), np.diff(self._far)
        share = 1 - float(np.square(unexplained(near, far)).sum() / (near @ near))
        self._explained = self._explained + 1 if share > EXPLAINED else 0
        self._unexplained = self._unexplained + 1 if share < UNEXPLAINED else 0
        self.echo |= self._explained >= AGREEING_LOOKS
        self._other |= self._unexplained >= AGREEING_LOOKS


class EchoBound:
    """Attenuates the echo that a canceller lets through after the echo's path has changed.

    A canceller takes seconds to adapt after a jump of the path (a device lost some samples). A fit of a few
    taps to the last moment has no memory: the part of the microphone's signal that it cannot explain contains
    the person's voice, and the cleaned signal need not be louder than that part.
    """

    def __init__(self) -> None:
        self._near = np.zeros(round(WINDOW_S * ENGINE_RATE_HZ), dtype=np.float32)
        self._far = np.zeros(self._near.size + round(MAX_DELAY_S * ENGINE_RATE_HZ) + TAPS, dtype=np.float32)
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
    """Return the part of `near` that the best filter of a few taps cannot make from `far`.

    Args:
        near: (T,) samples of the microphone.
        far: samples of the loudspeaker up to the same time; longer than T by the longest delay and the taps.
    """
    played = far[_best_delay(near, far) :][: near.size + TAPS - 1]
    taps = np.lib.stride_tricks.sliding_window_view(played, near.size)
    products = taps @ taps.T
    products[np.diag_indices(TAPS)] += 1e-6 * np.trace(products) + 1e-9
    explained = np.linalg.solve(products, taps @ near) @ taps
    return (near - explained).astype(np.float32)


def _best_delay(near: Samples, far: Samples) -> int:
    """Return the start of the taps: around the place in `far` that is most similar to `near`."""
    size = 1 << (far.size + near.size - 1).bit_length()
    places = far.size - near.size + 1
    alike = np.fft.irfft(np.fft.rfft(far, size) * np.conj(np.fft.rfft(near, size)), size)[:places]
    sums = np.concatenate(([0.0], np.cumsum(np.square(far, dtype=np.float64))))
    energies = sums[near.size :] - sums[: -near.size]
    best = int(np.argmax(np.square(alike) / (energies + 1e-6 * energies.max() + 1e-12)))
    return int(np.clip(best - TAPS // 2, 0, places - TAPS))


def _push(kept: Samples, frame: Samples) -> None:
    """Replace the oldest samples of `kept` by those of `frame`."""
    kept[: -frame.size] = kept[frame.size :]
    kept[-frame.size :] = frame
