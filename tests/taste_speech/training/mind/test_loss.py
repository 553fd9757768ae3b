import pytest
import torch

from taste_speech.streaming.layout import NONE
from taste_speech.training.mind.loss import talk_losses
from taste_speech.training.mind.rows import TalkRows


@pytest.fixture
def taste_loss(tiny_model):
    """The taste loss of one talk with one word, by the noise's seed."""
    quantizer = tiny_model.audio_tower.quantizer
    word = torch.zeros(1, quantizer.num_quantizers, dtype=torch.long)
    nothing = torch.tensor([NONE, NONE, NONE])
    talk = TalkRows(
        text_ids=torch.tensor([1, 2, 3]),
        taste_source=nothing,
        text_targets=torch.tensor([2, 3, 4]),
        text_weights=torch.ones(3),
        taste_targets=torch.tensor([NONE, NONE, 0]),
        tastes=word,
    )

    def loss(seed):
        generator = torch.Generator().manual_seed(seed)
        return float(talk_losses(tiny_model.spoken_lm, quantizer, [talk], 0.0, generator)["taste"].detach())

    return loss


def test_the_published_taste_loss_is_of_a_sample(taste_loss):
    assert taste_loss(0) != taste_loss(1)


def test_the_loss_of_a_model_that_reads_the_mean_has_no_noise(taste_loss, tiny_model, monkeypatch):
    monkeypatch.setattr(tiny_model.spoken_lm, "taste_deviations", 0.0)
    assert taste_loss(0) == taste_loss(1)
