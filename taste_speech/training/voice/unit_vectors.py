"""Vectors of speech units that are near each other where the units sound alike."""

from collections.abc import Mapping

import torch
from torch import Tensor


def unit_vectors(quantizer: Mapping[str, Tensor], size: int, seed: int = 0) -> Tensor:
    """(units, size) vectors for embeddings to begin with, of mean 0 and mean square 1.

    What is learned of one unit then holds for those that sound like it from the first step on. The centroids
    of the units are turned into the wider space by a random matrix, which keeps distances (Johnson and
    Lindenstrauss, 1984).

    Args:
        quantizer: of stage `units`; its `centroids` (units, features) are used.
        size: of a vector.
        seed: of the matrix.
    """
    centroids = quantizer["centroids"].float().clone()
    # A spectrum as a whole is of about unit variance, as it is where distances between units are measured.
    centroids[:, :-2] /= (centroids.shape[1] - 2) ** 0.5
    generator = torch.Generator().manual_seed(seed)
    vectors = (centroids - centroids.mean(0)) @ torch.randn(centroids.shape[1], size, generator=generator)
    return vectors / vectors.square().mean().sqrt()
