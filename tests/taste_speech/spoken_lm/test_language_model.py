import copy

import pytest
import torch


@pytest.mark.parametrize("deviations", [0.0, 1.0, 0.5])
def test_taste_vectors_are_the_mean_plus_so_many_deviations(tiny_model, deviations):
    lm = copy.deepcopy(tiny_model.spoken_lm)
    lm.taste_deviations = deviations
    hidden = torch.randn(
        1, 3, lm.language_model.config.hidden_size, generator=torch.Generator().manual_seed(0)
    )
    with torch.no_grad():
        mean, logvar = lm.extraction(hidden)
        torch.testing.assert_close(lm.read_taste(hidden), mean + deviations * logvar.exp().sqrt())


def test_the_published_model_adds_one_deviation(tiny_model):
    assert tiny_model.config.spoken_lm_config.taste_deviations == 1
    assert tiny_model.spoken_lm.taste_deviations == 1
