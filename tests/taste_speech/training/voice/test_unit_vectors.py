import pytest
import torch

from taste_speech.training.voice import unit_vectors


def test_units_that_sound_alike_have_vectors_that_are_alike():
    generator = torch.Generator().manual_seed(0)
    centroids = torch.randn(20, 12, generator=generator)
    centroids[1] = centroids[0] + 0.05 * torch.randn(12, generator=generator)
    vectors = unit_vectors({"centroids": centroids}, 64)
    assert vectors.shape == (20, 64)
    assert float(vectors.square().mean()) == pytest.approx(1.0)
    assert float(vectors.mean(0).abs().max()) < 1e-5
    distances = torch.cdist(vectors[:1], vectors[1:])[0]
    assert int(distances.argmin()) == 0
    assert distances[0] < 0.2 * distances[1:].min()
