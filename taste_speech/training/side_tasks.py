"""What parts of stage 1 learn by themselves before the unit decoder is trained."""

import logging
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from taste_speech.training.loop import LoopSettings
from taste_speech.training.spelling import Spelling
from taste_speech.training.taste_autoencoder import TasteAutoencoder
from taste_speech.training.unit_windows import Windows

logger = logging.getLogger(__name__)
_TEXT_SIDE = ("text_embedding", "text_encoder")


def optimise(
    task: str,
    parameters: Iterable[nn.Parameter],
    loss: Callable[[], Tensor],
    steps: int,
    rate: float,
    settings: LoopSettings,
) -> None:
    """Lower `loss()` by changing these parameters only."""
    changed = list(parameters)
    optimizer = torch.optim.AdamW(changed, rate)
    for step in range(steps):
        with torch.autocast(changed[0].device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
            value = loss()
        optimizer.zero_grad()
        value.backward(inputs=changed)
        torch.nn.utils.clip_grad_norm_(changed, settings.clip_norm)
        optimizer.step()
        if step % settings.log_every == 0:
            logger.info("autoencoder: %s step %d, loss %.3f", task, step, float(value.detach()))


def learn_spelling(
    model: TasteAutoencoder,
    spelling: Spelling,
    steps: int,
    settings: LoopSettings,
    generator: torch.Generator,
) -> None:
    """Teach the text encoder how words are said, from the words of the reply voice's dictionary."""
    parts = [*(getattr(model.decoder, name) for name in _TEXT_SIDE), model.spelling]

    def loss() -> Tensor:
        return model.spelling_loss(*spelling.batch(generator))

    parameters = [parameter for part in parts for parameter in part.parameters()]
    optimise("spelling", parameters, loss, steps, settings.learning_rate, settings)


def learn_prosody(
    model: TasteAutoencoder, batches: Iterator[Windows], steps: int, rate: float, settings: LoopSettings
) -> None:
    """Teach the aggregator to look at each word where it is said, and to hear its prosody."""

    def loss() -> Tensor:
        windows = next(batches)
        vectors, listening = model.listen(windows)
        return model.prosody_loss(vectors, windows) + listening

    parameters = [*model.tower.aggregator.parameters(), *model.prosody.parameters()]
    optimise("prosody", parameters, loss, steps, rate, settings)
