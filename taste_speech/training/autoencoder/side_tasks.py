"""What the aggregator learns by itself before the unit decoder listens to it."""

import logging
from collections.abc import Iterator

import torch

from taste_speech.training.autoencoder.model import TasteAutoencoder
from taste_speech.training.autoencoder.windows import Windows
from taste_speech.training.loop import LoopSettings, mixed_precision

logger = logging.getLogger(__name__)


def learn_prosody(
    model: TasteAutoencoder, batches: Iterator[Windows], steps: int, rate: float, settings: LoopSettings
) -> None:
    """Teach the aggregator to look at each word where it is said, and to hear its prosody."""
    parameters = [*model.tower.aggregator.parameters(), *model.prosody.parameters()]
    optimizer = torch.optim.AdamW(parameters, rate)
    precise = mixed_precision(settings) != "bf16"
    for step in range(steps):
        windows = next(batches)
        with torch.autocast(parameters[0].device.type, torch.bfloat16, enabled=not precise):
            vectors, listening = model.listen(windows)
            loss = model.prosody_loss(vectors, windows) + listening
        optimizer.zero_grad()
        loss.backward(inputs=parameters)
        torch.nn.utils.clip_grad_norm_(parameters, settings.clip_norm)
        optimizer.step()
        if step % settings.log_every == 0:
            logger.info("autoencoder: prosody step %d, loss %.3f", step, float(loss.detach()))
