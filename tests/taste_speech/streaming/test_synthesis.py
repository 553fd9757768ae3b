import copy
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from taste_speech.streaming.configuration import DetokenizerConfig
from taste_speech.streaming.synthesis import ChunkResampler, FrameNoise, ResamplerState, Synthesizer
from taste_speech.vocoder.voice_generator import VoiceGenerator

UNITS = torch.randint(0, 64, (150,), generator=torch.Generator().manual_seed(0)).tolist()
CUTS = (0, 37, 40, 41, 95, 150)


@pytest.fixture
def make_synthesizer(tiny_processor: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Synthesizer]:
    """Synthesizers whose vocoder puts out its source as it is, and whose voice has a constant pitch."""

    def make(
        sampling_rate_hz: int = 16000, decode: Callable[[Tensor, Tensor], Tensor] | None = None
    ) -> Synthesizer:
        config = tiny_processor.config.voice_generator.model_copy(
            update={"sampling_rate_hz": sampling_rate_hz}
        )
        torch.manual_seed(0)
        generator = VoiceGenerator(copy.deepcopy(config)).eval()
        monkeypatch.setattr(generator.hift.f0_predictor, "forward", lambda mel: mel[:, 0] * 0 + 170.0)
        monkeypatch.setattr(generator.hift, "decode", decode or (lambda mel, source: source[:, 0]))
        return Synthesizer(generator, DetokenizerConfig(), torch.ones(1, 16), seed=5)

    return make


def in_pieces(synthesizer: Synthesizer, hold_back: bool) -> list[Tensor]:
    state, pieces = synthesizer.start(), []
    for begin, end in itertools.pairwise(CUTS):
        sound, state = synthesizer.extend(UNITS[begin:end], state, hold_back and end < 150)
        pieces.append(sound.samples)
    return pieces


@pytest.mark.parametrize("hold_back", [False, True])
@pytest.mark.parametrize("rate", [16000, 22050])
def test_phase_noise_and_position_go_on(
    make_synthesizer: Callable[..., Synthesizer], rate: int, hold_back: bool
) -> None:
    synthesizer = make_synthesizer(rate)
    whole = synthesizer.extend(UNITS, synthesizer.start(), False)[0].samples
    joined = torch.cat(in_pieces(synthesizer, hold_back))
    assert len(whole) == 150 * rate // 50 // 256 * 256
    torch.testing.assert_close(joined, whole, rtol=0, atol=2e-3)
    assert float(whole.std()) > 0.01


def test_end_of_a_chunk_fades_into_the_next(make_synthesizer: Callable[..., Synthesizer]) -> None:
    calls: list[int] = []

    def constant(mel: Tensor, source: Tensor) -> Tensor:
        calls.append(1)
        return torch.full_like(source[:, 0], float(len(calls)))

    synthesizer = make_synthesizer(decode=constant)
    pieces = in_pieces(synthesizer, hold_back=False)
    # The chunk of one unit ends within a fade, which the next chunk takes up.
    joined = torch.cat(pieces)
    assert float(joined.diff().abs().max()) < 0.05
    assert pieces[0].eq(1).all()
    seam, overlap = pieces[1], synthesizer.overlap
    assert 1 < float(seam[0]) < 1.01
    assert float(seam[overlap // 2]) == pytest.approx(1.5, abs=0.02)
    assert float(seam[overlap + 1]) == 2
    assert (seam[:overlap].diff() > 0).all()


def test_flow_goes_on_from_the_frames_that_were_played(
    make_synthesizer: Callable[..., Synthesizer], monkeypatch: pytest.MonkeyPatch
) -> None:
    synthesizer = make_synthesizer()
    decoder, seen = synthesizer.generator.flow.decoder, []
    forward = decoder.forward

    def recorded(noise: Tensor, condition: Tensor, speaker: Tensor, known: Tensor | None) -> Tensor:
        mel = forward(noise, condition, speaker, known)
        seen.append((noise, known, mel))
        return mel

    monkeypatch.setattr(decoder, "forward", recorded)
    _, state = synthesizer.extend(UNITS[:80], synthesizer.start(), hold_back=True)
    _, state = synthesizer.extend(UNITS[80:120], state, hold_back=True)
    assert seen[0][1] is None
    noise, known, _ = seen[1]
    played, begin = (80 - 4) * 5 // 4, 24 * 5 // 4  # 50 units of context, back to a common begin
    torch.testing.assert_close(known, seen[0][2][:, :, begin:played])
    torch.testing.assert_close(noise[:, :, : 100 - begin], seen[0][0][:, :, begin:])
    assert state.n_units == 120
    assert state.n_frames == (120 - 4) * 5 // 4


def test_nothing_to_play_yet(make_synthesizer: Callable[..., Synthesizer]) -> None:
    synthesizer = make_synthesizer()
    sound, state = synthesizer.extend(UNITS[:3], synthesizer.start(), hold_back=True)
    assert len(sound.samples) == 0
    sound, state = synthesizer.extend([], state, hold_back=False)
    assert len(sound.samples) == 3 * 320 // 256 * 256
    assert state.n_units == 3


def test_noise_of_a_frame_is_the_same_in_every_window() -> None:
    noise = FrameNoise(3, 0, (4,))
    whole = noise.frames(0, 100)
    assert torch.equal(noise.frames(30, 70), whole[30:70])
    assert noise.frames(64, 64).shape == (0, 4)
    assert abs(float(whole.mean())) < 0.2
    assert 0.8 < float(whole.std()) < 1.2
    assert not torch.equal(FrameNoise(4, 0, (4,)).frames(0, 100), whole)
    assert not torch.equal(FrameNoise(3, 1, (4,)).frames(0, 100), whole)


@pytest.mark.parametrize(
    ("in_rate", "out_rate"), [(16000, 16000), (22050, 16000), (16000, 48000), (16000, 44100)]
)
def test_resampled_pieces_equal_the_whole(in_rate: int, out_rate: int) -> None:
    time = np.arange(in_rate) / in_rate
    signal = (np.sin(2 * np.pi * 440 * time) + 0.3 * np.sin(2 * np.pi * 3000 * time)).astype(np.float32)
    resampler = ChunkResampler(in_rate, out_rate)
    whole = resampler.push(signal, signal[:0], ResamplerState())
    assert len(whole) == out_rate
    state, pieces, position = ResamplerState(), [], 0
    for length in (1, 2, 300, 7, 4000, 1, 5000, in_rate):
        piece = signal[position : position + length]
        position += len(piece)
        pieces.append(resampler.push(piece, signal[position : position + 400], state))
        assert state.n_out == sum(map(len, pieces)) == position * out_rate // in_rate
    joined = np.concatenate(pieces)
    np.testing.assert_allclose(joined[200:-200], whole[200:-200], atol=2e-3)


def test_resampler_state_can_be_cloned() -> None:
    resampler, state = ChunkResampler(22050, 16000), ResamplerState()
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((2, 3000)).astype(np.float32)
    resampler.push(first, second[:400], state)
    copy = state.clone()
    one = resampler.push(second, second[:0], state)
    np.testing.assert_array_equal(resampler.push(second, second[:0], copy), one)
