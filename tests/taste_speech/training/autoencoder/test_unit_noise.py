"""What the unit decoder sees of the units before."""

from dataclasses import dataclass

import torch

from taste_speech.training.autoencoder.noise import UnitNoise

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
