"""What our recogniser makes of spoken turns, so that the spoken LM is trained on its real errors."""

import itertools
import json
import logging
import random
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np

from taste_speech.recognition.base import Recognizer
from taste_speech.training.corpus.augmentation import Conditions, augment
from taste_speech.training.corpus.dialogues.not_understood import asked_again
from taste_speech.training.corpus.dialogues.talks import Talk, as_heard, make_questions, make_talks
from taste_speech.training.corpus.produce import utterances
from taste_speech.training.corpus.speech import speak_all
from taste_speech.training.corpus.voices import CROWD_VOICES, TRAIN_VOICES
from taste_speech.training.word_errors import word_error_rate

logger = logging.getLogger(__name__)
Phrase = tuple[str, ...]
LONGEST_PHRASE = 3
NOISY_SHARE, LOST_SHARE = 0.5, 0.15
LOST = Conditions(room_chance=1.0, noise_chance=1.0, snr_db=(-5.0, 5.0), reverberation_s=(0.3, 0.7))
"""Where little is understood."""
MOST_ERRORS = 0.5
"""Of a turn's words; of one that lost more nobody knows what was asked."""
UNFINISHED_SHARE = 0.2
SEED = 41


def spoken_talks(count: int, seed: int = SEED) -> list[Talk]:
    """The training talks whose one spoken turn is recognised: questions, then turns that are not finished."""
    n_unfinished = round(count * UNFINISHED_SHARE)
    questions = make_questions(count - n_unfinished, seed, "train")
    unfinished = (
        talk
        for number in itertools.count(seed)
        for talk in make_talks(1000, number, "train")
        if len(talk.turns) == 1 and not talk.turns[0].finished
    )
    return [*questions, *itertools.islice(unfinished, n_unfinished)]


def write_heard(path: Path, recognizer: Recognizer, count: int, seed: int = SEED) -> None:
    """Speak the turns of `spoken_talks`, some in noise, and write what is recognised as JSON lines.

    What a stopped run has left beside `path` is gone on with.
    """
    texts = [talk.turns[0].text for talk in spoken_talks(count, seed)]
    wanted = utterances(texts, (*TRAIN_VOICES, *CROWD_VOICES), seed, "heard-", "train")
    partial = path.with_suffix(".partial")
    done = len(partial.read_text(encoding="utf-8").splitlines()) if partial.exists() else 0
    with partial.open("a", encoding="utf-8", buffering=1) as file:
        spoken = speak_all(wanted[done:], processes=1)
        for number, (utterance, sound) in enumerate(spoken, done):
            rng = np.random.default_rng((seed, number))
            samples = (sound / 32768).astype(np.float32)
            draw = rng.random()
            if draw < NOISY_SHARE + LOST_SHARE:
                conditions = Conditions() if draw < NOISY_SHARE else LOST
                samples = augment(samples, rng, conditions).astype(np.float32)
            recognizer.start()
            recognizer.accept(samples)
            line = {"said": as_heard(utterance.text), "heard": recognizer.finish().text}
            file.write(json.dumps(line) + "\n")
    partial.replace(path)
    logger.info("%d spoken turns recognised: %s", len(texts), path)


def errors(said: Sequence[str], heard: Sequence[str]) -> list[tuple[Phrase, Phrase]]:
    """Pairs of phrases where the two differ; a word that was only heard goes with the said one before it."""
    found = []
    for kind, i, j, k, m in SequenceMatcher(None, said, heard, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        before = 1 if i == j and i else 0
        found.append((tuple(said[i - before : j]), tuple(heard[k - before : m])))
    return [(a, b) for a, b in found if a]


class Confusions:
    """Phrases that get lost or become others, as often as a recogniser was seen to do that.

    Args:
        pairs: the words said and the words heard, of many utterances.
        rivals: for each word what must not become of it, as that would ask for something else.
    """

    def __init__(
        self,
        pairs: Iterable[tuple[Sequence[str], Sequence[str]]],
        rivals: Mapping[str, set[str]] | None = None,
    ) -> None:
        self._said: Counter[Phrase] = Counter()
        self._heard: dict[Phrase, Counter[Phrase]] = defaultdict(Counter)
        rivals = rivals or {}
        for said, heard in pairs:
            for length in range(1, LONGEST_PHRASE + 1):
                self._said.update(tuple(said[i : i + length]) for i in range(len(said) - length + 1))
            for phrase, became in errors(said, heard):
                asks_else = any(rivals.get(a, set()) & set(became) for a in phrase)
                if len(phrase) <= LONGEST_PHRASE and not asks_else:
                    self._heard[phrase][became] += 1

    def __len__(self) -> int:
        return len(self._heard)

    def __call__(self, words: Sequence[str], rng: random.Random) -> list[str]:
        """Words as they might be recognised."""
        result: list[str] = []
        start = 0
        while start < len(words):
            taken, became = self._draw(words[start : start + LONGEST_PHRASE], rng)
            result.extend(became)
            start += taken
        return result

    def _draw(self, words: Sequence[str], rng: random.Random) -> tuple[int, Phrase]:
        for length in range(len(words), 0, -1):
            phrase = tuple(words[:length])
            heard = self._heard.get(phrase)
            if heard and rng.random() < heard.total() / self._said[phrase]:
                return length, rng.choices(list(heard), list(heard.values()))[0]
        return 1, (words[0],)


def read_pairs(path: Path) -> list[tuple[list[str], list[str]]]:
    """What `write_heard` wrote, as words."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [(line["said"].split(), line["heard"].split()) for line in lines]


def is_understood(said: Sequence[str], heard: Sequence[str]) -> bool:
    """Whether enough of the words is left to know what was asked."""
    return word_error_rate([" ".join(said)], [" ".join(heard)]) <= MOST_ERRORS


def misheard_talks(
    pairs: Sequence[tuple[list[str], list[str]]], sentences: Collection[str] = ()
) -> list[Talk]:
    """The talks among those of `pairs` whose turn was recognised with errors.

    Where too much was lost the assistant says so, instead of an answer to something else.

    Args:
        pairs: the words said and the words heard.
        sentences: what users say: heard as one of these, a turn asks for something else, and is left out.
    """
    rng = random.Random(SEED)
    talks = []
    for talk, (said, heard) in zip(spoken_talks(len(pairs)), pairs, strict=True):
        question, *answer = talk.turns
        if said != as_heard(question.text).split():
            raise ValueError(
                f"{question.text!r} stands where {' '.join(said)!r} was spoken; delete heard.jsonl"
            )
        if not heard or said == heard:
            continue
        spoken = replace(question, modality="speech", recognised=" ".join(heard))
        if is_understood(said, heard):
            talks.append(replace(talk, turns=(spoken, *answer)))
        elif spoken.recognised not in sentences:
            talks.append(replace(talk, turns=asked_again(spoken, answer, rng.random())))
    return talks
