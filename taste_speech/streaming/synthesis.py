"""Speech units -> waveform at the requested rate, chunk by chunk.

The cost of a chunk does not depend on the length of the reply. All computation uses the reply's absolute
frame grid: a frame has the same noise, unit and phase of the voice in every window. Each chunk sees a bounded
context of earlier units and of the mel frames that were played for them, from which the flow and the vocoder
continue. At the boundary of two chunks, the predicted continuation of the first fades into the second.
"""

import math
from dataclasses import dataclass, field, replace

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor

from taste_speech.streaming.configuration import DetokenizerConfig
from taste_speech.vocoder.source import SourceRandomness
from taste_speech.vocoder.voice_generator import VoiceGenerator

_EXTRA_FRAMES = 3  # beyond the overlap, so that the vocoder's edge effects stay out of it
_MAX_GRID = 8
_FRAMES_PER_BLOCK = 32
_BLOCK_STRIDE = 1_000_003  # a prime, so that blocks of neighboring seeds do not coincide
_MIN_HISTORY_S = 0.02  # more than half the length of the resampling filter at speech rates
Samples = NDArray[np.float32]


@dataclass(frozen=True)
class SynthesisState:
    """State of the synthesis of a reply; never changed in place.

    Attributes:
        units: last units, the context of the next chunk.
        n_units: number of units in the reply so far.
        mel: (1, bins, k) last played frames, from the first frame of `units` on.
        n_frames: number of frames played so far.
        f0: (1, j) fundamental frequency in Hz of the last played frames.
        cycles: (1, 1) cycles of the fundamental before the first frame of `f0`.
        tail: (overlap,) predicted continuation of the sound.
    """

    units: tuple[int, ...]
    n_units: int
    mel: Tensor
    n_frames: int
    f0: Tensor
    cycles: Tensor
    tail: Tensor


@dataclass(frozen=True)
class Sound:
    """Samples to play (samples,) and their predicted continuation (overlap,)."""

    samples: Tensor
    following: Tensor


class FrameNoise:
    """Gaussian noise tied to absolute frames: a frame has the same noise in every window.

    Args:
        stream: number of the noise stream; streams of one seed are independent.
        shape: shape of the noise of one frame.
    """

    def __init__(self, seed: int, stream: int, shape: tuple[int, ...]) -> None:
        self.seed, self.stream, self.shape = seed, stream, shape

    def frames(self, start: int, end: int) -> Tensor:
        """Return the noise of the frames from `start` to before `end`: (end - start, *shape), on the CPU."""
        first, last = start // _FRAMES_PER_BLOCK, -(-end // _FRAMES_PER_BLOCK)
        blocks = torch.cat([self._block(index) for index in range(first, max(last, first + 1))])
        offset = first * _FRAMES_PER_BLOCK
        return blocks[start - offset : end - offset]

    def _block(self, index: int) -> Tensor:
        seed = (self.seed * _BLOCK_STRIDE + index) * _BLOCK_STRIDE + self.stream
        generator = torch.Generator().manual_seed(seed % 2**63)
        return torch.randn((_FRAMES_PER_BLOCK, *self.shape), generator=generator)


class Synthesizer:
    """Turns the units of one reply into sound, with one voice and fixed noise.

    Args:
        speaker_embeds: (1, speaker width).
    """

    def __init__(
        self, generator: VoiceGenerator, config: DetokenizerConfig, speaker_embeds: Tensor, seed: int
    ) -> None:
        self.generator, self.config = generator, config
        voice = generator.config
        self.dtype, self.device = generator.flow.encoder_proj.weight.dtype, generator.device
        with torch.no_grad():
            self._speaker = generator.flow.speaker_vector(speaker_embeds.to(self.device, self.dtype))
        sines = generator.hift.m_source.num_sines
        self._flow_noise = FrameNoise(seed, 0, (voice.mel_bins,))
        self._source_noise = FrameNoise(seed, 1, (voice.hop_samples, sines))
        phase = torch.rand((1, sines), generator=torch.Generator().manual_seed(seed)) * 2 - 1
        phase[:, 0] = 0
        self._phase = (phase * math.pi).to(self.device)
        self.overlap = math.ceil(config.overlap_ms * voice.sampling_rate_hz / 1000)
        rise = (torch.arange(self.overlap, device=self.device) + 0.5) / self.overlap
        self._fade_in = 0.5 - 0.5 * torch.cos(math.pi * rise)
        self._grid = _common_grid(voice.sampling_rate_hz, voice.units_per_second * voice.hop_samples)

    def start(self, n_units: int = 0) -> SynthesisState:
        """Return the state before the first chunk, or one that starts from silence after `n_units`."""
        voice, empty = self.generator.config, torch.zeros(1, 0, device=self.device)
        mel = torch.zeros(1, voice.mel_bins, 0, device=self.device, dtype=self.dtype)
        frames = voice.mel_frames(n_units)
        return SynthesisState((), n_units, mel, frames, empty, empty.new_zeros(1, 1), empty[0])

    def context_start(self, n_units: int) -> int:
        """Return the first unit of the context after `n_units`, aligned with a mel frame if possible."""
        return max(0, n_units - self.config.flow_context_units) // self._grid * self._grid

    @torch.no_grad()
    def extend(
        self, units: list[int], state: SynthesisState, hold_back: bool
    ) -> tuple[Sound, SynthesisState]:
        """Return the sound of new units and the next state.

        Args:
            units: units that follow those of `state`.
            state: state after the previous chunk; not changed.
            hold_back: keep the sound of the last `look_ahead_units` units for the next call.
        """
        voice = self.generator.config
        window = (*state.units, *units)
        first_unit, n_units = state.n_units - len(state.units), state.n_units + len(units)
        played_units = max(0, n_units - (self.config.look_ahead_units if hold_back else 0))
        n_frames = voice.mel_frames(played_units)
        if n_frames <= state.n_frames:
            nothing = torch.zeros(0, device=self.device)
            return Sound(nothing, state.tail), replace(state, units=window, n_units=n_units)
        mel = self._mel(window, first_unit, n_units, state.mel)
        first_frame = voice.mel_frames(first_unit)
        vocoder_start, cycles = state.n_frames - state.f0.shape[1], state.cycles
        f0, wave = self._wave(mel[:, :, vocoder_start - first_frame :], vocoder_start, state)
        begin = (state.n_frames - vocoder_start) * voice.hop_samples
        end = (n_frames - vocoder_start) * voice.hop_samples
        samples = self._faded(wave[begin : end + self.overlap], state.tail)
        new_start = max(first_unit, self.context_start(played_units))
        f0_start = max(voice.mel_frames(new_start), n_frames - self.config.vocoder_context_frames)
        f0_offset = f0_start - vocoder_start
        if f0_offset:
            _, cycles = self.generator.hift.m_source.cycles(f0[:, :f0_offset], cycles)
        new_state = SynthesisState(
            units=window[new_start - first_unit :],
            n_units=n_units,
            mel=mel[:, :, voice.mel_frames(new_start) - first_frame : n_frames - first_frame],
            n_frames=n_frames,
            f0=f0[:, f0_offset : n_frames - vocoder_start],
            cycles=cycles,
            tail=samples[end - begin :],
        )
        return Sound(samples[: end - begin], new_state.tail), new_state

    def _mel(
        self,
        window: tuple[int, ...],
        first_unit: int,
        n_units: int,
        known: Tensor,
    ) -> Tensor:
        """Return the mel frames (1, bins, frames) of the window, of which the first ones are `known`."""
        voice, flow = self.generator.config, self.generator.flow
        start, end = voice.mel_frames(first_unit), voice.mel_frames(n_units)
        frames = torch.arange(start, end, device=self.device)
        per_second = voice.sampling_rate_hz
        frame_units = frames * (voice.hop_samples * voice.units_per_second) // per_second - first_unit
        encoded = flow.encode(torch.tensor([window], device=self.device))
        condition = flow.condition(encoded, frame_units.clamp(0, len(window) - 1)[None])
        noise = self._flow_noise.frames(start, end).T[None].to(condition)
        return flow.decoder(noise, condition, self._speaker, known if known.shape[-1] else None)

    def _wave(self, mel: Tensor, start: int, state: SynthesisState) -> tuple[Tensor, Tensor]:
        """Return F0 (1, frames) and waveform (samples,) of the mel frames from frame `start` on."""
        hift, hop = self.generator.hift, self.generator.config.hop_samples
        beyond = math.ceil(self.overlap / hop) + _EXTRA_FRAMES
        mel = torch.cat([mel, mel[:, :, -1:].expand(-1, -1, beyond)], dim=2)
        f0 = hift.f0_predictor(mel)
        f0 = torch.cat([state.f0.to(f0), f0[:, state.f0.shape[1] :]], dim=1)
        noise = self._source_noise.frames(start, start + f0.shape[1]).flatten(0, 1)[None]
        source = hift.m_source(f0, SourceRandomness(self._phase.to(f0), noise.to(f0)), state.cycles)
        return f0, hift.decode(mel, source)[0].float()

    def _faded(self, samples: Tensor, tail: Tensor) -> Tensor:
        if not len(tail):
            return samples
        head = tail * (1 - self._fade_in) + samples[: len(tail)] * self._fade_in
        return torch.cat([head, samples[len(tail) :]])


@dataclass
class ResamplerState:
    """Position of a resampled stream: numbers of samples in and out, and the last input samples."""

    n_in: int = 0
    n_out: int = 0
    history: Samples = field(default_factory=lambda: np.zeros(0, np.float32))

    def clone(self) -> "ResamplerState":
        """Return an independent copy; the arrays are never changed in place."""
        return replace(self)


class ChunkResampler:
    """Resamples a stream in pieces, without seams.

    After n input samples, exactly floor(n * out_rate / in_rate) samples have come out, however the stream was
    cut. Each piece is filtered together with the samples before and after it.
    """

    def __init__(self, in_rate_hz: int, out_rate_hz: int) -> None:
        self.in_rate_hz, self.out_rate_hz = in_rate_hz, out_rate_hz
        # Windows start where an input sample and an output sample coincide.
        self._grid = in_rate_hz // math.gcd(in_rate_hz, out_rate_hz)
        self._min_history = math.ceil(_MIN_HISTORY_S * in_rate_hz)

    def position(self, n_in: int) -> int:
        """Return the number of output samples after `n_in` input samples."""
        return n_in * self.out_rate_hz // self.in_rate_hz

    def push(self, samples: Samples, following: Samples, state: ResamplerState) -> Samples:
        """Return the output samples of the next piece and advance `state`.

        Args:
            samples: (n,) next input samples.
            following: (k,) predicted continuation, for the filter; empty at the end.
            state: state of the stream; changed in place.
        """
        window_start = state.n_in - len(state.history)
        window = np.concatenate([state.history, samples])
        state.n_in += len(samples)
        end = self.position(state.n_in)
        if self.in_rate_hz == self.out_rate_hz:
            out = samples
        elif end == state.n_out:
            out = np.zeros(0, np.float32)
        else:
            offset = self.position(window_start)
            filtered = soxr.resample(np.concatenate([window, following]), self.in_rate_hz, self.out_rate_hz)
            out = filtered[state.n_out - offset : end - offset]
            # At the very end, the filter may leave out less than one sample.
            out = np.pad(out, (0, end - state.n_out - len(out)))
        state.n_out = end
        kept_from = max(window_start, state.n_in - self._min_history) // self._grid * self._grid
        state.history = window[max(0, kept_from - window_start) :]
        return out.astype(np.float32, copy=False)


def _common_grid(sampling_rate_hz: int, samples_per_second_of_frames: int) -> int:
    """Return after how many units a unit and a mel frame start together; 1 if that is too rare."""
    grid = samples_per_second_of_frames // math.gcd(sampling_rate_hz, samples_per_second_of_frames)
    return grid if grid <= _MAX_GRID else 1
