"""What parts of stage 1 learn by themselves before the unit decoder is trained: spelling and prosody."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer

from taste_speech.training.autoencoder.batching import pad_ids
from taste_speech.training.autoencoder.model import TasteAutoencoder
from taste_speech.training.autoencoder.utterances import AlignedUtterance
from taste_speech.training.autoencoder.windows import Windows
from taste_speech.training.config import StageContext
from taste_speech.training.corpus import ReplyVoice, is_held_out, phones, words_of
from taste_speech.training.loop import LoopSettings

_FEWEST_WORDS, _MOST_WORDS = 2, 8
Spelled = tuple[list[int], list[int]]
"""ASR tokens and phone numbers of a word."""


class Spelling:
    """Random rows of words for `TasteAutoencoder.spelling_loss`.

    Args:
        words: all of them.
        common: those that the voice is heard to say; half of each row is drawn from them.
        rows: of a batch.
    """

    def __init__(self, words: Sequence[Spelled], common: Sequence[Spelled] = (), rows: int = 24) -> None:
        self.words, self.common, self.rows = list(words), list(common) or list(words), rows

    @classmethod
    def of_lexicon(cls, context: StageContext, said: Iterable[AlignedUtterance]) -> Self:
        """The reply voice's dictionary but for the words held out; those in `said` are common."""
        tokenizer = AutoTokenizer.from_pretrained(context.folder("tokenizers") / "asr")
        lexicon = {word: said for word, said in ReplyVoice.lexicon().items() if not is_held_out(word)}
        spelled = cls.spelled(lexicon, tokenizer)
        heard = {word for item in said for word in words_of(item.text)}
        return cls(list(spelled.values()), [spelled[word] for word in sorted(heard) if word in spelled])

    @staticmethod
    def spelled(lexicon: dict[str, str], tokenizer: Any) -> dict[str, Spelled]:
        """ASR tokens and phone numbers of each word of a dictionary."""
        ids = tokenizer([f" {word}" for word in lexicon], add_special_tokens=False)["input_ids"]
        return {
            word: (own, phones.numbers(said)) for own, (word, said) in zip(ids, lexicon.items(), strict=True)
        }

    def batch(self, generator: torch.Generator) -> tuple[Tensor, Tensor, list[list[int]]]:
        """Token ids (rows, tokens), token counts (rows,) and the phones of each row."""
        ids, said = [], []
        for _ in range(self.rows):
            count = int(torch.randint(_FEWEST_WORDS, _MOST_WORDS + 1, (), generator=generator))
            row = [self._draw(generator) for _ in range(count)]
            ids.append([token for tokens, _ in row for token in tokens])
            said.append([phone for _, numbers in row for phone in numbers])
        return pad_ids(ids, 0), torch.tensor([len(row) for row in ids]), said

    def _draw(self, generator: torch.Generator) -> Spelled:
        words = self.common if torch.rand((), generator=generator) < 0.5 else self.words
        return words[int(torch.randint(len(words), (), generator=generator))]


logger = logging.getLogger(__name__)
_TEXT_SIDE = ("text_embedding", "text_encoder")


def optimize(
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
    optimize("spelling", parameters, loss, steps, settings.learning_rate, settings)


def learn_prosody(
    model: TasteAutoencoder, batches: Iterator[Windows], steps: int, rate: float, settings: LoopSettings
) -> None:
    """Teach the aggregator to look at each word where it is said, and to hear its prosody."""

    def loss() -> Tensor:
        windows = next(batches)
        vectors, listening = model.listen(windows)
        return model.prosody_loss(vectors, windows) + listening

    parameters = [*model.tower.aggregator.parameters(), *model.prosody.parameters()]
    optimize("prosody", parameters, loss, steps, rate, settings)
