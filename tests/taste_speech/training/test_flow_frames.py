import os

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from taste_speech.training.config import StageContext
from taste_speech.training.corpus.audio_store import AudioStore
from taste_speech.training.flow_frames import write_flow_frames
from taste_speech.training.stages.vocoder import SegmentSampler, Settings
from taste_speech.training.voice_features import prepared_features
from taste_speech.vocoder.flow import Flow

UNITS = 40


@pytest.fixture
def context(tmp_path, tiny_model):
    return StageContext(tmp_path, tiny_model.config)


@pytest.fixture
def features(context):
    """Two utterances of the training split, each as long as its units."""
    config = context.config.voice_generator
    samples = UNITS * config.sampling_rate_hz // config.units_per_second
    store = AudioStore(context.folder("corpus") / "reply")
    manner = {"voice": "rms", "rate": 1.0, "pitch": 1.0, "slope": 0.0, "emphasis": None}
    for key in ("first", "second"):
        store.append(np.ones(samples, np.int16), id=key, split="train", text="a", **manner)
    return prepared_features(context, ["reply"])


@pytest.fixture
def trained(context):
    """A flow of random weights, and units."""
    torch.manual_seed(0)
    config = context.config.voice_generator
    units = {key: torch.arange(UNITS) % config.unit_vocab_size for key in ("first", "second")}
    save_file(units, context.folder("units") / "units.safetensors")
    return save_flow(context)


def save_flow(context):
    flow = Flow(context.config.voice_generator)
    path = context.folder("flow") / "flow.safetensors"
    save_file({key: value.contiguous() for key, value in flow.state_dict().items()}, path)
    return path


def test_frames_last_as_long_as_their_units(context, features, trained):
    config = context.config.voice_generator
    made = write_flow_frames(context.root / "made", context, features, "rms", clips=2)
    for key in ("first", "second"):
        assert made[key].shape == (config.mel_frames(UNITS), config.mel_bins)
        assert np.isfinite(made[key]).all()
    assert not np.array_equal(made["first"], made["second"])  # each has noise of its own


def test_only_as_many_clips_as_wanted(context, features, trained):
    made = write_flow_frames(context.root / "made", context, features, "rms", clips=1)
    assert ("first" in made) != ("second" in made)


def test_frames_are_kept_until_the_flow_is_newer(context, features, trained):
    folder = context.root / "made"
    before = np.array(write_flow_frames(folder, context, features, "rms", clips=2)["first"])
    kept = write_flow_frames(folder, context, features, "rms", clips=2)["first"]
    np.testing.assert_array_equal(kept, before)
    later = (folder / "index.json").stat().st_mtime + 10
    os.utime(save_flow(context), (later, later))
    assert not np.array_equal(write_flow_frames(folder, context, features, "rms", clips=2)["first"], before)


@pytest.mark.parametrize(("flow_part", "from_flow"), [(0.0, False), (1.0, True)])
def test_the_vocoder_speaks_from_the_frames_of_the_flow(context, features, trained, flow_part, from_flow):
    made = write_flow_frames(context.root / "made", context, features, "rms", clips=2)
    settings = Settings(stores=["reply"], batch_size=3, segment_frames=8, flow_part=flow_part)
    mel, f0_hz, audio = SegmentSampler(features, settings, ("train",), made).batch(torch.Generator())
    own = torch.from_numpy(features[0]["first"].mel.astype(np.float32))
    # The sound hums on one note, so that all its frames but the first and last ones are the same.
    assert torch.allclose(mel, own[10][None, :, None].expand_as(mel)) != from_flow
    assert mel.shape == (3, own.shape[1], 8)
    assert f0_hz.shape == (3, 8)
    assert audio.shape == (3, 8 * context.config.voice_generator.hop_samples)
