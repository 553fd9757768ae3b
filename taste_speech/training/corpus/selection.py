"""Which sentences of the dialogue text are spoken."""

import random

from taste_speech.training.corpus.dialogues import Talk, as_heard, make_questions, make_talks
from taste_speech.training.corpus.produce import split_of

LONGEST_USER_TURN = 16
UNFINISHED_SHARE = 0.3
REFERENCE_TALKS = 40_000
FEWEST_TALKS = 300
ANSWER_VALID_PERCENT, ANSWER_TEST_PERCENT = 2, 5


def user_sentences(n: int, seed: int, split: str, without: frozenset[str] = frozenset()) -> list[str]:
    """Return at most `n` distinct user turns of `split`, some cut off, none heard as one of `without`."""
    rng = random.Random(seed)
    found: dict[str, str] = {}
    for talk in make_questions(n // 2, seed, split) + make_talks(n, seed, split):
        for turn in talk.turns:
            heard = as_heard(turn.text)
            if (
                turn.role != "user"
                or turn.goes_on
                or heard in without
                or len(turn.text.split()) > LONGEST_USER_TURN
            ):
                continue
            if turn.finished or rng.random() < UNFINISHED_SHARE:
                found.setdefault(heard, turn.text)
    sentences = list(found.values())
    rng.shuffle(sentences)
    return sentences[:n]


def held_out_questions(n: int, seed: int, without: frozenset[str]) -> list[str]:
    """Return at most `n` distinct questions in paraphrases of the test, the kinds in turn."""
    found: dict[str, str] = {}
    for talk in make_questions(3 * n, seed, "test"):
        text = talk.turns[0].text
        if as_heard(text) not in without:
            found.setdefault(as_heard(text), text)
    return list(found.values())[:n]


def heard_in_training(sentences: list[str], seed: int) -> frozenset[str]:
    """Return what users say in many training talks, and `sentences`, as they are heard."""
    talks = make_talks(REFERENCE_TALKS, seed, "train")
    return frozenset(as_heard(turn.text) for talk in talks for turn in talk.turns) | {
        as_heard(sentence) for sentence in sentences
    }


def answers(n_train: int, n_valid: int, n_test: int, seed: int) -> dict[str, list[str]]:
    """Return distinct assistant turns by split; the split hangs on the text alone."""
    n_talks = max(3 * n_train, FEWEST_TALKS)
    talks: list[Talk] = make_talks(n_talks, seed, "train") + make_questions(n_talks // 2, seed, "train")
    texts = sorted(
        {t.text for talk in talks for t in talk.turns if t.role == "assistant" and t.kind != "go_on"}
    )
    random.Random(seed).shuffle(texts)
    wanted = {"test": n_test, "valid": n_valid, "train": n_train}
    return {
        split: [t for t in texts if split_of(t, ANSWER_VALID_PERCENT, ANSWER_TEST_PERCENT) == split][:n]
        for split, n in wanted.items()
    }
