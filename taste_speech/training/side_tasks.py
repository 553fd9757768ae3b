"""What parts of stage 1 learn by themselves before the unit decoder is trained."""

import logging
from collections.abc import Callable, Iterable, Iterator, Set

import torch
from torch import Tensor, nn

from taste_speech.training.loop import LoopSettings
from taste_speech.training.spelling import Spelling
from taste_speech.training.taste_autoencoder import Condition, TasteAutoencoder
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
    """Teach the text encoder how words are said, from the words of the dialogue text and flite's lexicon."""
    parts = [*(getattr(model.decoder, name) for name in _TEXT_SIDE), model.spelling]

    def loss() -> Tensor:
        return model.spelling_loss(*spelling.batch(generator))

    parameters = [parameter for part in parts for parameter in part.parameters()]
    optimise("spelling", parameters, loss, steps, settings.learning_rate, settings)


def learn_prosody(
    model: TasteAutoencoder, batches: Iterator[Windows], steps: int, rate: float, settings: LoopSettings
) -> None:
    """Teach the aggregator to hear the words' prosody."""

    def loss() -> Tensor:
        windows = next(batches)
        return model.prosody_loss(model.words(windows), windows)

    parameters = [*model.tower.aggregator.parameters(), *model.prosody.parameters()]
    optimise("prosody", parameters, loss, steps, rate, settings)


def knows_text(model: TasteAutoencoder, given: Set[str]) -> bool:
    """Whether the decoder's text side is among the tensors `given` by first weights."""
    starts = tuple(f"decoder.{name}." for name in _TEXT_SIDE)
    return all(name in given for name in model.state_dict() if name.startswith(starts))


def learn_heads(
    model: TasteAutoencoder,
    spelling: Spelling,
    batches: Iterator[Windows],
    speaker: Tensor,
    steps: int,
    settings: LoopSettings,
    generator: torch.Generator,
) -> None:
    """Fit the heads that only training has to a decoder that can speak already, and leave that as it is.

    A checkpoint does not carry these heads: random ones would soon pull good weights out of place.
    """
    heads = (model.spelling, model.phones, model.heard_prosody, model.said_prosody)

    def loss() -> Tensor:
        windows = next(batches)
        kind = Condition.QUANTIZED if bool(model.has_tower) else Condition.TEXT
        audio, _ = model.condition(windows, kind, None)
        _, said = model.predict(windows, audio, windows.unit_ids, speaker)
        spelled = model.spelling_loss(*spelling.batch(generator))
        return torch.stack([spelled, *(value for name, value in said.items() if name != "alignment")]).sum()

    parameters = [parameter for head in heads for parameter in head.parameters()]
    optimise("heads", parameters, loss, steps, settings.learning_rate, settings)
