"""Stage `turn_ends`: learns to hear whether a speaker has finished (`taste_speech.recognition.turn_end`).

The reply voice says what people say in the talks, whole or up to a pause: at a comma where there was none,
behind "um", or chopped off. The agent's own session cuts the piece of speech from it, Whisper's encoder hears
that as it does in a conversation, and a network on the encoder's states learns to tell the two apart.
"""

import logging
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from taste_agent.config import AgentSettings
from taste_agent.dialog.messages import ClosePiece, Command, Hear, Result
from taste_agent.session.engine import Session
from taste_speech.checkpoint_files import TURN_END
from taste_speech.configuration_base import StrictSection
from taste_speech.recognition.base import RECOGNITION_RATE_HZ
from taste_speech.recognition.english_whisper import EnglishWhisper, tiny_en
from taste_speech.recognition.turn_end import TurnEnd, last_states
from taste_speech.training.config import StageContext, replacing
from taste_speech.training.corpus.dialogues.conversation import make_questions
from taste_speech.training.corpus.dialogues.turns import written_talks
from taste_speech.training.corpus.heard_turns import Utterance, broken_off, of_a_person, sound_of
from taste_speech.training.corpus.reply_voice import ReplyVoice, Spoken
from taste_speech.training.loop import LoopSettings, Losses, TrainingLoop

logger = logging.getLogger(__name__)
_LEVELS_DBFS, _AFTER_S = (-40.0, -14.0), 1.5
"""Level of speech, and silence after it, in which the agent closes the piece."""
_SHORT_WORDS, _SHORT_PART = 2, 0.12
"""Turns of so few words, and their share: they are rare in the talks, but not among answers to the agent."""
_SAVE_EVERY = 250


class Settings(StrictSection):
    """Of the examples and of the training."""

    examples: int = Field(default=5000, ge=2)
    valid_examples: int = Field(default=400, ge=2)
    most_words: int = 30
    batch: int = 64
    loop: LoopSettings = LoopSettings()
    seed: int = 1


class _Ears:
    """Takes the place of the dialog's thread, and keeps the pieces of speech that a session closes."""

    def __init__(self) -> None:
        self._blocks: dict[int, list[np.ndarray]] = {}
        self.closed: list[np.ndarray] = []

    def submit(self, command: Command, _now: int) -> None:
        match command:
            case Hear(piece):
                self._blocks.setdefault(piece, []).append(command.samples)
            case ClosePiece(piece):
                self.closed.append(np.concatenate(self._blocks[piece]))

    def collect(self, _now: int) -> list[Result]:
        return []

    def close(self) -> None:
        pass


def last_piece(samples: np.ndarray) -> np.ndarray | None:
    """Return the last piece of speech that the agent cuts from a recording; None if it hears no speech."""
    ears = _Ears()
    Session(AgentSettings(), ears, lambda _: None).process(samples)
    return ears.closed[-1] if ears.closed else None


def as_heard(spoken: Spoken, words: int | None, rng: random.Random) -> np.ndarray | None:
    """Return the sound up to the end of a word as the agent hears it, at 16 kHz, some level, in some noise.

    It ends where the agent closes the piece of speech; None if that level is too low in that noise.
    """
    level_db = rng.uniform(*_LEVELS_DBFS)
    samples = sound_of(spoken, words, level_db, rng)
    before, after = int(rng.uniform(0.4, 0.8) * RECOGNITION_RATE_HZ), int(_AFTER_S * RECOGNITION_RATE_HZ)
    padded = np.pad(samples, (before, after))
    noise_db = rng.choice((rng.uniform(-75, -60), level_db - rng.uniform(12, 30)))
    noise = np.random.default_rng(rng.randrange(2**31)).standard_normal(len(padded))
    return last_piece(np.clip(padded + noise * 10 ** (noise_db / 20), -1, 1).astype(np.float32))


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
        self, texts: Sequence[str], wanted: int, voice: ReplyVoice, ears: EnglishWhisper, seed: int
    ) -> None:
        """Speak texts in turn until there are enough."""
        if len(self.states) >= wanted:
            return
        rng, done = random.Random(f"{seed} {len(self.states)}"), len(self.states)
        short = [text for text in texts if len(text.split()) <= _SHORT_WORDS] or texts
        while len(self.states) < wanted:
            chosen = short if rng.random() < _SHORT_PART else texts
            text = rng.choice(chosen)
            for said in filter(None, (Utterance(text, finished=True), broken_off(text, rng))):
                try:
                    spoken = voice.speak(said.text, of_a_person(rng), rng.randrange(2**31))
                except ValueError:  # a word that is said as several
                    continue
                samples = as_heard(spoken, said.words, rng)
                if samples is None:
                    continue
                frames = round(len(samples) / RECOGNITION_RATE_HZ / ears.frame_s)
                self.states.append(last_states(ears.encode(samples).keys[0], frames).half())
                self.finished.append(float(said.finished))
            if len(self.states) - done >= _SAVE_EVERY:
                done = len(self.states)
                self.save()
                logger.info("turn_ends: %s has %d examples", self.path.stem, done)
        self.save()

    def tensors(self) -> tuple[Tensor, Tensor]:
        """Return states and labels."""
        return torch.stack(self.states), torch.tensor(self.finished)


def run(settings: Settings, context: StageContext) -> None:
    """Make the examples, train, and write `turn_end.safetensors`."""
    folder, torch_seed = context.folder("turn_ends"), settings.loop.seed
    voice, ears = ReplyVoice(context.folder("corpus")), tiny_en()
    found = {}
    for split, wanted in (("train", settings.examples), ("valid", settings.valid_examples)):
        examples = Examples(folder / f"{split}.safetensors")
        examples.fill(turns_of(split, settings), wanted, voice, ears, settings.seed)
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
