import numpy as np
import pytest
import torch

from taste_speech.streaming.resampling import ChunkResampler, ResamplerState
from taste_speech.streaming.synthesis import FrameNoise
from taste_speech.streaming.word_ends import word_ends_from_attention


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


def attention(path: list[int], tokens: int, noise: float = 0.0) -> np.ndarray:
    weights = np.full((len(path), tokens), 0.02, np.float32)
    weights[np.arange(len(path)), path] = 0.8
    rng = np.random.default_rng(0)
    return weights + noise * rng.random(weights.shape, np.float32)


def test_word_ends_follow_the_attention() -> None:
    path = [0] * 5 + [1] * 2 + [2] * 7 + [3] * 4  # tokens 1 and 2 are one word
    ends = word_ends_from_attention(attention(path, 4, noise=0.3), [0, 1, 1, 2], 3)
    assert ends == [5, 14, 18]


def test_word_ends_keep_the_order_when_attention_jumps() -> None:
    path = [0] * 5 + [2] + [0] * 3 + [1] * 6 + [0] + [2] * 5
    assert word_ends_from_attention(attention(path, 3), [0, 1, 2], 3) == [9, 15, 21 - 0]


def test_words_that_nothing_looked_at_are_not_bunched_at_the_end() -> None:
    ends = word_ends_from_attention(attention([0] * 9, 3), [0, 1, 2], 3)
    assert ends == [5, 7, 9]


def test_without_attention_words_take_units_by_their_tokens() -> None:
    nothing = np.zeros((24, 6), np.float32)
    assert word_ends_from_attention(nothing, [0, 1, 1, 1, 2, 2], 3) == [5, 16, 24]


def test_clear_attention_decides_against_the_usual_durations() -> None:
    path = [0] * 5 + [1] * 20 + [2] * 5
    assert word_ends_from_attention(attention(path, 3), [0, 1, 2], 3) == [5, 25, 30]


def test_fewer_units_than_words_and_words_without_tokens() -> None:
    assert word_ends_from_attention(attention([0, 1], 4), [0, 1, 2, 3], 4) == [0, 1, 2, 2]
    assert word_ends_from_attention(attention([0, 0, 1, 1], 2), [0, 2], 3) == [2, 2, 4]
    assert word_ends_from_attention(np.zeros((0, 2), np.float32), [0, 1], 2) == [0, 0]
