"""What is measured on: sentences and voices that no training stage has seen."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from taste_speech.training.corpus.augmentation import augment
from taste_speech.training.corpus.dialogues.talks import Talk, Turn, make_questions, make_talks
from taste_speech.training.corpus.murmuring import murmured_utterances
from taste_speech.training.corpus.produce import split_of, utterances
from taste_speech.training.corpus.sentences import general_sentences
from taste_speech.training.corpus.speech import PLAIN, Manner, Utterance, speak_all
from taste_speech.training.corpus.voices import REPLY_VOICE
from taste_speech.training.evaluation.voices import FRESH_VOICES

RATE_HZ = 16_000
CORPUS_SENTENCES, CORPUS_SEED = 3000, 1
"""Which general sentences the corpus stage drew: those of its test split are measured on."""


@dataclass(frozen=True)
class Spoken:
    """A sentence as sound."""

    text: str
    samples: np.ndarray
    """(T,) float32, 16 kHz."""
    voice: str


def reply_voice_sentences(count: int) -> list[Spoken]:
    """Unseen general sentences in the reply voice, with the corpus's variety of manner."""
    texts = [text for text in general_sentences(CORPUS_SENTENCES, CORPUS_SEED) if split_of(text) == "test"]
    wanted = utterances(texts[:count], [REPLY_VOICE], 99, "evaluation-", "test")
    return [Spoken(u.text, to_float(samples), u.voice.name) for u, samples in speak_all(wanted)]


def in_reply_voice(texts: Sequence[str], manner: Manner = PLAIN) -> list[Spoken]:
    """`texts` by the reply voice itself, all in one manner."""
    wanted = [Utterance(f"told-{i}", "test", text, REPLY_VOICE, manner) for i, text in enumerate(texts)]
    return [Spoken(u.text, to_float(samples), u.voice.name) for u, samples in speak_all(wanted)]


def held_out_talks(count: int) -> list[Talk]:
    """Single questions in paraphrases that training left out, all kinds in turn."""
    return make_questions(count, 77, "test")


def cut_off_turns(count: int) -> list[Turn]:
    """User turns of unseen talks that stop at a hesitation."""
    turns = (turn for talk in make_talks(40 * count, 78, "test") for turn in talk.turns)
    cut = [t for t in turns if t.role == "user" and t.modality == "speech" and not t.finished]
    return cut[:count]


def in_fresh_voices(texts: Sequence[str], noisy: bool, seed: int = 5) -> list[Spoken]:
    """`texts` spoken by voices that nothing was tuned on; `noisy` adds a room, noise and a narrow band."""
    rng = np.random.default_rng(seed)
    wanted = utterances(texts, FRESH_VOICES, seed, "evaluation-", "test")
    spoken = []
    for utterance, samples in speak_all(wanted):
        sound = to_float(samples)
        spoken.append(Spoken(utterance.text, augment(sound, rng) if noisy else sound, utterance.voice.name))
    return spoken


def murmurs_in_fresh_voices(count: int, noisy: bool, seed: int = 6) -> list[Spoken]:
    """Murmurs by voices that nothing was tuned on, between moments of silence as VAD cuts them."""
    rng = np.random.default_rng(seed)
    quiet = np.zeros(RATE_HZ // 4, np.float32)
    spoken = []
    for utterance, samples in speak_all(murmured_utterances(count, FRESH_VOICES, seed, "murmur-", "test")):
        sound = np.concatenate([quiet, to_float(samples), quiet])
        spoken.append(Spoken(utterance.text, augment(sound, rng) if noisy else sound, utterance.voice.name))
    return spoken


def to_float(samples: np.ndarray) -> np.ndarray:
    """int16 samples as float32 in [-1, 1)."""
    return samples.astype(np.float32) / 32768


def shuffled(items: Sequence[Talk], seed: int) -> list[Talk]:
    """A reproducible order that does not follow the kinds."""
    mixed = list(items)
    random.Random(seed).shuffle(mixed)
    return mixed
