import copy

import pytest
import torch

from taste_speech.audio_tower.configuration import TowerConfig
from taste_speech.audio_tower.windows import EncoderWindows, WindowSpan
from taste_speech.streaming.configuration import StreamingConfig

WINDOWS = EncoderWindows(window=12, look_ahead=5, left=8)


def features(frames, batch=1, seed=1):
    return torch.randn(batch, frames, 8, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def windowed_tower(free_tower):
    tower = copy.deepcopy(free_tower)
    tower.windows = WINDOWS
    return tower


def test_spans_cover_the_utterance_and_end_with_it():
    assert WINDOWS.spans(30) == [
        WindowSpan(0, 12, 0, 17),
        WindowSpan(12, 24, 4, 29),
        WindowSpan(24, 30, 16, 30),
    ]
    assert WINDOWS.span(1) == WindowSpan(12, 24, 4, 29)


def test_unlimited_left_context_starts_at_the_beginning():
    assert EncoderWindows(12, 5).span(3).first == 0


def test_sizes_come_from_the_configuration():
    tower = TowerConfig(pad_to_max_source=False, hop_samples=256)
    streaming = StreamingConfig(encoder_window_s=1.0, encoder_look_ahead_s=0.4, encoder_left_context_s=2.0)
    assert EncoderWindows.from_config(tower, streaming) == EncoderWindows(62, 25, 124)
    assert EncoderWindows.of_length(2.0, tower, streaming) == EncoderWindows(124, 25, 124)
    assert EncoderWindows.from_config(tower, StreamingConfig()) is None
    assert EncoderWindows.from_config(TowerConfig(), streaming) == EncoderWindows(100, 40, None)


@torch.no_grad()
@pytest.mark.parametrize("frames", [1, 12, 13, 29, 31, 60])
def test_windowed_encoding_has_the_frames_of_one_pass(free_tower, windowed_tower, frames):
    whole, windowed = free_tower.encode(features(frames)), windowed_tower.encode(features(frames))
    assert windowed.keys.shape == whole.keys.shape
    assert windowed.values.shape == whole.values.shape
    assert torch.allclose(windowed.keys, whole.keys, atol=1e-6) == (frames <= WINDOWS.window)


@torch.no_grad()
def test_audio_after_the_look_ahead_changes_nothing(windowed_tower):
    mel = features(60)
    changed = mel.clone()
    changed[:, 17:] = 0.0
    before, after = windowed_tower.encode(mel).keys, windowed_tower.encode(changed).keys
    assert torch.equal(before[:, :6], after[:, :6])
    assert not torch.allclose(before[:, 6:12], after[:, 6:12])


@torch.no_grad()
def test_a_batch_of_windows_equals_its_items(windowed_tower):
    mels = [features(40, seed=2), features(19, seed=3)]
    batch = torch.nn.utils.rnn.pad_sequence([mel[0] for mel in mels], batch_first=True)
    encoded = windowed_tower.encode(batch, torch.tensor([40, 19]))
    assert encoded.mask.sum(1).tolist() == [20, 10]
    for item, mel in enumerate(mels):
        alone = windowed_tower.encode(mel).keys[0]
        torch.testing.assert_close(encoded.keys[item, : len(alone)], alone, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_window_has_its_position_in_the_utterance(free_tower, windowed_tower):
    mel = features(60)
    third = free_tower.encode_stretch(mel[:, 16:41], first_position=8).keys
    encoded = windowed_tower.encode(mel).keys
    torch.testing.assert_close(encoded[:, 12:18], third[:, 4:10])
    moved = free_tower.encode_stretch(mel[:, 16:41]).keys
    assert not torch.allclose(encoded[:, 12:18], moved[:, 4:10])
