"""What a recogniser may make of a spoken turn, so that the spoken LM gets used to it."""

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from taste_speech.training.corpus.lexicon import listed
from taste_speech.training.heard import Confusions

FILLERS = ("uh", "um", "the", "a", "so")
FEWEST_WORDS = 3
"""Of shorter turns every word may be the one that matters."""
# Words that a recogniser may get wrong without changing what is asked.
UNIMPORTANT = frozenset(
    listed(
        """a an the is are do does can could would will you i me my to of in for please tell know what's it's
        and that this hey hello so well now okay"""
    )
)
Phones = tuple[str, ...]


class Mishearing:
    """Changes some words of a turn, but for what a recogniser really confuses never what is asked.

    Phrases become what a recogniser made of them elsewhere. Unimportant words get lost or become fillers. Of
    longer turns one word may become another that sounds nearly alike, unless the two are rivals: words that
    stand in the same place of some sentence ("capital of Iran", "capital of Iraq") ask for different answers.

    Args:
        small: probability of a change of each unimportant word.
        sound_alike: probability that a word of a turn becomes another that sounds alike.
        alike: such words of each word, as `sound_alikes` finds them.
        confusions: what a recogniser was seen to do; None: nothing.
    """

    def __init__(
        self,
        small: float = 0.0,
        sound_alike: float = 0.0,
        alike: Mapping[str, Sequence[str]] | None = None,
        confusions: Confusions | None = None,
    ) -> None:
        self.small, self.sound_alike, self.alike = small, sound_alike, alike or {}
        self.confusions = confusions

    def __call__(self, words: Sequence[str], rng: random.Random) -> list[str]:
        """Words as they might be recognised; never none of them."""
        heard: list[str] = []
        if self.confusions is not None:
            words = self.confusions(words, rng) or words
        for word in self._one_replaced(words, rng):
            draw = rng.random()
            if word not in UNIMPORTANT or draw >= self.small:
                heard.append(word)
            elif draw < self.small / 2:
                heard.append(rng.choice(FILLERS))
        return heard or list(words)

    def _one_replaced(self, words: Sequence[str], rng: random.Random) -> list[str]:
        replaced = list(words)
        places = [i for i, word in enumerate(words) if self.alike.get(word)]
        if len(words) >= FEWEST_WORDS and places and rng.random() < self.sound_alike:
            place = rng.choice(places)
            replaced[place] = rng.choice(self.alike[words[place]])
        return replaced


def sound_alikes(phones: Mapping[str, Phones], rivals: Mapping[str, set[str]]) -> dict[str, list[str]]:
    """Words one phone apart from each other that are no rivals.

    Args:
        phones: of each word.
        rivals: of each word, see `rival_words`.
    """
    by_pattern: dict[Phones, set[str]] = defaultdict(set)
    for word, sounds in phones.items():
        for pattern in _patterns(sounds):
            by_pattern[pattern].add(word)
    result = {}
    for word, sounds in phones.items():
        near = set().union(*(by_pattern[pattern] for pattern in _patterns(sounds)))
        if kept := near - {word} - rivals.get(word, set()):
            result[word] = sorted(kept)
    return result


def _patterns(sounds: Phones) -> Iterator[Phones]:
    """Of two words that differ by one phone more, less or another, some of these are the same."""
    yield sounds
    if len(sounds) < 2:
        return
    for i in range(len(sounds)):
        yield (*sounds[:i], "*", *sounds[i + 1 :])
        yield (*sounds[:i], *sounds[i + 1 :])


def rival_words(sentences: Iterable[Sequence[str]]) -> dict[str, set[str]]:
    """For each word the others that stand in the same place of some sentence (a sentence with a gap)."""
    at_place: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for words in sentences:
        for i, word in enumerate(words):
            at_place[(*words[:i], "", *words[i + 1 :])].add(word)
    rivals: dict[str, set[str]] = defaultdict(set)
    for words_there in at_place.values():
        for word in words_there:
            rivals[word] |= words_there - {word}
    return rivals
