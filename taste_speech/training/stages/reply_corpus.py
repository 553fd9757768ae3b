"""Stage `reply_corpus`: recordings of the reply voice: many different words, answers, and held-out words."""

import logging
import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from pydantic import Field

from taste_speech.configuration_base import StrictSection
from taste_speech.training.config import StageContext
from taste_speech.training.corpus.audio_store import AudioStore
from taste_speech.training.corpus.dialogues.turns import written_talks
from taste_speech.training.corpus.reply_texts import carriers, is_for_training, split_of, wordnet_texts
from taste_speech.training.corpus.reply_voice import (
    SAMPLE_RATE_HZ,
    Manner,
    ReplyVoice,
    random_manner,
    store_utterance,
)

logger = logging.getLogger(__name__)
VOICE = "heart"


class Settings(StrictSection):
    """Numbers of sentences (a thousand are about an hour), and how they are spoken."""

    examples: int = Field(default=8000, ge=1)
    definitions: int = Field(default=16000, ge=1)
    answers: int = Field(default=5000, ge=1)
    """Answers of the talks, in all manners."""
    plain: int = Field(default=4000, ge=1)
    """Other answers, in the voice's plain manner: how the agent should speak."""
    plain_rates: tuple[float, float] = (1.0, 1.0)
    """Slowest and fastest pace of the plain answers."""
    wordnet_rates: tuple[float, float] | None = None
    """Slowest and fastest pace of examples and definitions, which are then in the plain manner too."""
    paced: int = Field(default=2500, ge=1)
    """Other answers, only slower or faster."""
    paced_rates: tuple[float, float] = (0.6, 1.5)
    low: int = Field(default=1500, ge=1)
    """Answers in all manners as low as a man says them: what people say has taste tokens, too."""
    low_pitch: float = Field(default=0.526, gt=0)
    seed: int = 1


def record_reply(
    texts: Sequence[tuple[str, str]],
    store: AudioStore,
    voice: ReplyVoice,
    prefix: str,
    seed: int,
    plain_rates: tuple[float, float] | None,
    pitch: float = 1.0,
) -> None:
    """Record the texts that the store lacks.

    Args:
        texts: with their splits.
        plain_rates: slowest and fastest pace of the voice's plain manner; None: random manners.
        pitch: factor of the pitch of every manner.
    """
    for number, (text, split) in enumerate(texts):
        clip_id = f"{prefix}{number:06d}"
        if clip_id in store:
            continue
        rng = random.Random(f"{seed} {number}")
        manner = Manner(rng.uniform(*plain_rates)) if plain_rates else random_manner(text, rng)
        manner = replace(manner, pitch=manner.pitch * pitch)
        try:
            spoken = voice.speak(text, manner, rng.randrange(2**31))
        except ValueError:  # a word that is read as several
            continue
        store_utterance(store, spoken, manner, id=clip_id, split=split, text=text, voice=VOICE)


def answer_texts(seed: int) -> list[tuple[str, str]]:
    """Return what the assistant says in the talks, with the split of the talk, in random order."""
    found: dict[str, str] = {}
    for talk in written_talks():
        for turn in talk.turns:
            if turn.role == "assistant" and is_for_training(turn.text):
                found.setdefault(turn.text, talk.split)
    texts = list(found.items())
    random.Random(seed).shuffle(texts)
    return texts


def run(settings: Settings, context: StageContext) -> None:
    """Fill the stores `rare`, `wordnet`, `answers`, `plain`, `paced` and `low`."""
    folder = context.folder("corpus")
    voice = ReplyVoice(folder)
    said = {
        "rare": [(text, split) for split in ("valid", "test") for text in carriers(split)],
        "wordnet": [
            (text, split_of(text))
            for text in wordnet_texts(settings.examples, settings.definitions, settings.seed)
            if is_for_training(text)
        ],
    }
    answers = iter(answer_texts(settings.seed))
    for name in ("answers", "plain", "paced"):
        said[name] = list(islice(answers, getattr(settings, name)))
    said["low"] = said["answers"][: settings.low]
    rates = {
        "rare": (1.0, 1.0),
        "plain": settings.plain_rates,
        "paced": settings.paced_rates,
        "wordnet": settings.wordnet_rates,
    }
    for name, texts in said.items():
        store = AudioStore(folder / name)
        pitch = settings.low_pitch if name == "low" else 1.0
        record_reply(texts, store, voice, f"{name}-", settings.seed, rates.get(name), pitch)
        hours = sum(clip.samples for clip in store) / SAMPLE_RATE_HZ / 3600
        logger.info("reply_corpus: %s has %d clips, %.1f hours", name, len(store), hours)
