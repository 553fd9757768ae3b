"""Which phone is said when: a small transformer trained by connectionist temporal classification.

It has the front of Whisper's encoder (two convolutions, the second halves the frame rate; sinusoidal
positions) and ordinary pre-norm layers; see Graves et al. (2006) for the criterion.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from taste_speech.configuration_base import StrictSection
from taste_speech.errors import CheckpointError
from taste_speech.recognition.phones import PHONES

_SCALE = ".scale"
_LONGEST_PERIOD = 10_000.0


class AcousticConfig(StrictSection):
    """Sizes of the acoustic model."""

    d_model: int = Field(default=192, ge=2)
    layers: int = Field(default=3, ge=1)
    heads: int = Field(default=3, ge=1)
    ffn_dim: int = Field(default=384, ge=1)


class AcousticModel(nn.Module):
    """Log-mel frames to log-probabilities of phones, at half the frame rate."""

    def __init__(self, config: AcousticConfig, mel_bins: int, dropout: float = 0.0) -> None:
        super().__init__()
        width = config.d_model
        self.conv1 = nn.Conv1d(mel_bins, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width,
                config.heads,
                config.ffn_dim,
                dropout,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, len(PHONES) + 1)  # column 0 is the blank

    def forward(
        self, features: Tensor, n_frames: Tensor | None = None, first_position: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Recognise phones.

        Args:
            features: (batch, mel frames, bins) log-mel, as `LogMelFeatures` makes them.
            n_frames: (batch,) mel frames of each item; None: all.
            first_position: position of the first frame; training draws it, so that all are alike.

        Returns:
            (batch, frames, phones + 1) natural log-probabilities, and (batch,) the frames that count.
        """
        if n_frames is None:
            n_frames = torch.full((features.shape[0],), features.shape[1], device=features.device)
        inside = torch.arange(features.shape[1], device=features.device) < n_frames[:, None]
        mel = (features.to(self.conv1.weight.dtype) * inside[..., None]).transpose(1, 2)
        hidden = functional.gelu(self.conv1(mel)) * inside[:, None]
        hidden = functional.gelu(self.conv2(hidden)).transpose(1, 2)
        frames = (n_frames + 1) // 2
        positions = torch.arange(first_position, first_position + hidden.shape[1], device=features.device)
        hidden = hidden + sinusoids(positions, hidden.shape[2]).to(hidden.dtype)
        padding = None
        if bool((n_frames < features.shape[1]).any()):
            padding = torch.arange(hidden.shape[1], device=features.device) >= frames[:, None]
        for layer in self.layers:
            hidden = layer(hidden, src_key_padding_mask=padding)
        return self.output(self.norm(hidden)).float().log_softmax(-1), frames


def sinusoids(positions: Tensor, width: int) -> Tensor:
    """(n,) positions -> (n, width): sines, then cosines, of geometrically falling frequencies (Whisper's)."""
    rates = torch.arange(width // 2, device=positions.device) / (width // 2 - 1)
    angles = positions[:, None] * torch.exp(-rates * torch.log(torch.tensor(_LONGEST_PERIOD)))
    return torch.cat([angles.sin(), angles.cos()], 1)


def save_acoustic_model(state: Mapping[str, Tensor], path: str | Path) -> None:
    """Write weights with eight bits a number and a scale for each output; vectors in half precision."""
    packed = {}
    for name, tensor in state.items():
        if tensor.ndim < 2:
            packed[name] = tensor.half()
            continue
        rows = tensor.float().flatten(1)
        scale = rows.abs().amax(1).clamp(min=1e-8) / 127
        packed[name] = (rows / scale[:, None]).round().to(torch.int8).view(tensor.shape)
        packed[name + _SCALE] = scale
    save_file({name: tensor.contiguous() for name, tensor in packed.items()}, path)


def load_acoustic_model(path: str | Path, config: AcousticConfig, mel_bins: int) -> AcousticModel:
    """Read what `save_acoustic_model` wrote, in evaluation mode.

    Raises:
        CheckpointError: the file is missing or damaged, or its tensors are not those of `config`.
    """
    with torch.device("meta"):
        model = AcousticModel(config, mel_bins)
    try:
        packed = load_file(path)
        state = {
            name: _unpacked(tensor, packed.get(name + _SCALE))
            for name, tensor in packed.items()
            if not name.endswith(_SCALE)
        }
        model.load_state_dict(state, assign=True)
    except Exception as error:  # safetensors raises its own type, load_state_dict RuntimeError
        raise CheckpointError(
            f"cannot read the acoustic model {path} ({str(error).splitlines()[0]}); "
            "fetch the checkpoint again, or set recognition.backend to pocketsphinx"
        ) from error
    return model.eval().requires_grad_(False)


def _unpacked(tensor: Tensor, scale: Tensor | None) -> Tensor:
    if scale is None:
        return tensor.float()
    return tensor.float() * scale.view(-1, *[1] * (tensor.ndim - 1))
