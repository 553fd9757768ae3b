import numpy as np
import torch

from taste_speech.training.stages.vocoder import FilteredClip, multi_resolution_stft_loss, solve_spectra
from taste_speech.vocoder.configuration import SourceFilterConfig, VoiceGeneratorConfig
from taste_speech.vocoder.source_filter import SourceFilter

SIZES = SourceFilterConfig(n_fft=64, channels=24, dilations=[1])
CONFIG = VoiceGeneratorConfig(
    sampling_rate_hz=24000,
    hop_samples=16,
    mel_bins=20,
    source_filter=SIZES,
    hift={"f0_channels": 8},  # type: ignore[arg-type]
)


def test_spectra_that_depend_on_the_mel_are_found_at_once():
    torch.manual_seed(0)
    known, vocoder = SourceFilter(CONFIG), SourceFilter(CONFIG)
    vocoder.load_state_dict({**known.state_dict(), "spectra.weight": 0 * known.spectra.weight})
    clips = []
    for _ in range(4):
        mel, voiced = torch.randn(1, 20, 60), torch.rand(60) < 0.5
        with torch.no_grad():
            told = known.filters(mel)
        harmonic = told.harmonic.masked_fill(~torch.cat([voiced, voiced[:1]]), -20.0)
        parts = (harmonic, told.noise, told.free, told.harmonic_rotation.angle(), told.free_rotation.angle())
        spectra = torch.stack(parts, 1)[0, :, :, :60].permute(2, 0, 1).numpy()
        f0, audio = 200 * voiced.numpy().astype(np.float32), np.zeros(960, np.int16)
        clips.append(FilteredClip(mel[0].T.numpy(), f0, audio, spectra))
    solve_spectra(vocoder, clips, 0.0)
    with torch.no_grad():
        found, wanted = (one.filters(mel) for one in (vocoder, known))
    for name in ("harmonic", "noise", "free"):
        assert torch.allclose(getattr(found, name)[..., 1:60], getattr(wanted, name)[..., 1:60], atol=0.1)
    for name in ("harmonic_rotation", "free_rotation"):
        off = getattr(found, name).angle() - getattr(wanted, name).angle()
        assert float(off.cos().mean()) > 0.8


def test_loss_is_zero_for_equal_and_grows_with_the_difference():
    audio = torch.randn(2, 4096, generator=torch.Generator().manual_seed(0)) * 0.1
    assert multi_resolution_stft_loss(audio, audio) == 0
    near = multi_resolution_stft_loss(audio * 1.1, audio)
    far = multi_resolution_stft_loss(audio * 3.0, audio)
    assert 0 < near < far


def test_silence_has_a_finite_gradient():
    silence = torch.zeros(1, 4096, requires_grad=True)
    multi_resolution_stft_loss(silence, torch.randn(1, 4096)).backward()
    assert torch.isfinite(silence.grad).all()
