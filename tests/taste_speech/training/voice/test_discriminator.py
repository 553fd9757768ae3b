import torch

from taste_speech.training.voice.discriminator import Discriminator, multi_resolution_stft_loss


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


def test_discriminator_learns_to_tell_noise_from_a_tone():
    torch.manual_seed(0)
    judge = Discriminator(channels=4)
    tone = torch.sin(torch.arange(8192) * 0.2).expand(2, -1)
    noise = torch.randn(2, 8192) * 0.5
    optimizer = torch.optim.Adam(judge.parameters(), lr=1e-2)
    first = judge.own_loss(tone, noise)
    for _ in range(15):
        optimizer.zero_grad()
        loss = judge.own_loss(tone, noise)
        loss.backward()
        optimizer.step()
    assert loss < 0.5 * first
    _, matching_same = judge.generator_losses(tone, tone)
    _, matching_other = judge.generator_losses(tone, noise)
    assert matching_same < matching_other
