"""Words from phone probabilities: a beam search over a tree of pronunciations with an n-gram model.

The acoustic model is trained by connectionist temporal classification (Graves et al., 2006): in each frame a
phone or a blank, and a phone that lasts is said once. The search passes tokens (Young, Russell and Thornton,
1989) through the tree of all pronunciations. The language model is asked where a word ends; before that the
most probable word below a place in the tree stands for it (look-ahead).
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from taste_speech.recognition.base import RecognizedWord

History = tuple[str, ...]
"""The last two words, the later one first."""
LanguageScore = Callable[[str, History], float]
"""Natural logarithm of P(word | history)."""

START, END = "<s>", "</s>"
BLANK = 0
"""Column of the blank in the phone probabilities."""


@dataclass(frozen=True)
class SearchSettings:
    """Weights and beams; the defaults were chosen on the validation split of the training voices."""

    language_weight: float = 0.5
    word_bonus: float = 0.7
    """Added for each word, against the language model's wish for few of them."""
    unfinished_penalty: float = 6.0
    """Cost of an utterance that ends inside a word; that word is left out."""
    beam: float = 14.0
    """Hypotheses whose natural logarithm is worse than the best one's by more than this are given up."""
    max_hypotheses: int = 120
    least_phone: float = -9.0
    """Log-probability below which a phone is not tried."""


@dataclass(frozen=True)
class Transcript:
    """What the search found.

    Attributes:
        words: with times in seconds and confidences.
        fit: mean over the frames of the path's log-probability less that of the most probable phones without
            dictionary and language model; near 0 where the words explain the sound.
    """

    words: tuple[RecognizedWord, ...] = field(default=())
    fit: float = 0.0


class _Place:
    """A node of the pronunciation tree: a phone, the words that end with it, and what may follow."""

    __slots__ = ("children", "lookahead", "phone", "words")

    def __init__(self, phone: int) -> None:
        self.phone = phone
        self.children: dict[int, _Place] = {}
        self.words: list[str] = []
        self.lookahead = -math.inf


@dataclass(frozen=True, eq=False, slots=True)
class _Said:
    """A finished word of a hypothesis, linked to the one before it."""

    text: str
    first_frame: int
    last_frame: int
    acoustic: float
    before: "_Said | None"


@dataclass(eq=False, slots=True)
class _Token:
    """A hypothesis: what was said, where in the tree it stands, and how probable all that is."""

    place: _Place
    history: History
    said: _Said | None
    score: float
    """Language model and look-ahead included."""
    acoustic: float
    """Of the phones and blanks alone."""
    first_frame: int = 0
    """Of the word that is being said."""
    last_frame: int = 0
    """Its last frame so far that is no blank."""
    acoustic_before: float = 0.0
    """`acoustic` when the word began."""
    acoustic_sounded: float = 0.0
    """`acoustic` at `last_frame`."""

    def lasting(self, value: float, sounds_at: int | None = None) -> "_Token":
        """The hypothesis a frame later at the same place, in its phone (at that frame) or in a blank."""
        acoustic = self.acoustic + value
        return _Token(
            self.place,
            self.history,
            self.said,
            self.score + value,
            acoustic,
            self.first_frame,
            self.last_frame if sounds_at is None else sounds_at,
            self.acoustic_before,
            self.acoustic_sounded if sounds_at is None else acoustic,
        )


class _Hypotheses:
    """The best token of each place and history; those that end in a phone apart from those in a blank."""

    def __init__(self) -> None:
        self.in_phone: dict[tuple[History, _Place], _Token] = {}
        self.in_blank: dict[tuple[History, _Place], _Token] = {}

    def tokens(self) -> list[_Token]:
        return [*self.in_phone.values(), *self.in_blank.values()]

    def prune(self, settings: SearchSettings) -> None:
        scores = sorted((token.score for token in self.tokens()), reverse=True)
        least = scores[0] - settings.beam
        if len(scores) > settings.max_hypotheses:
            least = max(least, scores[settings.max_hypotheses])
        self.in_phone = {key: token for key, token in self.in_phone.items() if token.score >= least}
        self.in_blank = {key: token for key, token in self.in_blank.items() if token.score >= least}


def _keep(found: dict[tuple[History, _Place], _Token], token: _Token) -> None:
    key = (token.history, token.place)
    known = found.get(key)
    if known is None or token.score > known.score:
        found[key] = token


class WordSearch:
    """Finds the most probable words for the phone probabilities of an utterance."""

    def __init__(
        self,
        pronunciations: Iterable[tuple[str, list[int]]],
        language_score: LanguageScore,
        settings: SearchSettings | None = None,
    ) -> None:
        """Build the tree.

        Args:
            pronunciations: (word, columns of its phones); a word may have several.
            language_score: natural logarithm of P(word | history), history with the last word first.
            settings: weights and beams.
        """
        self.settings = settings or SearchSettings()
        self._language = lru_cache(maxsize=200_000)(language_score)
        self._root = _Place(BLANK)
        for word, phones in pronunciations:
            self._add(word, phones)
        self._look_ahead(self._root)
        self._root.lookahead = 0.0

    def _add(self, word: str, phones: list[int]) -> None:
        place = self._root
        for phone in phones:
            place = place.children.setdefault(phone, _Place(phone))
        if phones and word not in place.words:
            place.words.append(word)

    def _look_ahead(self, place: _Place) -> float:
        below = [self._language(word, ()) for word in place.words]
        below += [self._look_ahead(child) for child in place.children.values()]
        place.lookahead = max(below, default=-math.inf)
        return place.lookahead

    def __call__(self, log_probs: NDArray[np.float32], seconds_per_frame: float) -> Transcript:
        """Search (frames, phones + 1) natural log-probabilities, column 0 the blank."""
        if not len(log_probs):
            return Transcript()
        now = _Hypotheses()
        _keep(now.in_blank, _Token(self._root, (START,), None, 0.0, 0.0))
        for frame, row in enumerate(log_probs.tolist()):
            now = self._after(now, frame, row)
        best = max(map(self._ended, now.tokens()), key=lambda token: token.score)
        free = log_probs.max(axis=1)
        return Transcript(
            _words(best.said, free, seconds_per_frame), (best.acoustic - float(free.sum())) / len(log_probs)
        )

    def _after(self, now: _Hypotheses, frame: int, row: list[float]) -> _Hypotheses:
        """Every hypothesis goes on by one frame: it lasts, pauses, or goes to a next phone."""
        likely = {
            phone for phone, value in enumerate(row) if value > self.settings.least_phone and phone != BLANK
        }
        after = _Hypotheses()
        for token in now.in_blank.values():
            _keep(after.in_blank, token.lasting(row[BLANK]))
            self._go_on(token, likely, frame, row, after)
        for token in now.in_phone.values():
            phone = token.place.phone
            _keep(after.in_blank, token.lasting(row[BLANK]))
            _keep(after.in_phone, token.lasting(row[phone], frame))
            # A phone follows itself only after a blank.
            self._go_on(token, likely - {phone}, frame, row, after)
        after.prune(self.settings)
        return after

    def _go_on(
        self, token: _Token, likely: set[int], frame: int, row: list[float], after: _Hypotheses
    ) -> None:
        """Go to the next phones of the word, or end it and go to the first ones of another."""
        for start in (token, *self._with_word_said(token, likely)):
            begins = start.place is self._root
            for phone in likely & start.place.children.keys():
                place, acoustic = start.place.children[phone], start.acoustic + row[phone]
                ahead = self.settings.language_weight * (place.lookahead - start.place.lookahead)
                _keep(
                    after.in_phone,
                    _Token(
                        place,
                        start.history,
                        start.said,
                        start.score + row[phone] + ahead,
                        acoustic,
                        frame if begins else start.first_frame,
                        frame,
                        start.acoustic if begins else start.acoustic_before,
                        acoustic,
                    ),
                )

    def _with_word_said(self, token: _Token, likely: set[int]) -> list[_Token]:
        if not token.place.words or likely.isdisjoint(self._root.children):
            return []
        return [self._say(token, word) for word in token.place.words]

    def _say(self, token: _Token, word: str) -> _Token:
        """The token at the root, with a word that ends at its place said."""
        settings = self.settings
        language = self._language(word, token.history) - token.place.lookahead
        sound = token.acoustic_sounded - token.acoustic_before
        return replace(
            token,
            place=self._root,
            history=(word, *token.history[:1]),
            said=_Said(word, token.first_frame, token.last_frame, sound, token.said),
            score=token.score + settings.language_weight * language + settings.word_bonus,
        )

    def _ended(self, token: _Token) -> _Token:
        """The best way to end an utterance here: after a word, or inside one, which is then left out."""
        weight, place = self.settings.language_weight, token.place
        ways = [self._say(token, word) for word in place.words]
        if place is self._root:
            ways.append(token)
        else:
            lost = weight * place.lookahead + self.settings.unfinished_penalty
            ways.append(replace(token, place=self._root, score=token.score - lost))
        for way in ways:
            way.score += weight * self._language(END, way.history)
        return max(ways, key=lambda way: way.score)


def _words(
    last: _Said | None, free: NDArray[np.float32], seconds_per_frame: float
) -> tuple[RecognizedWord, ...]:
    """The linked words in order; a confidence is the mean probability against the most probable phones."""
    words: list[RecognizedWord] = []
    while last is not None:
        frames = last.last_frame + 1 - last.first_frame
        most = float(free[last.first_frame : last.last_frame + 1].sum())
        words.append(
            RecognizedWord(
                last.text,
                last.first_frame * seconds_per_frame,
                (last.last_frame + 1) * seconds_per_frame,
                min(1.0, math.exp((last.acoustic - most) / frames)),
            )
        )
        last = last.before
    return tuple(reversed(words))
