"""Whether a speaker has finished, judged from the last states of Whisper's encoder.

The encoder hears words as well as intonation and lengthening, so that a small network on its states can tell
the end of a turn from a pause (as in Smart Turn, which also trains the encoder).
"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from taste_speech.errors import CheckpointError

FRAMES = 75
"""Number of encoder states that the network reads."""


class TurnEnd(nn.Module):
    """Estimates from encoder states whether the speaker has finished.

    Args:
        width: width of the encoder states.
        size: width of the hidden layers.
        dropout: dropout rates in training: of the states, and before each later layer.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int = 384, size: int = 64, dropout: tuple[float, float] = (0.4, 0.4)) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))
        self.states = nn.Linear(width, size)
        self.places = nn.Parameter(torch.zeros(FRAMES, size))
        self.attention = nn.Linear(size, 1)
        self.hidden = nn.Linear(size, size)
        self.output = nn.Linear(size, 1)
        self.state_dropout, self.dropout = (nn.Dropout(part) for part in dropout)

    def forward(self, states: Tensor) -> Tensor:
        """Return the logit of each utterance: (batch,).

        Args:
            states: (batch, `FRAMES`, width) last states of the sound, zeros before its start.
        """
        x = self.state_dropout((states - self.mean) / self.deviation)
        x = torch.relu(self.states(x) + self.places)
        pooled = (self.attention(x).softmax(1) * x).sum(1)
        return self.output(self.dropout(torch.relu(self.hidden(self.dropout(pooled)))))[:, 0]

    @torch.inference_mode()
    def probability(self, encoded: Tensor, frames: int) -> float:
        """Return the probability that the speaker has finished.

        Args:
            encoded: (states, width) encoder states of the sound and of the silent padding after it.
            frames: number of states of the sound.
        """
        return float(self(last_states(encoded, frames)[None]).sigmoid())


def last_states(encoded: Tensor, frames: int) -> Tensor:
    """Return the `FRAMES` encoder states before `frames`, with zeros before the start."""
    states = encoded[max(0, frames - FRAMES) : frames].float()
    return nn.functional.pad(states, (0, 0, FRAMES - len(states), 0))


def load_turn_end(path: Path) -> TurnEnd:
    """Read the network from a checkpoint's file.

    Raises:
        CheckpointError: the file is missing, damaged, or of another network.
    """
    module = TurnEnd()
    try:
        module.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    except (RuntimeError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"cannot read {str(path)!r} ({reason[:200]}); fetch the file again") from error
    return module.eval().requires_grad_(False)
