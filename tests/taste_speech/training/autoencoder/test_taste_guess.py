import pytest
import torch

from taste_speech.audio_tower.quantizer import ResidualQuantizer
from taste_speech.configuration_taste import TasteConfig
from taste_speech.training.autoencoder.noise import guess
from taste_speech.training.autoencoder.windows import number_words

WORD_IDS = torch.tensor([[0, 0, 1, 2, -1], [0, 1, 1, 1, 2]])


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
