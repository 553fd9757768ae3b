import torch

from taste_speech.training.stages.vocoder import multi_resolution_stft_loss


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
