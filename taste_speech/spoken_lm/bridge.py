"""Bridges between the audio side and the LLM: fusion at its input, extraction at its output."""

import torch
from torch import Tensor, nn


class Fusion(nn.Module):
    """Weighted sum of a text embedding and a projected audio embedding.

    fused = w[0] * linear(audio) + w[1] * text with w = softmax(weights); index 0 is audio.
    """

    def __init__(self, audio_size: int, hidden_size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(audio_size, hidden_size)
        # Training starts from a text model: almost all of the weight is on the text.
        self.weights = nn.Parameter(torch.tensor([-2.0, 2.0]))

    def forward(self, text_embeds: Tensor, audio_embeds: Tensor) -> Tensor:
        """Fuse (..., hidden) with (..., audio_size) in float32; returns (..., hidden)."""
        weights = self.weights.float().softmax(-1)
        return weights[0] * self.linear(audio_embeds.float()) + weights[1] * text_embeds.float()


class Extraction(nn.Module):
    """Gaussian head that reads a taste token (before quantisation) from an LLM hidden state."""

    def __init__(self, hidden_size: int, codebook_dim: int) -> None:
        super().__init__()
        self.fc_mu = nn.Linear(hidden_size, codebook_dim)
        self.b_logvar = nn.Parameter(torch.zeros(codebook_dim))

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance, each (..., codebook_dim) float32, for hidden states (..., hidden)."""
        mu = self.fc_mu(hidden.float())
        return mu, self.b_logvar.float().expand_as(mu)
