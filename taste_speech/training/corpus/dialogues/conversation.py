"""Talks drawn by seed from the kinds: follow-ups, memories, requests about the talk, and interruptions."""

import random
import re
from dataclasses import replace
from functools import cache

from taste_speech.training.corpus.dialogues.kinds import (
    CONTROL,
    MEMORIES,
    STYLES,
    WORDS,
    Kind,
    Row,
    Style,
    all_kinds,
    as_heard,
    core,
    fill,
    sentence,
)
from taste_speech.training.corpus.dialogues.turns import Talk, Turn

SPLITS = ("train", "valid", "test")
LONG_ANSWER_WORDS = 12
"""Answers from this length on may be interrupted."""
MOST_WORDS = 30
"""Longest answer that is repeated or joined with another."""
MORE_BEFORE_SHARE = 0.1
"""Share of the training questions with an opening that no other split has."""
ONLY_UNFINISHED_SHARE = 0.1
"""Share of the talks that are a single unfinished turn."""
HESITATING_SHARE = 0.08
"""Share of the spoken user turns that come in two pieces, the first of them unfinished."""
_PLAIN = Style()


@cache
def _weighted() -> tuple[tuple[Kind, ...], tuple[float, ...]]:
    kinds = all_kinds()
    return kinds, tuple(kind.weight * max(len(kind.rows), 4) ** 0.35 for kind in kinds)


@cache
def _complete_sentences() -> frozenset[str]:
    """Return every paraphrase without slots, so that a cut-off turn is never one of them."""
    return frozenset(
        as_heard(t) for kind in (*all_kinds(), *CONTROL.values()) for t in kind.ask if "{" not in t
    )


def _open_ends(words: list[str]) -> list[int]:
    """Return the lengths at which everybody hears that more is to come."""
    ends = [i + 1 for i, word in enumerate(words[:-1]) if word.lower().strip(",") in WORDS["open_words"]]
    return [i for i in ends if as_heard(" ".join(words[:i])) not in _complete_sentences()]


class TalkWriter:
    """Writes one talk; `split` limits the paraphrases that the user may use."""

    def __init__(self, split: str, rng: random.Random, style: Style = _PLAIN):
        self.split, self.rng = split, rng
        self.turns: list[Turn] = []
        self.known: dict[str, Row] = {}
        self.last: tuple[Kind, Row] | None = None
        self.style = style
        self.rest = ""
        self.hesitating_share = 0.0

    def write(self) -> list[Turn]:
        """Return the turns of the talk."""
        self.hesitating_share = HESITATING_SHARE
        if self.rng.random() < 0.35:
            self.style = self.rng.choice(STYLES)
            self.turns.append(Turn("system", "text", self.rng.choice(self.style.system)))
        if self.rng.random() < ONLY_UNFINISHED_SHARE:
            self._unfinished()
            if self.turns:
                return self.turns
        for _ in range(self.rng.choice((1, 1, 2, 2, 3, 4, 5))):
            self._exchange()
        if self.rng.random() < 0.18:
            self._unfinished()
        return self.turns

    def single(self, kind: Kind) -> list[Turn]:
        """Return one question of `kind` with its answer, after a system prompt if there is a style."""
        if self.style.system:
            self.turns.append(Turn("system", "text", self.rng.choice(self.style.system)))
        self._ask(kind, self.rng.choice(kind.rows))
        return [replace(turn, cut_at_word=None) for turn in self.turns]

    def _exchange(self) -> None:
        draw = self.rng.random()
        rest, self.rest = self.rest, ""
        if rest and draw < 0.75:
            self._after_interruption(rest)
        elif self.last and draw < 0.13:
            self._control()
        elif self.last and self.last[0].follow and draw < 0.30:
            self._follow(*self.last)
        elif draw < 0.42:
            self._memory()
        else:
            self._any_question()

    def _any_question(self) -> None:
        kind = self.rng.choices(*_weighted())[0]
        self._ask(kind, self.rng.choice(kind.rows))

    def _paraphrase(self, kind: Kind, follow: bool = False) -> str | None:
        options = kind.paraphrases(self.split, follow)
        return self.rng.choice(options) if options else None

    def _ask(self, kind: Kind, row: Row) -> None:
        template = self._paraphrase(kind)
        if template is not None:
            text = fill(template, row) if kind.plain else self._dressed(kind, template, row)
            self._question_and_answer(text, kind, row)

    def _question_and_answer(self, text: str, kind: Kind, row: Row) -> None:
        self._user(text, kind.name, kind.accepted(row))
        self._assistant(kind.answer(row, self.style.name == "brief"), kind.name, kind.accepted(row))
        self.last = (kind, row)

    def _dressed(self, kind: Kind, template: str, row: Row) -> str:
        """Return the question with polite words or, in training, any opening around it."""
        training = self.split == "train"
        opened = training and self.rng.random() < MORE_BEFORE_SHARE
        dressed = self._opened(template) if opened else self._polite(template)
        # "Do you know" before a question may turn it into one that is held out.
        return fill(template if training and core(dressed) in kind.held_out else dressed, row)

    def _opened(self, text: str) -> str:
        before = self.rng.choice(WORDS["more_before"])
        asks = text.split()[0] in WORDS["question_words"]
        return f"{before} {text}" if asks or before.split()[-1] not in ("me", "know", "wonder") else text

    def _polite(self, text: str) -> str:
        draw = self.rng.random()
        if draw < 0.12:
            before = self.rng.choice(WORDS["before"])
            if before != "tell me" or text.split()[0] in WORDS["question_words"][:4]:
                return f"{before}, {text}" if before not in ("please", "tell me") else f"{before} {text}"
        return f"{text}, {self.rng.choice(WORDS['after'])}" if draw > 0.92 else text

    def _user(self, text: str, kind: str, accepted: str) -> None:
        modality = "speech" if self.rng.random() < 0.75 else "text"
        whole = Turn("user", modality, sentence(text), kind=kind, accepted_pattern=accepted)
        if modality == "speech" and self.rng.random() < self.hesitating_share:
            words = whole.text.split()
            open_ends = _open_ends(words)
            if open_ends:
                at = self.rng.choice(open_ends)
                self.turns.append(replace(whole, text=" ".join(words[:at]), finished=False))
                whole = replace(whole, text=" ".join(words[at:]), goes_on=True)
        self.turns.append(whole)

    def _assistant(self, text: str, kind: str, accepted: str, manner: str = "") -> None:
        text = self.style.apply(text)
        words = text.split()
        cut = None
        if len(words) >= LONG_ANSWER_WORDS and self.rng.random() < 0.45:
            cut = self.rng.randrange(3, len(words) - 2)
            self.rest = " ".join(words[cut:])
        manner = manner or (self.style.name if self.style.name in ("slow", "fast") else "")
        self.turns.append(Turn("assistant", "speech", text, True, kind, accepted, cut, manner))

    def _say_control(self, name: str, answer: str = "", accepted: str = "", manner: str = "") -> None:
        kind = CONTROL[name]
        text = self._paraphrase(kind)
        if text is not None:
            accepted = accepted or kind.accepted({})
            self._user(text, name, accepted)
            self._assistant(answer or kind.say, name, accepted, manner)

    def _after_interruption(self, rest: str) -> None:
        draw = self.rng.random()
        if draw < 0.4:
            self._say_control(self.rng.choice(("stop", "never_mind", "wait")))
            self.rest = rest
        elif draw < 0.75:
            start = r" ".join(re.escape(word) for word in as_heard(rest).split()[:3])
            self._say_control("go_on", sentence(rest), rf"\b{start}")
        else:
            self._any_question()

    def _control(self) -> None:
        spoken = next(turn for turn in reversed(self.turns) if turn.role == "assistant")
        name = self.rng.choices(("repeat", "slower", "stop", "never_mind", "wait"), (4, 3, 1, 1, 1))[0]
        if name not in ("repeat", "slower"):
            self._say_control(name)
        elif len(spoken.text.split()) > 20:
            self._say_control("stop")
        else:
            manner = "slow" if name == "slower" else spoken.manner
            self._say_control(name, spoken.text, spoken.accepted_pattern, manner)

    def _follow(self, kind: Kind, before: Row) -> None:
        rows = [row for row in kind.rows if row != before]
        template = self._paraphrase(kind, follow=True)
        if template is not None and rows:
            row = self.rng.choice(rows)
            self._question_and_answer(fill(template, row), kind, row)

    def _memory(self) -> None:
        memory = self.rng.choice(MEMORIES)
        if memory.name in self.known or self.rng.random() < 0.15:
            row = self.known.get(memory.name)
            self._ask(memory.recall if row else memory.unknown, row or {})
            return
        row = self.rng.choice(memory.tell.rows)
        before = len(self.turns)
        self._ask(memory.tell, row)
        if len(self.turns) > before:
            self.known[memory.name] = row

    def _unfinished(self) -> None:
        tells = self.rng.random() < 0.12
        kind = self.rng.choice(MEMORIES).tell if tells else self.rng.choices(*_weighted())[0]
        template = self._paraphrase(kind)
        if template is None or (kind.plain and not tells):
            return
        words = self._dressed(kind, template, self.rng.choice(kind.rows)).split()
        open_ends = _open_ends(words)
        if not open_ends:
            return
        text = " ".join(words[: self.rng.choice(open_ends)])
        if self.rng.random() < 0.3:
            text += self.rng.choice((", um", ", uh"))
        self.turns.append(Turn("user", "speech", sentence(text).rstrip(".?"), False, kind.name))


def make_talks(n: int, seed: int, split: str) -> list[Talk]:
    """Return `n` talks whose user turns use only the paraphrases of `split`.

    Raises:
        ValueError: an unknown split.
    """
    rng = _generator(f"{split}-{seed}", split)
    return [Talk(f"{split}-{seed}-{i:06d}", split, tuple(TalkWriter(split, rng).write())) for i in range(n)]


def make_questions(n: int, seed: int, split: str, style: str = "") -> list[Talk]:
    """Return `n` talks of one question and its answer, cycling through the kinds.

    With the name of a style, its system prompt comes first.

    Raises:
        ValueError: an unknown split.
    """
    chosen = next(each for each in STYLES if each.name == style) if style else _PLAIN
    rng = _generator(f"questions-{split}-{seed}", split)
    kinds = [kind for kind in all_kinds() if kind.paraphrases(split)]
    talks: list[Talk] = []
    while len(talks) < n:
        rng.shuffle(kinds)
        for kind in kinds[: n - len(talks)]:
            turns = TalkWriter(split, rng, chosen).single(kind)
            talks.append(Talk(f"question-{split}-{seed}-{len(talks):06d}", split, tuple(turns)))
    return talks


def make_pairs(n: int, seed: int, split: str) -> list[Talk]:
    """Return at most `n` talks of two questions in one turn, both answered in one short reply.

    Raises:
        ValueError: an unknown split.
    """
    asked = make_questions(2 * n, seed, split)
    talks = []
    for number, (first, second) in enumerate(zip(asked[::2], asked[1::2], strict=True)):
        turns = tuple(
            replace(turn, text=f"{turn.text} {other.text}", kind="pair", accepted_pattern="")
            for turn, other in zip(first.turns, second.turns, strict=True)
        )
        if len(turns[1].text.split()) <= MOST_WORDS:
            talks.append(Talk(f"pair-{split}-{seed}-{number:06d}", split, turns))
    return talks


def asked_again(talk: Talk, rng: random.Random) -> Talk:
    """Return `talk` with a request to repeat one of its short answers, perhaps slower, and the answer.

    The request may also come before anything was said, so that there is nothing to repeat.
    """
    places = [
        index
        for index, turn in enumerate(talk.turns, 1)
        if turn.role == "assistant"
        and turn.cut_at_word is None
        and len(turn.text.split()) <= MOST_WORDS
        and all(after.finished and not after.goes_on for after in talk.turns[index : index + 1])
    ]
    kind = rng.choice(("repeat", "slower"))
    requests = CONTROL[kind].paraphrases(talk.split)
    if not places or not requests:
        return talk
    first = next(index for index, turn in enumerate(talk.turns) if turn.role == "user")
    at = rng.choice([*places, first] if kind == "repeat" else places)
    request = Turn("user", talk.turns[first].modality, sentence(rng.choice(requests)), kind=kind)
    if at == first:
        answer = Turn("assistant", "speech", rng.choice(WORDS["nothing_said"]), kind=kind)
    else:
        answer = talk.turns[at - 1] if kind == "repeat" else replace(talk.turns[at - 1], manner="slow")
    return replace(talk, turns=(*talk.turns[:at], request, answer, *talk.turns[at:]))


def _generator(seed: str, split: str) -> random.Random:
    if split not in SPLITS:
        raise ValueError(f"split {split!r} is unknown; use one of {', '.join(SPLITS)}")
    return random.Random(seed)
