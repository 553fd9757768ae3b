"""Fundamental frequency from mel frames."""

from torch import Tensor, nn

from taste_speech.vocoder.configuration import VoiceGeneratorConfig
from taste_speech.vocoder.weight_norm import Conv1d


class F0Predictor(nn.Module):
    """Convolutions over mel frames; predicts the voice's fundamental frequency of each frame."""

    def __init__(self, config: VoiceGeneratorConfig) -> None:
        super().__init__()
        channels = config.hift.f0_channels
        layers: list[nn.Module] = []
        for index in range(config.hift.f0_layers):
            layers += [Conv1d(channels if index else config.mel_bins, channels, 3), nn.ELU()]
        self.condnet = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, 1)

    def forward(self, mel: Tensor) -> Tensor:
        """(batch, bins, frames) -> (batch, frames), Hz; frames below the voicing threshold are unvoiced."""
        hidden = self.condnet(mel).transpose(1, 2)
        return self.classifier(hidden).squeeze(-1).abs()
