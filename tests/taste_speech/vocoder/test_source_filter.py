"""The source-filter vocoder: what its parts are, in numbers that follow from their definitions."""

import math

import pytest
import torch

from taste_speech.vocoder.configuration import SourceFilterConfig, VoiceGeneratorConfig
from taste_speech.vocoder.source import SourceRandomness
from taste_speech.vocoder.source_filter import PulseSource, SourceFilter, Spectra

SIZES = SourceFilterConfig(channels=16, dilations=[1, 2])
CONFIG = VoiceGeneratorConfig(
    sampling_rate_hz=24000,
    hop_samples=300,
    mel_bins=20,
    source_filter=SIZES,
    hift={"f0_channels": 8},  # type: ignore[arg-type]
)
FRAMES = 40


def silent(frames: int = FRAMES) -> SourceRandomness:
    return SourceRandomness(torch.zeros(1, 1), torch.zeros(1, frames * CONFIG.hop_samples, 1))


def shaped(harmonic: torch.Tensor, noise: torch.Tensor) -> Spectra:
    """Spectra without turned phases and without a free part."""
    ones = torch.ones_like(harmonic) + 0j
    return Spectra(harmonic, noise, torch.full_like(harmonic, -20.0), ones, ones)


@pytest.fixture
def vocoder() -> SourceFilter:
    torch.manual_seed(0)
    return SourceFilter(CONFIG).eval()


def test_a_pulse_is_the_sum_of_all_harmonics_below_half_of_the_rate():
    pulses = PulseSource(CONFIG)(torch.full((1, FRAMES), 1500.0), silent())[0, 0]
    times = torch.arange(1, len(pulses) + 1, dtype=torch.float64) / CONFIG.sampling_rate_hz
    wanted = sum(torch.cos(2 * math.pi * 1500 * h * times) for h in range(1, 9))
    assert torch.allclose(pulses.double(), wanted, atol=1e-2)


def test_there_are_no_pulses_without_a_voice():
    f0 = torch.cat([torch.zeros(1, 10), torch.full((1, FRAMES - 10), 200.0)], dim=1)
    pulses = PulseSource(CONFIG)(f0, silent())[0, 0]
    assert float(pulses[:3000].abs().max()) == 0
    assert float(pulses[3000:].abs().max()) > 50


def test_harmonics_as_loud_as_a_cosine_of_amplitude_one_leave_the_pulses_as_they_are(vocoder):
    source = vocoder.m_source(torch.full((1, FRAMES), 240.0), silent())
    flat = torch.full((1, vocoder.bins, FRAMES + 1), math.log(SIZES.n_fft / 4))
    wave = vocoder.filtered(shaped(flat, flat - 18), source)[0]
    inside = slice(3000, 9000)
    assert torch.allclose(wave[inside], source[0, 0, inside], atol=0.5)
    halved = vocoder.filtered(shaped(flat - math.log(2), flat - 18), source)[0]
    assert torch.allclose(halved[inside], wave[inside] / 2, atol=0.1)


def test_noise_is_as_loud_as_its_filter_says(vocoder):
    noise = torch.randn(1, FRAMES * CONFIG.hop_samples, 1, generator=torch.Generator().manual_seed(0))
    source = vocoder.m_source(torch.zeros(1, FRAMES), SourceRandomness(torch.zeros(1, 1), noise))
    flat = torch.zeros(1, vocoder.bins, FRAMES + 1)
    loud, soft = (vocoder.filtered(shaped(flat, flat + level), source).std() for level in (0.0, -1.0))
    assert float(loud / soft) == pytest.approx(math.e, rel=1e-3)


def test_turned_pulses_are_sines_and_a_free_part_sounds_without_any_source(vocoder):
    source = vocoder.m_source(torch.full((1, FRAMES), 240.0), silent())
    flat = torch.full((1, vocoder.bins, FRAMES + 1), math.log(SIZES.n_fft / 4))
    quarter = torch.full(flat.shape, -1j)
    turned = vocoder.filtered(Spectra(flat, flat - 18, flat - 18, 5 * quarter, quarter), source)[0]
    times = torch.arange(1, len(turned) + 1, dtype=torch.float64) / CONFIG.sampling_rate_hz
    wanted = sum(torch.sin(2 * math.pi * 240 * h * times) for h in range(1, 51))
    inside = slice(3000, 9000)
    assert float((turned[inside] - wanted[inside]).abs().mean()) < 0.2
    middle = quarter.real + (-1.0) ** torch.arange(vocoder.bins)[:, None] + 0j
    free = vocoder.filtered(Spectra(flat - 18, flat - 18, flat, quarter, middle), 0 * source)[0]
    heights = free[inside].unflatten(0, (-1, CONFIG.hop_samples)).abs().mean(0)
    assert int(heights.argmax()) == 0
    assert float(heights.max()) > 100 * float(heights.median())


def test_a_free_part_repeats_with_the_frames_only_where_its_phases_are_certain(vocoder):
    noise = torch.randn(1, FRAMES * CONFIG.hop_samples, 1, generator=torch.Generator().manual_seed(0))
    source = vocoder.m_source(torch.zeros(1, FRAMES), SourceRandomness(torch.zeros(1, 1), noise))
    flat = torch.zeros(1, vocoder.bins, FRAMES + 1)
    phases = torch.polar(torch.ones(1, vocoder.bins, 1), torch.linspace(0, 900, vocoder.bins)[None, :, None])

    def repeats(certain: float) -> float:
        spectra = Spectra(flat - 18, flat - 18, flat, flat + 1 + 0j, certain * phases.expand(flat.shape))
        wave = vocoder.filtered(spectra, source)[0, 3000:9000]
        shifted = wave.roll(CONFIG.hop_samples)
        return float((wave * shifted).mean() / wave.square().mean())

    assert repeats(1.5) == pytest.approx(1, abs=0.01)
    assert abs(repeats(0.05)) < 0.2
    assert repeats(0.05) < repeats(0.6) < repeats(1.0)


def test_the_pitch_glides_between_voiced_frames_and_the_middles_of_frames_stay():
    source, hop = PulseSource(CONFIG), CONFIG.hop_samples
    f0 = torch.cat([torch.zeros(1, 3), torch.linspace(200, 300, 8)[None], torch.zeros(1, 2)], dim=1)
    steps = source.cycles(f0)[0]
    cycles = steps + source._glide(f0)
    assert torch.allclose(cycles[:, hop // 2 - 1 :: hop], steps[:, hop // 2 - 1 :: hop], atol=1e-6)
    passed = torch.diff(cycles.double())[0]
    pitch = (passed - passed.round()) * CONFIG.sampling_rate_hz
    middles = torch.arange(4, 10) * hop + hop // 2
    assert torch.allclose(pitch[middles].float(), f0[0, 4:10], atol=1.0)
    inside = pitch[3 * hop + hop // 2 : 10 * hop + hop // 2]
    assert float(torch.diff(inside).abs().max()) < 2
    assert torch.equal(cycles[:, : 3 * hop], steps[:, : 3 * hop])


def test_the_network_tells_all_five_spectra(vocoder):
    spectra = vocoder.filters(torch.randn(1, 20, FRAMES))
    for part in (spectra.harmonic, spectra.noise, spectra.free, spectra.harmonic_rotation):
        assert part.shape == (1, vocoder.bins, FRAMES + 1)
    assert spectra.free_rotation.is_complex()
    assert not torch.equal(spectra.free_rotation, spectra.harmonic_rotation)
    wave = vocoder(torch.randn(1, 20, FRAMES), generator=torch.Generator().manual_seed(0))
    assert wave.shape == (1, FRAMES * CONFIG.hop_samples)


def test_a_wave_is_as_long_as_its_frames_and_its_middle_does_not_depend_on_what_is_far(vocoder):
    torch.manual_seed(1)
    mel, f0 = torch.randn(1, 20, FRAMES), torch.full((1, FRAMES), 200.0)
    with torch.no_grad():
        whole = vocoder(mel, f0=f0, randomness=silent())
        mel[:, :, 30:] += 5.0
        other = vocoder(mel, f0=f0, randomness=silent())
    assert whole.shape == (1, FRAMES * CONFIG.hop_samples)
    assert torch.allclose(whole[:, :3000], other[:, :3000], atol=1e-5)
    assert not torch.allclose(whole[:, 9000:], other[:, 9000:], rtol=1e-3)


def test_a_transform_that_overlaps_too_little_is_refused():
    with pytest.raises(ValueError, match=r"source_filter\.n_fft is 900; give at least four times"):
        SourceFilter(CONFIG.model_copy(update={"source_filter": SourceFilterConfig(n_fft=900)}))
