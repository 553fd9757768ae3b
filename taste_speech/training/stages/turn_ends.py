"""Stage `turn_ends`: learns to hear whether a speaker has finished (`taste_speech.recognition.turn_end`).

The reply voice, and many others, say what people say in the talks, whole or up to a pause: at a comma where
there was none, behind "um", or chopped off. Whisper's encoder hears it as in a conversation, in some room and
with some silence after it, and a network on the encoder's states learns to tell the two apart.
"""

import logging
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.signal
import soxr
import torch
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from taste_speech.checkpoint_files import TURN_END
from taste_speech.configuration_base import StrictSection
from taste_speech.recognition.base import RECOGNITION_RATE_HZ
from taste_speech.recognition.english_whisper import EnglishWhisper, tiny_en
from taste_speech.recognition.turn_end import TurnEnd, last_states
from taste_speech.training.config import StageContext, replacing
from taste_speech.training.corpus.dialogues.conversation import make_questions
from taste_speech.training.corpus.dialogues.kinds import WORDS
from taste_speech.training.corpus.dialogues.turns import written_talks
from taste_speech.training.corpus.listeners import DEVELOPMENT_VOICES, Listeners
from taste_speech.training.corpus.reply_voice import SAMPLE_RATE_HZ, Manner, ReplyVoice, Spoken
from taste_speech.training.loop import LoopSettings, Losses, TrainingLoop
from taste_speech.vocoder.phones import PAUSE

logger = logging.getLogger(__name__)
_FADE_S = 0.02
_TAIL_S = 0.04
"""How much may follow the last phone."""
_FILLERS = ("um", "uh", "er")
_SAVE_EVERY = 250
_ROOMS = 0.7
"""Of the examples that are changed, part that is heard in a room; the others come over a telephone."""
_FIRST_WORD_PART = 0.12
"""Part of the cuts behind the first word: whoever says one word may have answered, or only begun."""
_VALID_LISTENERS = ("af_bella", "am_michael", "bf_emma")
_ANSWERS = tuple(WORDS["one_word_answers"].split())


class Settings(StrictSection):
    """Of the examples and of the training."""

    examples: int = Field(default=5000, ge=2)
    valid_examples: int = Field(default=400, ge=2)
    most_words: int = 30
    listeners: Path | None = None
    """Folder with the voices of the npm package `kokoro-js`; None: the reply voice says all."""
    listeners_part: float = Field(default=0.4, ge=0, le=1)
    """Part of the texts that these voices say: three of them those of valid, the others those of train."""
    answers_part: float = Field(default=0.1, ge=0, le=1)
    """Part of the texts that are one-word answers, from which nothing is cut."""
    rooms_part: float = Field(default=0.4, ge=0, le=1)
    """Part of the examples that are heard in a room with an echo, or over a telephone."""
    batch: int = 64
    loop: LoopSettings = LoopSettings()
    seed: int = 1


@dataclass(frozen=True)
class Utterance:
    """What is to be said, and how far.

    Attributes:
        text: all of it.
        words: how many words are heard; None: all.
        finished: whether nothing is missing.
    """

    text: str
    words: int | None = None
    finished: bool = False


def whole_or_cut(text: str, rng: random.Random) -> Iterator[Utterance]:
    """Yield a turn, and the same turn cut off behind one of its words, if there is such a place."""
    yield Utterance(text, finished=True)
    words = text.split()
    if len(words) < 3:
        return
    count = 1 if rng.random() < _FIRST_WORD_PART else rng.randint(1, len(words) - 1)
    if words[count - 1][-1] in ".?!":  # nobody hears that more is to come
        return
    first, rest = words[:count], words[count:]
    last = first[-1].rstrip(",;:-")
    how = rng.choices(("comma", "filler", "chopped", "alone"), (0.55, 0.15, 0.15, 0.15))[0]
    if how == "comma":  # the voice lingers and lifts before it
        yield Utterance(" ".join([*first[:-1], f"{last},", *rest]), count)
    elif how == "filler":
        yield Utterance(" ".join([*first, f"{rng.choice(_FILLERS)},", *rest]), count + 1)
    elif how == "chopped":
        yield Utterance(text, count)
    else:
        yield Utterance(" ".join([*first[:-1], last + rng.choice((",", "..."))]))


def as_heard(spoken: Spoken, words: int | None, rng: random.Random, rooms_part: float = 0.0) -> np.ndarray:
    """Return the sound up to the end of a word at 16 kHz, at some level, in some noise, then some silence."""
    said = [end for phone, end in spoken.timing.phones if phone != PAUSE]
    end_s = (said[-1] if words is None else spoken.timing.word_ends[words - 1]) + rng.uniform(0, _TAIL_S)
    samples = spoken.samples[: int(end_s * SAMPLE_RATE_HZ)].astype(np.float32) / 32768
    if words is not None:
        fade = min(len(samples), int(_FADE_S * SAMPLE_RATE_HZ))
        samples[len(samples) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    samples = soxr.resample(samples, SAMPLE_RATE_HZ, RECOGNITION_RATE_HZ)
    before, after = (int(rng.uniform(*limits) * RECOGNITION_RATE_HZ) for limits in ((0.1, 0.4), (0.15, 0.32)))
    level = 10 ** (rng.uniform(-28, -14) / 20) / max(1e-6, float(np.sqrt(np.square(samples).mean())))
    padded = np.pad(samples * level, (before, after))
    if rng.random() < rooms_part:
        padded = _in_a_room(padded, rng) if rng.random() < _ROOMS else _telephoned(padded)
    noise_db = rng.choice((rng.uniform(-70, -55), rng.uniform(-55, -40)))
    noise = np.random.default_rng(rng.randrange(2**31)).standard_normal(len(padded))
    return np.clip(padded + noise * 10 ** (noise_db / 20), -1, 1).astype(np.float32)


def _in_a_room(samples: np.ndarray, rng: random.Random) -> np.ndarray:
    """Return the sound with the tail of a room, noise that falls by 60 dB in .2 to .6 s (Moorer, 1979)."""
    decay_s, direct_db = rng.uniform(0.2, 0.6), rng.uniform(0, 12)
    times_s = np.arange(int(decay_s * RECOGNITION_RATE_HZ)) / RECOGNITION_RATE_HZ
    tail = np.random.default_rng(rng.randrange(2**31)).standard_normal(len(times_s))
    tail *= 10 ** (-3 * times_s / decay_s)
    tail *= 10 ** (-direct_db / 20) / np.sqrt(np.square(tail).sum())
    return samples + scipy.signal.fftconvolve(samples, tail)[: len(samples)]


def _telephoned(samples: np.ndarray) -> np.ndarray:
    """Return the sound between 300 and 3,400 Hz."""
    band = scipy.signal.butter(4, (300, 3400), "bandpass", fs=RECOGNITION_RATE_HZ, output="sos")
    return scipy.signal.sosfilt(band, samples)


def turns_of(split: str, settings: Settings) -> list[str]:
    """Return what people say in the talks, and questions of the kinds, in random order."""
    rng = random.Random(f"{settings.seed} {split}")
    texts = [
        turn.text
        for talk in written_talks()
        if talk.split == split
        for turn in talk.turns
        if turn.role == "user"
    ]
    kinds = make_questions(max(1, len(texts) // 4), settings.seed, split)
    texts += [turn.text for talk in kinds for turn in talk.turns if turn.role == "user"]
    texts = [text for text in dict.fromkeys(texts) if len(text.split()) <= settings.most_words]
    rng.shuffle(texts)
    return texts


def speaker(split: str, settings: Settings, context: StageContext) -> Callable[[str, random.Random], Spoken]:
    """Return what says a text of a split: the reply voice in some manner, or another voice.

    Both raise ValueError for a word that is said as several.
    """
    folder = context.folder("corpus")
    voice = ReplyVoice(folder)
    others = None if settings.listeners is None else Listeners(folder, settings.listeners)
    names = [name for name in DEVELOPMENT_VOICES if (name in _VALID_LISTENERS) == (split == "valid")]

    def speak(text: str, rng: random.Random) -> Spoken:
        if others is not None and rng.random() < settings.listeners_part:
            return others.speak(text, rng.choice(names), rng.uniform(0.85, 1.2))
        manner = Manner(
            rate=rng.uniform(0.85, 1.25),
            pitch=rng.choice((1.0, rng.uniform(0.55, 1.2))),
            slope=rng.uniform(-0.2, 0.2),
        )
        return voice.speak(text, manner, rng.randrange(2**31))

    return speak


class Examples:
    """Encoder states and labels of one split, in a file that a stopped run goes on with.

    Attributes:
        states: (examples, `FRAMES`, width) float16.
        finished: (examples,) 1 or 0.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.states: list[Tensor] = []
        self.finished: list[float] = []
        if path.exists():
            stored = load_file(path)
            self.states, self.finished = list(stored["states"]), stored["finished"].tolist()

    def save(self) -> None:
        """Write the file."""
        with replacing(self.path) as path:
            save_file({"states": torch.stack(self.states), "finished": torch.tensor(self.finished)}, path)

    def fill(
        self,
        texts: Sequence[str],
        wanted: int,
        speak: Callable[[str, random.Random], Spoken],
        ears: EnglishWhisper,
        settings: Settings,
    ) -> None:
        """Speak texts in turn until there are enough."""
        if len(self.states) >= wanted:
            return
        rng, done = random.Random(f"{settings.seed} {len(self.states)}"), len(self.states)
        while len(self.states) < wanted:
            if rng.random() < settings.answers_part:
                text = rng.choice(_ANSWERS).capitalize() + rng.choice(("", ".", "."))
            else:
                text = texts[rng.randrange(len(texts))]
            for said in whole_or_cut(text, rng):
                try:
                    spoken = speak(said.text, rng)
                except ValueError:  # a word that is said as several
                    continue
                samples = as_heard(spoken, said.words, rng, settings.rooms_part)
                frames = round(len(samples) / RECOGNITION_RATE_HZ / ears.frame_s)
                self.states.append(last_states(ears.encode(samples), frames).half())
                self.finished.append(float(said.finished))
            if len(self.states) - done >= _SAVE_EVERY:
                done = len(self.states)
                self.save()
                logger.info("turn_ends: %s has %d examples", self.path.stem, done)
        self.save()

    def tensors(self) -> tuple[Tensor, Tensor]:
        """States and labels."""
        return torch.stack(self.states), torch.tensor(self.finished)


def run(settings: Settings, context: StageContext) -> None:
    """Make the examples, train, and write `turn_end.safetensors`."""
    folder, torch_seed = context.folder("turn_ends"), settings.loop.seed
    ears, found = tiny_en(), {}
    for split, wanted in (("train", settings.examples), ("valid", settings.valid_examples)):
        examples = Examples(folder / f"{split}.safetensors")
        examples.fill(turns_of(split, settings), wanted, speaker(split, settings, context), ears, settings)
        found[split] = examples.tensors()
    torch.manual_seed(torch_seed)
    states, finished = found["train"]
    module = TurnEnd(states.shape[2])
    flat = states.float().flatten(0, 1)
    module.mean.copy_(flat.mean(0))
    module.deviation.copy_(flat.std(0).clamp(min=1e-3))
    loop = TrainingLoop("turn_ends", folder, module, settings.loop)
    loop.resume()

    def compute_losses(_step: int, generator: torch.Generator) -> Losses:
        chosen = torch.randint(len(states), (settings.batch,), generator=generator)
        logits = module(states[chosen].float())
        return {"end": F.binary_cross_entropy_with_logits(logits, finished[chosen])}

    def evaluate() -> dict[str, float]:
        valid, labels = found["valid"]
        logits = module(valid.float())
        said = logits.sigmoid() >= 0.8
        return {
            "end": float(F.binary_cross_entropy_with_logits(logits, labels)),
            "ends_told": float(said[labels == 1].float().mean()),
            "pauses_mistaken": float(said[labels == 0].float().mean()),
        }

    def write() -> None:
        save_file(
            {name: value.contiguous() for name, value in module.state_dict().items()}, folder / TURN_END
        )

    loop.run(compute_losses, evaluate, write)
