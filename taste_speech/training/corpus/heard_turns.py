"""What the agent hears of the turns in the talks: recognized words and their taste tokens.

The reply voice says a turn, whole or up to a pause, in some pitch, pace and noise; the recognizer of a
checkpoint writes what it hears, and the audio tower adds how it sounds. So the mind learns from the words
that it will get, and from how people sound who have not finished.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import soxr
import torch
from numpy.typing import NDArray

from taste_speech.audio_tower.tower import AudioTower
from taste_speech.phones import PAUSE
from taste_speech.recognition.base import RECOGNITION_RATE_HZ, Recognizer
from taste_speech.training.config import complete_lines
from taste_speech.training.corpus.dialogues.turns import HANGING, Talk
from taste_speech.training.corpus.reply_voice import SAMPLE_RATE_HZ, Manner, ReplyVoice, Spoken
from taste_speech.training.corpus.taste_tokens import taste_ids_of
from taste_speech.words import PhoneTokenizer

_CUT_SHARE, _HANGING_SHARE = 0.5, 0.6
_FILLERS = ("um", "uh", "er")
_FADE_S, _SILENCE_S = 0.02, 0.3
_TAIL_S = 0.04
"""How much may follow the last phone."""
_LEVELS_DBFS, _NOISE_SHARE, _NOISE_DB = (-32.0, -14.0), 0.5, (4.0, 25.0)
_MOST_WORDS = 30


@dataclass(frozen=True)
class HeardTurn:
    """A turn of a talk as it was heard.

    Attributes:
        talk, turn: id of the talk, and number of the turn in it.
        finished: whether it was said to its end.
        words: the recognized words.
        tastes: a taste token for each of them, (words, levels).
    """

    talk: str
    turn: int
    finished: bool
    words: list[str]
    tastes: list[list[int]]

    def within(self, talk: Talk) -> Talk:
        """Return the talk with this turn as it was heard; it ends there if the turn is not finished."""
        turns = [replace(turn, modality="speech") if turn.role == "user" else turn for turn in talk.turns]
        turns[self.turn] = replace(
            turns[self.turn],
            finished=self.finished,
            recognized=" ".join(self.words),
            tastes=tuple(map(tuple, self.tastes)),
        )
        return replace(talk, turns=tuple(turns if self.finished else turns[: self.turn + 1]))


class HeardTurns:
    """Heard turns in a file that a stopped run goes on with."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.turns = [HeardTurn(**json.loads(line)) for line in complete_lines(path)]

    def append(self, turn: HeardTurn) -> None:
        """Add a turn."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(turn)) + "\n")
        self.turns.append(turn)


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


def broken_off(text: str, rng: random.Random, hanging_share: float = 0.0) -> Utterance | None:
    """Return a turn that breaks off behind one of its words; None if there is no such place.

    Args:
        text: the whole turn.
        rng: chooses the place, and how the voice breaks off there.
        hanging_share: how often the place is behind a word such as "and", if there is one.
    """
    words = text.split()
    # Behind an end mark nobody hears that more is to come.
    places = [count for count, word in enumerate(words[:-1], 1) if word[-1] not in ".?!"]
    hanging = [count for count in places if words[count - 1].lower() in HANGING]
    if len(words) < 3 or not places:
        return None
    count = rng.choice(hanging if hanging and rng.random() < hanging_share else places)
    first, rest = words[:count], words[count:]
    last = first[-1].rstrip(",;:-")
    how = rng.choices(("comma", "filler", "chopped", "alone"), (0.4, 0.15, 0.3, 0.15))[0]
    if how == "comma":  # the voice lingers and lifts before it
        return Utterance(" ".join([*first[:-1], f"{last},", *rest]), count)
    if how == "filler":
        return Utterance(" ".join([*first, f"{rng.choice(_FILLERS)},", *rest]), count + 1)
    if how == "chopped":
        return Utterance(text, count)
    return Utterance(" ".join([*first[:-1], last + rng.choice((",", "..."))]))


def of_a_person(rng: random.Random) -> Manner:
    """Draw a pace, and a pitch that may be that of a low voice."""
    pitch = rng.choice((1.0, rng.uniform(0.55, 1.2)))
    return Manner(rate=rng.uniform(0.85, 1.25), pitch=pitch, slope=rng.uniform(-0.2, 0.2))


def sound_of(spoken: Spoken, words: int | None, level_db: float, rng: random.Random) -> NDArray[np.float32]:
    """Return the sound up to the end of a word (None: all of it) at 16 kHz; speech has the level in dBFS."""
    said = [end for phone, end in spoken.timing.phones if phone != PAUSE]
    end_s = said[-1] if words is None else spoken.timing.word_ends[words - 1] + rng.uniform(0, _TAIL_S)
    samples = spoken.samples.astype(np.float32) / 32768
    if words is not None:
        samples = samples[: int(end_s * SAMPLE_RATE_HZ)]
        fade = min(len(samples), int(_FADE_S * SAMPLE_RATE_HZ))
        samples[len(samples) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    samples = soxr.resample(samples, SAMPLE_RATE_HZ, RECOGNITION_RATE_HZ)
    speech = samples[: int(end_s * RECOGNITION_RATE_HZ)]
    return samples * (10 ** (level_db / 20) / max(1e-6, float(np.sqrt(np.square(speech).mean()))))


def in_a_room(spoken: Spoken, words: int | None, rng: random.Random) -> NDArray[np.float32]:
    """Return the sound up to the end of a word at 16 kHz and some silence, at some level, half with noise."""
    level_db = rng.uniform(*_LEVELS_DBFS)
    padded = np.pad(sound_of(spoken, words, level_db, rng), (0, int(_SILENCE_S * RECOGNITION_RATE_HZ)))
    if rng.random() < _NOISE_SHARE:
        noise = colored_noise(len(padded), np.random.default_rng(rng.randrange(2**31)), rng.uniform(0, 1))
        padded += 10 ** ((level_db - rng.uniform(*_NOISE_DB)) / 20) * noise
    return np.clip(padded, -1, 1).astype(np.float32)


def colored_noise(count: int, rng: np.random.Generator, exponent: float) -> NDArray[np.float32]:
    """Return noise (count,) of unit power whose magnitudes are 1 / frequency ** exponent.

    An exponent of 0 makes it white; 0.5, by which it falls by 3 dB an octave, pink.
    """
    spectrum = np.fft.rfft(rng.standard_normal(count))
    shaped = np.fft.irfft(spectrum / np.maximum(np.arange(len(spectrum)), 1) ** exponent, count)
    return (shaped / max(float(shaped.std()), 1e-9)).astype(np.float32)


class Hearer:
    """Says turns and hears them.

    Args:
        voice: says them.
        recognizer: of a checkpoint; it shares its encoder with the tower.
        tower: hears the taste tokens.
    """

    def __init__(self, voice: ReplyVoice, recognizer: Recognizer, tower: AudioTower) -> None:
        self.voice, self.recognizer, self.tower = voice, recognizer, tower
        self.tokenizer = PhoneTokenizer()

    def hear(self, talk: Talk, turn: int, rng: random.Random) -> HeardTurn | None:
        """Say a turn, whole or cut off, and hear it; None if it cannot be said, or nothing is understood."""
        text = talk.turns[turn].text
        cut = broken_off(text, rng, _HANGING_SHARE) if rng.random() < _CUT_SHARE else None
        said = cut or Utterance(text, finished=True)
        try:
            spoken = self.voice.speak(said.text, of_a_person(rng), rng.randrange(2**31))
        except ValueError:  # a word that is said as several
            return None
        samples = in_a_room(spoken, said.words, rng)
        self.recognizer.start()
        self.recognizer.accept(samples)
        words = self.recognizer.finish().text.split()
        encoded = self.recognizer.encoded(samples, self.tower.joint.target_hidden_layer)
        if not words or encoded is None:
            return None
        tokens = self.tokenizer.tokens(words)
        ids, of_word = torch.tensor(tokens.token_ids), torch.tensor(tokens.word_ids)
        tastes = taste_ids_of(self.tower, encoded, ids, of_word).tolist()
        return HeardTurn(talk.id, turn, said.finished, words, tastes) if len(tastes) == len(words) else None

    def fill(self, heard: HeardTurns, talks: Sequence[Talk], count: int, seed: int) -> None:
        """Hear turns of people in talks drawn at random until there are `count`."""
        spoken = [
            (talk, number)
            for talk in talks
            for number, turn in enumerate(talk.turns)
            if turn.role == "user" and turn.finished and len(turn.text.split()) <= _MOST_WORDS
        ]
        rng = random.Random(f"{seed} {len(heard.turns)}")
        while len(heard.turns) < count:
            turn = self.hear(*rng.choice(spoken), rng)
            if turn is not None:
                heard.append(turn)
