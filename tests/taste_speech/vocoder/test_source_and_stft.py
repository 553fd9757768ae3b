import torch

from taste_speech.vocoder.configuration import VoiceGeneratorConfig
from taste_speech.vocoder.source import HarmonicSource, SourceRandomness
from taste_speech.vocoder.spectra import ShortTimeTransform, log_mel


def test_phase_of_pieces_continues_that_of_the_whole(small_config: VoiceGeneratorConfig) -> None:
    source = HarmonicSource(small_config)
    f0 = 80 + 200 * torch.rand(1, 400)
    randomness = source.draw(f0, torch.Generator().manual_seed(0))
    whole = source(f0, randomness)
    pieces, start = [], None
    for a, b in ((0, 150), (150, 151), (151, 400)):
        noise = randomness.noise[:, a * 256 : b * 256]
        pieces.append(source(f0[:, a:b], SourceRandomness(randomness.phase, noise), start))
        start = source.cycles(f0[:, a:b], start)[1]
    torch.testing.assert_close(torch.cat(pieces, -1), whole, rtol=0, atol=1e-3)


def test_fundamental_has_the_wanted_frequency(small_config: VoiceGeneratorConfig) -> None:
    source = HarmonicSource(small_config)
    with torch.no_grad():
        source.l_linear.weight.zero_()
        source.l_linear.weight[0, 0] = 1
        source.l_linear.bias.zero_()
    f0 = torch.full((1, 250), 125.0)  # 4 s
    wave = source(f0, source.silent_randomness(f0))[0, 0]
    assert int(torch.fft.rfft(wave).abs().argmax()) == 500
    assert not source(f0 * 0, source.silent_randomness(f0)).any()  # unvoiced, no noise


def test_stft_equals_torch_and_comes_back() -> None:
    transform = ShortTimeTransform(128, 32)
    signal = torch.randn(2, 1, 3200)
    expected = torch.stft(signal[:, 0], 128, 32, window=torch.hann_window(128), return_complex=True)
    real, imaginary = transform(signal).chunk(2, dim=1)
    torch.testing.assert_close(torch.complex(real, imaginary), expected, rtol=1e-4, atol=1e-4)
    back = transform.inverse(expected.abs(), expected.angle())
    torch.testing.assert_close(back, signal[:, 0], rtol=1e-4, atol=1e-4)


def test_log_mel_has_one_frame_per_hop_and_finds_a_tone(small_config: VoiceGeneratorConfig) -> None:
    config = small_config.model_copy(update={"mel_bins": 80})
    time = torch.arange(16000) / 16000
    mel = log_mel(torch.stack([torch.sin(2 * torch.pi * f * time) for f in (500.0, 2000.0)]), config)
    assert mel.shape == (2, 80, 16000 // 256)
    low, high = mel[:, :, 30].argmax(1).tolist()
    assert 0 < low < high < 79
    assert float(log_mel(torch.zeros(1, 4096), config).max()) < -6
