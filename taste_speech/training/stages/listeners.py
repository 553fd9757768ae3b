"""Stage `listeners`: what people say to the assistant, in many natural voices."""

import logging
import random
import re
from pathlib import Path

from pydantic import Field

from taste_speech.configuration_base import StrictSection
from taste_speech.training.config import StageContext
from taste_speech.training.corpus import (
    SAMPLE_RATE_HZ,
    TRAINING_VOICES,
    AudioStore,
    Listeners,
    Manner,
    ReplyVoice,
    store_utterance,
)
from taste_speech.training.corpus.dialogues import (
    ASSENTS,
    MURMURS,
    Turn,
    cut_off,
    make_questions,
    written_talks,
)

logger = logging.getLogger(__name__)
_LONGEST_WORDS = 18


class Settings(StrictSection):
    """Numbers of utterances; a thousand are about three quarters of an hour."""

    whole: int = Field(default=1000, ge=1)
    """Turns said to their end."""
    cut: int = Field(default=250, ge=0)
    """Turns that break off."""
    short: int = Field(default=150, ge=0)
    """Murmurs and answers of one word."""
    voices: Path = Path("kokoro-js/voices")
    """Folder of the voices in the npm package `kokoro-js`."""
    threads: int = Field(default=1, ge=1)
    seed: int = 1


def wanted(settings: Settings) -> list[tuple[str, str, str]]:
    """Return kind (`whole`, `cut` or `short`), split and text of each utterance, in speaking order."""
    rng = random.Random(settings.seed)
    turns = [
        (talk.split, turn)
        for talk in written_talks()
        for turn in talk.turns
        if turn.role == "user" and 2 <= len(turn.text.split()) <= _LONGEST_WORDS
    ]
    turns += [("train", talk.turns[0]) for talk in make_questions(len(turns) // 3, settings.seed, "train")]
    turns = [(split, turn) for split, turn in turns if re.fullmatch(r"[A-Za-z' ,.?!-]+", turn.text)]
    rng.shuffle(turns)
    items = [("whole", split, turn.text) for split, turn in turns[: settings.whole]]
    items += _cut([turn for _, turn in turns[settings.whole :]], settings.cut, rng)
    items += [
        ("short", "train", _marked(rng.choice((*MURMURS, *ASSENTS, "no")))) for _ in range(settings.short)
    ]
    rng.shuffle(items)
    return items


def _cut(turns: list[Turn], count: int, rng: random.Random) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []
    for turn in turns:
        if len(found) == count:
            break
        [cut] = cut_off([turn], rng)
        if not cut.finished:
            # A comma keeps the voice up, as of somebody who goes on.
            found.append(("cut", "train", cut.text.rstrip(".,?!") + ","))
    return found


def _marked(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def run(settings: Settings, context: StageContext) -> None:
    """Fill the store `listeners`."""
    folder = context.folder("corpus")
    store = AudioStore(folder / "listeners")
    speaker = Listeners(folder, settings.voices, ReplyVoice(folder), settings.threads)
    for number, (kind, split, text) in enumerate(wanted(settings)):
        clip_id = f"{kind}-{number:06d}"
        if clip_id in store:
            continue
        rng = random.Random(f"{settings.seed} {number}")
        voice, rate = rng.choice(TRAINING_VOICES), round(rng.uniform(0.85, 1.2), 2)
        try:
            spoken = speaker.speak(text, voice, rate)
        except ValueError:  # a word that is said as several
            continue
        store_utterance(store, spoken, Manner(rate=rate), id=clip_id, split=split, text=text, voice=voice)
    seconds = sum(clip.samples for clip in store) / SAMPLE_RATE_HZ
    logger.info("listeners: %d clips, %.2f hours", len(store), seconds / 3600)
