"""Stage `phone_timer`: learns how long each phone lasts between its neighbors (`vocoder.phone_timing`).

It reads stretches of some words, as replies come in chunks: what follows a chunk is not known.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from pydantic import Field
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from taste_speech.configuration_base import StrictSection
from taste_speech.training.config import StageContext
from taste_speech.training.corpus.audio_store import AudioStore, Clip
from taste_speech.training.loop import LoopSettings, Losses, TrainingLoop
from taste_speech.training.voice import marked_phones_of
from taste_speech.vocoder.phone_timing import PhoneTimer


class Settings(StrictSection):
    """Of the training."""

    stores: list[str] = ["reply"]
    batch: int = 24
    most_words: int = Field(default=12, ge=1)
    """Longest stretch of a clip."""
    whole_part: float = Field(default=0.2, ge=0, le=1)
    """Fraction of the examples that are whole clips."""
    loop: LoopSettings = LoopSettings()


@dataclass(frozen=True)
class TimedPhones:
    """Phones of a clip, or of a stretch of it; all are (phones,).

    Attributes:
        marked: pauses among them.
        words: the word of each; -1 for pauses.
        durations: seconds at the voice's own pace.
    """

    marked: Tensor
    words: Tensor
    durations: Tensor

    @classmethod
    def of(cls, clip: Clip) -> "TimedPhones":
        """Those of a clip."""
        marked, words = marked_phones_of(clip)
        ends = torch.tensor([0.0, *(end for _, end in clip.timing.phones)])
        return cls(torch.tensor(marked), torch.tensor(words), ends.diff() * clip.rate)

    def stretch(self, first: int, count: int, before: bool, after: bool) -> "TimedPhones":
        """Return `count` words from `first`, with the pauses before and after them where wanted."""
        found = ((self.words >= first) & (self.words < first + count)).nonzero()[:, 0]
        begin, end = int(found[0]), int(found[-1]) + 1
        begin -= before and begin > 0 and int(self.words[begin - 1]) < 0
        end += after and end < len(self.words) and int(self.words[end]) < 0
        return TimedPhones(self.marked[begin:end], self.words[begin:end], self.durations[begin:end])


def drawn(phones: TimedPhones, settings: Settings, generator: torch.Generator) -> TimedPhones:
    """Return a stretch of some words at any place, with or without the pauses around it; or all of it."""

    def draw(below: int) -> int:
        return int(torch.randint(below, (), generator=generator))

    said = phones.words.unique()
    said = said[said >= 0]
    if torch.rand((), generator=generator) < settings.whole_part or not len(said):
        return phones
    count = min(1 + draw(settings.most_words), len(said))
    first = int(said[draw(len(said) - count + 1)])
    return phones.stretch(first, count, bool(draw(2)), draw(3) > 0)


def timing_loss(timer: PhoneTimer, batch: Sequence[TimedPhones]) -> Tensor:
    """Mean squared error of the square roots of durations, (), pauses aside: short phones count, too."""
    pad = partial(pad_sequence, batch_first=True)
    marked = pad([item.marked for item in batch])
    mask = pad([torch.ones(len(item.marked)) for item in batch])
    durations = pad([item.durations for item in batch])
    said = pad([item.words for item in batch], padding_value=-1) >= 0
    roots = (0.5 * timer(marked, mask)).exp()
    return (roots - durations.clamp(min=0).sqrt())[said].square().mean()


def run(settings: Settings, context: StageContext) -> None:
    """Train, and write `phone_timer.safetensors`."""
    folder = context.folder("phone_timer")
    clips = [clip for name in settings.stores for clip in AudioStore(context.folder("corpus") / name)]
    items = {split: [TimedPhones.of(c) for c in clips if c.split == split] for split in ("train", "valid")}
    torch.manual_seed(settings.loop.seed)
    timer = PhoneTimer()
    loop = TrainingLoop("phone_timer", folder, timer, settings.loop)
    loop.resume()

    def compute_losses(_step: int, generator: torch.Generator) -> Losses:
        chosen = torch.randint(len(items["train"]), (settings.batch,), generator=generator).tolist()
        batch = [drawn(items["train"][index], settings, generator) for index in chosen]
        return {"root": timing_loss(timer, batch)}

    def evaluate() -> dict[str, float]:
        return {"root": float(timing_loss(timer, items["valid"]))}

    def write() -> None:
        state = {name: value.contiguous() for name, value in timer.state_dict().items()}
        save_file(state, folder / "phone_timer.safetensors")

    loop.run(compute_losses, evaluate, write)
