"""Batches, windows and noise: what the unit decoder sees in training."""

from dataclasses import dataclass

import pytest
import torch

from taste_speech.audio_tower.quantizer import ResidualQuantizer
from taste_speech.configuration_taste import TasteConfig
from taste_speech.training.autoencoder.windows import LengthBatches, UnitNoise, guess, number_words

WORD_IDS = torch.tensor([[0, 0, 1, 2, -1], [0, 1, 1, 1, 2]])
LEVELS, VOICED, UNVOICED = 4, 5, 6
N_VOICED = LEVELS * VOICED
QUANTIZER = {
    "centroids": torch.arange(N_VOICED + UNVOICED).float()[:, None],
    "voiced": torch.zeros(VOICED, 3),
    "pitch_edges": torch.zeros(LEVELS - 1),
}


@dataclass
class Settings:
    replaced_units: tuple[float, float] = (0.0, 0.0)
    near_part: float = 0.0
    neighbors: int = 2
    strange_pitch_part: float = 0.0


def heard(settings: Settings, progress: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    units = torch.randint(N_VOICED + UNVOICED, (200, 30), generator=generator)
    return units, UnitNoise(QUANTIZER, settings)(units, generator, progress)


def test_units_stay_where_nothing_is_asked() -> None:
    units, noisy = heard(Settings())
    assert torch.equal(units, noisy)


def test_fewer_units_are_replaced_at_the_end() -> None:
    shares = []
    for progress in (0.0, 1.0):
        units, noisy = heard(Settings(replaced_units=(0.8, 0.2)), progress)
        shares.append(float((units != noisy).float().mean()))
    # An item draws its own share below the largest one: half of it on average.
    assert abs(shares[0] - 0.4) < 0.05
    assert abs(shares[1] - 0.1) < 0.05


def test_near_units_replace_by_a_neighbor() -> None:
    units, noisy = heard(Settings(replaced_units=(0.8, 0.8), near_part=1.0))
    distance = (units - noisy).abs()
    assert int(distance.max()) <= 2
    assert int(distance.max()) > 0


def test_strange_pitch_keeps_the_spectrum_and_what_has_no_pitch() -> None:
    units, noisy = heard(Settings(strange_pitch_part=1.0))
    voiced = units < N_VOICED
    assert torch.equal(noisy[~voiced], units[~voiced])
    assert torch.equal(noisy[voiced] // LEVELS, units[voiced] // LEVELS)
    counts = torch.bincount(noisy[voiced] % LEVELS, minlength=LEVELS).float()
    assert bool((counts / counts.sum() - 1 / LEVELS).abs().max() < 0.03)


def test_only_some_items_have_strange_pitch() -> None:
    units, noisy = heard(Settings(strange_pitch_part=0.5))
    changed = (units != noisy).any(1).float().mean()
    assert 0.35 < float(changed) < 0.65


def test_a_pass_has_every_item_once_and_keeps_the_budget():
    lengths = [3, 50, 7, 9, 11, 2, 30, 31]
    batches = LengthBatches(lengths, 60).one_pass(torch.Generator().manual_seed(1))
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert all(max(lengths[i] for i in batch) * len(batch) <= 60 for batch in batches)


def test_an_item_longer_than_the_budget_is_alone():
    assert LengthBatches([5, 100], 20).one_pass() == [[0], [1]]


@pytest.fixture
def quantizer():
    sizes = {"dim": 16, "codebook_dim": 8, "codebook_size": 64, "num_quantizers": 3}
    config = TasteConfig(audio_tower_config={"kwargs_for_quantizer": sizes})
    made = ResidualQuantizer(config.audio_tower_config.kwargs_for_quantizer)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        made.codebooks.copy_(torch.randn(made.codebooks.shape, generator=generator))
        made.codebooks.mul_(torch.tensor([1.0, 0.5, 0.25])[:, None, None])
    return made


def test_words_begin_once():
    starts, words = number_words(WORD_IDS)
    assert starts.int().tolist() == [[1, 0, 1, 1, 0], [1, 1, 0, 0, 1]]
    assert words.tolist() == [[0, 0, 1, 2, 2], [3, 4, 4, 4, 5]]


def test_a_perfect_guess_is_the_truth(quantizer):
    ids = torch.randint(0, 64, (2, 5, 3), generator=torch.Generator().manual_seed(1))
    ids = torch.where((WORD_IDS == -1)[..., None], -1, ids)
    ids[0, 1], ids[1, 2], ids[1, 3] = ids[0, 0], ids[1, 1], ids[1, 1]
    ids = torch.where((ids < 0), ids, quantizer.indices_from_code(quantizer.code_from_indices(ids)))
    guessed = guess(quantizer, ids, WORD_IDS, 1.0, torch.Generator())
    codes = quantizer.code_from_indices(ids), quantizer.code_from_indices(guessed)
    torch.testing.assert_close(codes[1], codes[0], atol=0.2, rtol=0)


def test_a_guess_explains_what_it_should_and_is_alike_within_words(quantizer):
    generator = torch.Generator().manual_seed(2)
    words = 4000
    ids = torch.randint(0, 64, (1, words, 3), generator=generator).repeat_interleave(2, dim=1)
    word_ids = torch.arange(words).repeat_interleave(2)[None]
    guessed = guess(quantizer, ids, word_ids, 0.7, generator)
    assert torch.equal(guessed[:, ::2], guessed[:, 1::2])
    wanted, given = quantizer.code_from_indices(ids), quantizer.code_from_indices(guessed)
    unexplained = (wanted - given).square().sum() / (wanted - wanted.mean(1)).square().sum()
    assert float(unexplained.detach()) == pytest.approx(0.3, abs=0.15)  # the codebooks are coarse
    assert float((given.var() / wanted.var()).detach()) == pytest.approx(0.7, abs=0.15)
