from typing import Any

import pytest
import torch

from taste_speech.vocoder.configuration import VoiceGeneratorConfig
from taste_speech.vocoder.hift import HiFT
from taste_speech.vocoder.spectra import log_mel
from tests.taste_speech.vocoder.conftest import SMALL, seeded_part


@pytest.fixture(scope="module")
def golden_hift() -> HiFT:
    hift = HiFT(VoiceGeneratorConfig())
    hift.load_state_dict(seeded_part("hift"))
    return hift.eval()


@torch.no_grad()
def test_f0_and_waveform_agree_with_the_published_model(golden_hift: HiFT, golden: dict[str, Any]) -> None:
    mel = golden["hift.mel"]
    f0 = golden_hift.f0_predictor(mel)
    torch.testing.assert_close(f0, golden["hift.f0"], rtol=1e-3, atol=1e-3)
    silent = golden_hift.m_source.silent_randomness(f0)
    wave = golden_hift(mel, randomness=silent)
    torch.testing.assert_close(wave, golden["hift.waveform"], rtol=0, atol=2e-3)
    golden_hift.fold_weight_norm()
    torch.testing.assert_close(golden_hift(mel, randomness=silent), wave, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("rates", "kernels", "n_fft", "hop"),
    [([8], [16], 128, 32), ([4, 8], [8, 16], 16, 8), ([4, 4, 4], [8] * 3, 16, 4)],
)
def test_any_number_of_stages_gives_hop_samples_per_frame(
    rates: list[int], kernels: list[int], n_fft: int, hop: int
) -> None:
    stages = len(rates)
    hift = SMALL["hift"] | {  # type: ignore[operator]
        "upsample_rates": rates,
        "upsample_kernel_sizes": kernels,
        "istft_n_fft": n_fft,
        "istft_hop": hop,
        "source_resblock_kernel_sizes": [7] * stages,
        "source_resblock_dilations": [[1]] * stages,
    }
    model = HiFT(VoiceGeneratorConfig.model_validate(SMALL | {"hift": hift}))
    assert model(torch.randn(2, 20, 9)).shape == (2, 9 * 256)


def test_gradients_reach_every_parameter_and_are_finite(small_config: VoiceGeneratorConfig) -> None:
    torch.manual_seed(0)
    hift = HiFT(small_config)
    audio = torch.randn(2, 4096) * 0.1
    audio[1] = 0  # silence: where magnitudes have no derivative
    mel = log_mel(audio, small_config)
    wave = hift(mel, generator=torch.Generator().manual_seed(0))
    loss = (log_mel(wave, small_config) - mel).abs().mean() + hift.f0_predictor(mel).mean()
    loss.backward()
    bad = [n for n, p in hift.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert bad == []


def test_given_f0_drives_the_source(small_config: VoiceGeneratorConfig) -> None:
    hift = HiFT(small_config)
    mel = torch.zeros(1, 20, 8)
    silent = hift.m_source.silent_randomness(torch.zeros(1, 8))
    low, high = (hift(mel, f0=torch.full((1, 8), f0), randomness=silent) for f0 in (100.0, 200.0))
    assert not torch.allclose(low, high)


@torch.no_grad()
def test_training_mode_does_not_use_folded_weights(small_config: VoiceGeneratorConfig) -> None:
    hift = HiFT(small_config).eval()
    hift.fold_weight_norm()
    before = hift.conv_pre.effective_weight()
    hift.conv_pre.weight_g.mul_(2)
    assert torch.equal(hift.conv_pre.effective_weight(), before)
    assert torch.allclose(hift.train().conv_pre.effective_weight(), 2 * before)
    hift.eval().load_state_dict(hift.state_dict())
    assert torch.allclose(hift.conv_pre.effective_weight(), 2 * before)


def test_seed_decides_the_waveform(small_config: VoiceGeneratorConfig) -> None:
    hift = HiFT(small_config).eval()
    mel = torch.randn(1, 20, 4)
    first, again, other = (hift(mel, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"istft_hop": 16}, r"hop_samples 256 differs from upsample_rates \[8\] \* istft_hop 16 = 128"),
        ({"upsample_kernel_sizes": [16, 16]}, "upsample_kernel_sizes has 2 entries for 1 upsampling stages"),
        ({"upsample_kernel_sizes": [15]}, "their difference must be even"),
        ({"istft_n_fft": 32}, "use an even n_fft of at least twice the hop"),
        ({"resblock_dilations": []}, "differ in length"),
    ],
)
def test_sizes_that_do_not_fit(changes: dict[str, Any], message: str) -> None:
    config = VoiceGeneratorConfig.model_validate(SMALL | {"hift": SMALL["hift"] | changes})  # type: ignore[operator]
    with pytest.raises(ValueError, match=message):
        HiFT(config)
