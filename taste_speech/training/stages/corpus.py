"""Stage `corpus`: general sentences and answers in the reply voice, questions in the listeners' voices."""

import logging
import random
from collections.abc import Callable

from pydantic import Field

from taste_speech.configuration_base import StrictSection
from taste_speech.training.config import StageContext
from taste_speech.training.corpus.dialogues.not_understood import NOT_UNDERSTOOD
from taste_speech.training.corpus.murmuring import murmured_utterances
from taste_speech.training.corpus.produce import record, split_of, total_seconds, utterances
from taste_speech.training.corpus.selection import (
    answers,
    heard_in_training,
    held_out_questions,
    user_sentences,
)
from taste_speech.training.corpus.sentences import general_sentences
from taste_speech.training.corpus.speech import Manner, Utterance, changing_manner, paced_manner
from taste_speech.training.corpus.voices import (
    CROWD_VOICES,
    DIPHONE_VOICES,
    PARAMETRIC_VOICES,
    REPLY_VOICE,
    TEST_VOICES,
    TRAIN_VOICES,
)

logger = logging.getLogger(__name__)


class Settings(StrictSection):
    """Numbers of sentences; three thousand are about three hours."""

    general: int = Field(default=3000, ge=1)
    """General sentences in the reply voice, all splits together."""
    answers_train: int = Field(default=4000, ge=1)
    answers_valid: int = Field(default=80, ge=1)
    answers_test: int = Field(default=150, ge=1)
    plain_answers: int = Field(default=4000, ge=1)
    """Answers once more in the voice's plain manner, for the spoken LM to learn how it should speak."""
    paced: int = Field(default=3000, ge=2)
    """Sentences at any pace, half of them answers, for taste tokens to carry it."""
    changing: int = Field(default=2400, ge=2)
    """The same with a pace that changes in the middle, for each taste token to carry that of its word."""
    questions_train: int = Field(default=6000, ge=1)
    questions_valid: int = Field(default=200, ge=1)
    questions_test: int = Field(default=400, ge=1)
    """In held-out paraphrases and held-out voices."""
    crowd_questions: int = Field(default=6000, ge=1)
    crowd_general: int = Field(default=3000, ge=1)
    """User turns and general sentences of the training split in very many voices."""
    diphone_turns: int = Field(default=1200, ge=0)
    """User turns of the training split in voices of festival; 0: that engine is not needed."""
    parametric_turns: int = Field(default=4000, ge=0)
    """The same in voices of RHVoice; 0: that engine is not needed."""
    murmurs: int = Field(default=1500, ge=1)
    """"Mhm", "yeah" and the like in as many voices."""
    processes: int = Field(default=2, ge=1)
    """Speech engines at once."""
    seed: int = 1


def run(settings: Settings, context: StageContext) -> None:
    """Fill the stores: sentences (`reply`), answers (`reply2`, `plain`), both at other paces, users."""
    folder, seed, processes = context.folder("corpus"), settings.seed, settings.processes
    wanted = utterances(general_sentences(settings.general, seed), [REPLY_VOICE], seed, "general-")
    stores = {"reply": record(wanted, folder / "reply", processes)}

    by_split = answers(settings.answers_train, settings.answers_valid, settings.answers_test, seed + 20)
    wanted = [
        utterance
        for split, texts in by_split.items()
        for utterance in utterances(texts, [REPLY_VOICE], seed + 22, f"answer-{split}-", split)
    ]
    stores["reply2"] = record(wanted, folder / "reply2", processes)

    texts = [*answers(settings.plain_answers, 1, 1, seed + 20)["train"], *NOT_UNDERSTOOD]
    wanted = [Utterance(f"plain-{i:06d}", "train", text, REPLY_VOICE) for i, text in enumerate(texts)]
    stores["plain"] = record(wanted, folder / "plain", processes)

    for name, count, manner, offset in (
        ("paced", settings.paced, paced_manner, 24),
        ("changing", settings.changing, changing_manner, 25),
    ):
        wanted = _at_other_paces(name, count, manner, seed + offset)
        stores[name] = record(wanted, folder / name, processes)

    train = user_sentences(settings.questions_train, seed + 10, "train")
    heard = heard_in_training(train, seed + 10)
    valid = user_sentences(settings.questions_valid, seed + 12, "valid", heard)
    test = held_out_questions(settings.questions_test, seed + 11, heard)
    wanted = [
        *utterances(test, TEST_VOICES, seed + 11, "test-", "test"),
        *utterances(train, TRAIN_VOICES, seed + 10, "train-", "train"),
        *utterances(valid, TRAIN_VOICES, seed + 12, "valid-", "valid"),
    ]
    stores["listeners"] = record(wanted, folder / "listeners", processes)

    asked = user_sentences(settings.crowd_questions, seed + 13, "train")
    general = [
        text for text in general_sentences(settings.crowd_general, seed + 14) if split_of(text) == "train"
    ]
    wanted = utterances([*asked, *general], CROWD_VOICES, seed + 13, "crowd-", "train")
    stores["crowd"] = record(wanted, folder / "crowd", processes)

    texts = user_sentences(settings.diphone_turns, seed + 16, "train")
    wanted = utterances(texts, DIPHONE_VOICES, seed + 16, "diphone-", "train")
    stores["diphone"] = record(wanted, folder / "diphone", processes)

    texts = user_sentences(settings.parametric_turns, seed + 17, "train")
    wanted = utterances(texts, PARAMETRIC_VOICES, seed + 17, "parametric-", "train")
    stores["parametric"] = record(wanted, folder / "parametric", processes)

    voices = [*CROWD_VOICES, *TRAIN_VOICES]
    wanted = murmured_utterances(settings.murmurs, voices, seed + 15, "murmur-", "train")
    stores["murmurs"] = record(wanted, folder / "murmurs", processes)
    for name, store in stores.items():
        logger.info("corpus: %s has %d clips, %.1f hours", name, len(store), total_seconds(store) / 3600)


def _at_other_paces(
    name: str, count: int, manner: Callable[[str, random.Random], Manner], seed: int
) -> list[Utterance]:
    """Sentences and answers, half of each, that are not measured on; `manner` draws how they are spoken."""
    half = count // 2
    by_split = answers(half, max(1, half // 30), 1, seed)
    said = [(text, split) for split in ("train", "valid") for text in by_split[split]]
    sentences = [(text, split_of(text)) for text in general_sentences(count - half, seed)]
    return [
        utterance
        for split in ("train", "valid")
        for utterance in utterances(
            [text for text, own in [*said, *sentences] if own == split],
            [REPLY_VOICE],
            seed,
            f"{name}-{split}-",
            split,
            manner,
        )
    ]
