import math

import pytest
import torch

from taste_speech.audio_tower.configuration import TowerConfig
from taste_speech.training.recogniser import PITCH_CENTRE_HZ, Recogniser

CONFIG = TowerConfig(
    d_model=32,
    encoder_layers=2,
    encoder_attention_heads=2,
    encoder_ffn_dim=64,
    decoder_layers=1,
    decoder_attention_heads=2,
    decoder_ffn_dim=64,
    num_mel_bins=8,
    vocab_size=12,
    prefix_ids=[9, 10],
    eos_id=11,
    pad_to_max_source=False,
)


def test_it_learns_two_utterances_by_heart():
    torch.manual_seed(0)
    model = Recogniser(CONFIG)
    features, n_frames, ids = torch.randn(2, 40, 8), torch.tensor([40, 30]), [[1, 2, 3], [4, 5]]
    optimizer = torch.optim.AdamW(model.parameters(), 5e-3)
    for _ in range(60):
        loss = sum(model.losses(features, n_frames, ids, 0.4, 0.0).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert model.eval().greedy(features, n_frames, max_tokens=6) == ids


def test_padding_of_other_items_changes_nothing():
    torch.manual_seed(0)
    model = Recogniser(CONFIG).eval()
    short = torch.randn(1, 30, 8)
    padded = torch.cat([torch.nn.functional.pad(short, (0, 0, 0, 10)), torch.randn(1, 40, 8)])
    alone = model.losses(short, torch.tensor([30]), [[1, 2]], 0.4, 0.0)
    encoded = model.encode(padded, torch.tensor([30, 40]))
    torch.testing.assert_close(encoded.keys[0, :15], model.encode(short).keys[0], atol=1e-5, rtol=1e-4)
    assert all(value.isfinite() for value in alone.values())


def test_pitch_is_wanted_on_voiced_frames_and_voicing_on_all_but_padding():
    torch.manual_seed(0)
    model = Recogniser(CONFIG, value_layer=1)
    encoded = model.encode(torch.randn(1, 8, 8))
    with torch.no_grad():
        model.pitch.weight.zero_()
        model.pitch.bias.copy_(torch.tensor([4.0, 0.0]))  # an octave above the centre, voiced or not
    octave = PITCH_CENTRE_HZ * 2
    undecided = math.log(2)
    for f0_hz, expected in (
        ([octave, octave, 0.0, -1.0], 0.0),
        ([octave, PITCH_CENTRE_HZ, 0.0, -1.0], (4.0 - 0.5) / 2),
        ([0.0, 0.0, 0.0, 0.0], 0.0),
    ):
        loss = model.pitch_loss(encoded, torch.tensor([f0_hz]))
        assert float(loss.detach()) == pytest.approx(expected + undecided, abs=1e-5)


def test_the_pitch_reaches_the_layer_that_the_values_are_taken_from():
    torch.manual_seed(0)
    model = Recogniser(CONFIG, value_layer=1)
    features, f0_hz = torch.randn(1, 8, 8), torch.full((1, 4), 200.0)
    losses = model.losses(features, torch.tensor([8]), [[1]], 0.4, 0.0, f0_hz)
    losses["pitch"].backward()
    assert model.encoder.conv1.weight.grad is not None
    assert model.encoder.layers[0].fc1.weight.grad is not None
    assert model.encoder.layers[1].fc1.weight.grad is None
