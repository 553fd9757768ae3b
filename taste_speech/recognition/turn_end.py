"""Whether a speaker has finished, by how it sounds: read from what Whisper's encoder made of the last second.

The encoder hears words as well as tunes and lengthening, so that a small network on its states tells a turn
that is over from one that pauses (as in Smart Turn, which trains the encoder, too).
"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from taste_speech.errors import CheckpointError
from taste_speech.recognition.base import FINISHED_STEP_S

FRAME_S = 0.02
"""Sound that each encoder state stands for."""
FRAMES = 75
"""Encoder states that count."""
LATER_FRAMES = (0, round(FINISHED_STEP_S / FRAME_S))
"""Encoder states of silence after the sound for which the probability is told, too. With more it would go up
in pauses as well: training heard no more silence."""


class TurnEnd(nn.Module):
    """Tells from encoder states how probably the speaker has finished.

    Args:
        width: of the encoder states.
        size: of the hidden layers.
        dropout: in training: of the states, and before each layer after them.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int = 384, size: int = 64, dropout: tuple[float, float] = (0.2, 0.3)) -> None:
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
        """Return the logit of each utterance, (batch,).

        Args:
            states: (batch, `FRAMES`, width) before the end of the sound; zeros before its beginning.
        """
        x = self.state_dropout((states - self.mean) / self.deviation)
        x = torch.relu(self.states(x) + self.places)
        pooled = (self.attention(x).softmax(1) * x).sum(1)
        return self.output(self.dropout(torch.relu(self.hidden(self.dropout(pooled)))))[:, 0]

    @torch.inference_mode()
    def probabilities(self, encoded: Tensor, frames: int) -> tuple[float, ...]:
        """Return how probably who speaks in the first `frames` of (frames, width) encoder states is done.

        There is one probability for each of `LATER_FRAMES`, were they silent; what follows the sound in
        `encoded` is the encoder's padding, which is.
        """
        windows = [last_states(encoded, min(frames + more, len(encoded))) for more in LATER_FRAMES]
        return tuple(self(torch.stack(windows)).sigmoid().tolist())


def last_states(encoded: Tensor, frames: int) -> Tensor:
    """Return the `FRAMES` encoder states before `frames`, with zeros before the beginning."""
    states = encoded[max(0, frames - FRAMES) : frames].float()
    return nn.functional.pad(states, (0, 0, FRAMES - len(states), 0))


def load_turn_end(path: Path) -> TurnEnd:
    """Read the network from a checkpoint's file.

    Raises:
        CheckpointError: it does not fit.
    """
    module = TurnEnd()
    try:
        module.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    except (RuntimeError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"cannot read {str(path)!r} ({reason[:200]}); fetch the file again") from error
    return module.eval().requires_grad_(False)
