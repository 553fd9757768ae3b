"""Speech units -> waveform, chunk after chunk, at a cost that does not depend on how long the reply is.

Everything lies on the absolute frame grid of the reply: a frame's noise, its unit and the phase of the
voice are the same in whichever window it is computed. Each chunk sees a bounded context: units and mel
frames before it, kept as they were played, so that the flow and the vocoder go on from them. Where two
chunks meet, the end of the first as it was expected to go on fades into the second.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from taste_speech.streaming.configuration import DetokenizerConfig
from taste_speech.vocoder.phones import UNKNOWN
from taste_speech.vocoder.source import SourceRandomness
from taste_speech.vocoder.voice_generator import VoiceGenerator

_EXTRA_FRAMES = 3  # beyond the overlap, so that the vocoder's edge is not heard in it
_MAX_GRID = 8
_FRAMES_PER_BLOCK = 32
_BLOCK_STRIDE = 1_000_003  # a prime, so that blocks of neighboring seeds do not coincide


@dataclass(frozen=True)
class SynthesisState:
    """Where the synthesis of a reply is; never changed in place.

    Attributes:
        units: the last units, context of the next chunk.
        phones: those of `units`.
        n_units: units of the reply so far.
        mel: (1, bins, k) the last played frames, from the first frame of `units` on.
        n_frames: frames played so far.
        f0: (1, j) Hz of the last played frames.
        cycles: (1, 1) cycles of the fundamental before the first of `f0`.
        tail: (overlap,) how the sound was expected to go on.
    """

    units: tuple[int, ...]
    phones: tuple[int, ...]
    n_units: int
    mel: Tensor
    n_frames: int
    f0: Tensor
    cycles: Tensor
    tail: Tensor


@dataclass(frozen=True)
class Sound:
    """Result of a chunk: (samples,) to play, and (overlap,) what probably follows."""

    samples: Tensor
    following: Tensor


class FrameNoise:
    """Standard normal numbers that belong to absolute frames: the same frame has the same in every window.

    Args:
        seed: decides all of them.
        stream: streams of one seed are independent.
        shape: of the numbers of one frame.
    """

    def __init__(self, seed: int, stream: int, shape: tuple[int, ...]) -> None:
        self.seed, self.stream, self.shape = seed, stream, shape

    def frames(self, start: int, end: int) -> Tensor:
        """Numbers of the frames start, ..., end - 1: (end - start, *shape), on the CPU."""
        first, last = start // _FRAMES_PER_BLOCK, -(-end // _FRAMES_PER_BLOCK)
        blocks = torch.cat([self._block(index) for index in range(first, max(last, first + 1))])
        offset = first * _FRAMES_PER_BLOCK
        return blocks[start - offset : end - offset]

    def _block(self, index: int) -> Tensor:
        seed = (self.seed * _BLOCK_STRIDE + index) * _BLOCK_STRIDE + self.stream
        generator = torch.Generator().manual_seed(seed % 2**63)
        return torch.randn((_FRAMES_PER_BLOCK, *self.shape), generator=generator)


class Synthesizer:
    """Voice generator, voice and noise of one reply.

    Args:
        generator: flow and vocoder.
        config: window sizes.
        speaker_embeds: (1, speaker width).
        seed: of the noise.
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
        """State before the first chunk, or one that begins in silence after `n_units`."""
        voice, empty = self.generator.config, torch.zeros(1, 0, device=self.device)
        mel = torch.zeros(1, voice.mel_bins, 0, device=self.device, dtype=self.dtype)
        frames = voice.mel_frames(n_units)
        return SynthesisState((), (), n_units, mel, frames, empty, empty.new_zeros(1, 1), empty[0])

    def context_start(self, n_units: int) -> int:
        """First unit of the context after `n_units`: where, if possible, a mel frame begins too."""
        return max(0, n_units - self.config.flow_context_units) // self._grid * self._grid

    @torch.no_grad()
    def extend(
        self,
        units: list[int],
        state: SynthesisState,
        hold_back: bool,
        phones: Sequence[int] = (),
    ) -> tuple[Sound, SynthesisState]:
        """Sound of new units.

        Args:
            units: that follow those in `state`.
            state: not changed.
            hold_back: let the last units (`look_ahead_units`) wait for the next call.
            phones: that the units belong to, for a flow that reads them; none: they are unknown.
        """
        voice = self.generator.config
        window = (*state.units, *units)
        phones = (*state.phones, *(phones or [UNKNOWN] * len(units)))
        first_unit, n_units = state.n_units - len(state.units), state.n_units + len(units)
        played_units = max(0, n_units - (self.config.look_ahead_units if hold_back else 0))
        n_frames = voice.mel_frames(played_units)
        if n_frames <= state.n_frames:
            nothing = torch.zeros(0, device=self.device)
            return Sound(nothing, state.tail), replace(state, units=window, phones=phones, n_units=n_units)
        mel = self._mel(window, phones, first_unit, n_units, state.mel)
        first_frame = voice.mel_frames(first_unit)
        f0, wave, vocoder_start, cycles = self._wave(mel, first_frame, state)
        begin = (state.n_frames - vocoder_start) * voice.hop_samples
        end = (n_frames - vocoder_start) * voice.hop_samples
        samples = self._faded(wave[begin : end + self.overlap], state.tail)
        new_start = max(first_unit, self.context_start(played_units))
        kept_f0 = max(0, n_frames - self._vocoder_context(n_frames, new_start))
        f0_offset = kept_f0 - vocoder_start
        _, cycles = (
            self.generator.hift.m_source.cycles(f0[:, :f0_offset], cycles) if f0_offset else (f0, cycles)
        )
        new_state = SynthesisState(
            units=window[new_start - first_unit :],
            phones=phones[new_start - first_unit :],
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
        window_phones: tuple[int, ...],
        first_unit: int,
        n_units: int,
        known: Tensor,
    ) -> Tensor:
        """(1, bins, frames) of the window; the first frames are the known ones."""
        voice, flow = self.generator.config, self.generator.flow
        start, end = voice.mel_frames(first_unit), voice.mel_frames(n_units)
        frames = torch.arange(start, end, device=self.device)
        per_second = voice.sampling_rate_hz
        frame_units = frames * (voice.hop_samples * voice.units_per_second) // per_second - first_unit
        ids, phones = torch.tensor([[window], [window_phones]], device=self.device)
        encoded = flow.encode(ids, phones=phones)
        condition = flow.condition(encoded, frame_units.clamp(0, len(window) - 1)[None])
        noise = self._flow_noise.frames(start, end).T[None].to(condition)
        return flow.decoder(noise, condition, self._speaker, known if known.shape[-1] else None)

    def _wave(
        self, mel: Tensor, first_frame: int, state: SynthesisState
    ) -> tuple[Tensor, Tensor, int, Tensor]:
        """F0 (1, frames), waveform (samples,), and the first frame and the cycles that both start with."""
        hift, hop = self.generator.hift, self.generator.config.hop_samples
        start = state.n_frames - state.f0.shape[1]
        mel = mel[:, :, start - first_frame :]
        beyond = math.ceil(self.overlap / hop) + _EXTRA_FRAMES
        mel = torch.cat([mel, mel[:, :, -1:].expand(-1, -1, beyond)], dim=2)
        f0 = hift.f0_predictor(mel)
        f0 = torch.cat([state.f0.to(f0), f0[:, state.f0.shape[1] :]], dim=1)
        noise = self._source_noise.frames(start, start + f0.shape[1]).flatten(0, 1)[None]
        source = hift.m_source(f0, SourceRandomness(self._phase.to(f0), noise.to(f0)), state.cycles)
        return f0, hift.decode(mel, source)[0].float(), start, state.cycles

    def _vocoder_context(self, n_frames: int, first_unit: int) -> int:
        """Frames of context that the next chunk's vocoder has."""
        return min(
            self.config.vocoder_context_frames, n_frames - self.generator.config.mel_frames(first_unit)
        )

    def _faded(self, samples: Tensor, tail: Tensor) -> Tensor:
        if not len(tail):
            return samples
        head = tail * (1 - self._fade_in) + samples[: len(tail)] * self._fade_in
        return torch.cat([head, samples[len(tail) :]])


def _common_grid(sampling_rate_hz: int, samples_per_second_of_frames: int) -> int:
    """Every how many units a unit and a mel frame begin together; 1 where that is too rare to wait for."""
    grid = samples_per_second_of_frames // math.gcd(sampling_rate_hz, samples_per_second_of_frames)
    return grid if grid <= _MAX_GRID else 1
