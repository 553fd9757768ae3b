"""General English sentences for phonetic coverage: templates filled from an everyday lexicon, by seed."""

import random
from collections.abc import Callable

from taste_speech.training.corpus import lexicon as words
from taste_speech.training.corpus.lexicon import listed

VOWELS = "aeiou"
SILENT_H = ("hour", "honest")
CONSONANT_SOUND = ("university", "useful", "useless", "uni", "european")
MASS = frozenset(
    listed("""
bread butter cheese milk cream yoghurt bacon ham beef pork soup salad rice pasta garlic lettuce spinach
broccoli corn honey sugar salt mustard vinegar jam marmalade chocolate tea coffee juice water lemonade cocoa
peace freedom justice courage patience kindness curiosity knowledge wisdom trouble advice weather laundry
scissors
""")
)
IRREGULAR_PLURALS = {
    "mouse": "mice", "sheep": "sheep", "goose": "geese", "wolf": "wolves", "deer": "deer", "moose": "moose",
    "salmon": "salmon", "shelf": "shelves", "knife": "knives", "thief": "thieves", "scarf": "scarves",
    "potato": "potatoes", "tomato": "tomatoes", "volcano": "volcanoes", "buffalo": "buffalo",
    "mango": "mangoes",
}  # fmt: skip
DOUBLING = frozenset(
    listed("begin drop grab run swim sit win forget stop skip slip trip hug jog spin wrap unwrap nod")
)


def article(word: str) -> str:
    """Return "a" or "an" as `word` wants."""
    if word.startswith(SILENT_H):
        return "an"
    if word.startswith(CONSONANT_SOUND):
        return "a"
    return "an" if word[0].lower() in VOWELS else "a"


def plural(noun: str) -> str:
    """Return the plural of a noun of the lexicon."""
    if noun in IRREGULAR_PLURALS:
        return IRREGULAR_PLURALS[noun]
    if noun.endswith("y") and noun[-2] not in VOWELS:
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh", "z")) else "s")


def third_person(verb: str) -> str:
    """Return the third person singular, present tense."""
    return plural(verb) if verb != "go" else "goes"


def past_tense(entry: str) -> str:
    """Return the past tense of a lexicon entry ("base" or "base:past")."""
    verb, _, irregular = entry.partition(":")
    if irregular:
        return irregular
    if verb.endswith("e"):
        return verb + "d"
    if verb.endswith("y") and verb[-2] not in VOWELS:
        return verb[:-1] + "ied"
    return verb + (verb[-1] if verb in DOUBLING else "") + "ed"


def progressive(entry: str) -> str:
    """Return the -ing form of a lexicon entry."""
    verb = entry.partition(":")[0]
    if verb.endswith("e") and not verb.endswith("ee"):
        return verb[:-1] + "ing"
    return verb + (verb[-1] if verb in DOUBLING else "") + "ing"


class Phrases:
    """Random phrases from the lexicon; all draws come from one generator."""

    def __init__(self, rng: random.Random):
        self.rng = rng

    def pick(self, options: list[str]) -> str:
        """Return one option."""
        return self.rng.choice(options)

    def noun(self) -> str:
        """Return a countable noun for a thing, an animal or a food."""
        group = self.rng.choice([words.THINGS, words.THINGS, words.ANIMALS, words.FOODS, words.ABSTRACT])
        noun = self.pick(group)
        return noun if noun not in MASS else self.noun()

    def adjective(self) -> str:
        """Return an adjective or a colour."""
        return self.pick(words.ADJECTIVES if self.rng.random() < 0.85 else words.COLOURS)

    def number(self) -> str:
        """Return a number between two and ninety-nine, as words."""
        if self.rng.random() < 0.7:
            return self.pick(words.NUMBERS)
        return f"{self.pick(words.NUMBERS[-8:])} {self.pick(words.NUMBERS[:8])}"

    def object(self) -> str:
        """Return a noun phrase that can be an object."""
        noun, adjective = self.noun(), self.adjective()
        kind = self.rng.randrange(8)
        if kind == 0:
            return f"the {noun}"
        if kind == 1:
            return f"{article(adjective)} {adjective} {noun}"
        if kind == 2:
            return f"{self.number()} {plural(noun)}"
        if kind == 3:
            return (
                f"some {self.pick(words.FOODS)}"
                if self.rng.random() < 0.5
                else f"some {adjective} {plural(noun)}"
            )
        if kind == 4:
            return f"{self.pick(['my', 'your', 'his', 'her', 'our', 'their'])} {adjective} {noun}"
        if kind == 5:
            return f"the {adjective} {noun}"
        if kind == 6:
            return f"{self.pick(['this', 'that', 'every', 'another'])} {noun}"
        return f"{article(noun)} {noun}"

    def subject(self) -> str:
        """Return a third-person singular subject."""
        person, adjective = self.pick(words.PEOPLE), self.adjective()
        kind = self.rng.randrange(7)
        if kind == 0:
            return self.pick(words.NAMES)
        if kind == 1:
            return f"the {adjective} {self.pick(words.ANIMALS)}"
        if kind == 2:
            return f"{self.pick(['my', 'your', 'our', 'their'])} {person}"
        if kind == 3:
            return f"{article(adjective)} {adjective} {person}"
        if kind == 4:
            return self.pick(["he", "she", "somebody", "everybody", "nobody"])
        return f"the {person}"

    def place(self) -> str:
        """Return a prepositional phrase of place."""
        return f"{self.pick(words.PREPOSITIONS)} the {self.pick(words.PLACES)}"

    def when(self) -> str:
        """Return a phrase of time."""
        kind = self.rng.randrange(4)
        if kind == 0:
            return f"on {self.pick(words.DAYS)}"
        if kind == 1:
            return f"in {self.pick(words.MONTHS)}"
        return self.pick(words.TIMES)

    def base(self, verbs: list[str]) -> str:
        """Return the base form of a random verb."""
        return self.pick(verbs).partition(":")[0]

    def did(self) -> str:
        """Return a verb phrase in the past tense."""
        if self.rng.random() < 0.6:
            return f"{past_tense(self.pick(words.TRANSITIVE))} {self.object()}"
        return f"{past_tense(self.pick(words.INTRANSITIVE))} {self.pick(words.ADVERBS)}"

    def do(self) -> str:
        """Return a verb phrase in the base form."""
        if self.rng.random() < 0.7:
            return f"{self.base(words.TRANSITIVE)} {self.object()}"
        return f"{self.base(words.INTRANSITIVE)} {self.place()}"


Template = Callable[[Phrases], str]
TEMPLATES: tuple[Template, ...] = (
    lambda p: f"{p.subject()} {p.did()} {p.when()}.",
    lambda p: f"{p.subject()} {p.did()} {p.place()}.",
    lambda p: f"{p.subject()} {p.did()}, and {p.subject()} {p.did()}.",
    lambda p: (
        f"{p.subject()} {past_tense(p.pick(words.INTRANSITIVE))} because the {p.noun()} was {p.adjective()}."
    ),
    lambda p: f"did {p.subject()} {p.do()}?",
    lambda p: f"why did {p.subject()} {p.do()}?",
    lambda p: f"can {p.pick(['you', 'we', 'they', 'I'])} {p.do()} {p.when()}?",
    lambda p: f"when will {p.subject()} {p.do()}?",
    lambda p: f"where is the {p.adjective()} {p.noun()} {p.place()}?",
    lambda p: f"how many {plural(p.noun())} are {p.place()}?",
    lambda p: f"which {p.noun()} is more {p.pick(words.ADJECTIVES[100:])}, the {p.adjective()} one?",
    lambda p: f"there are {p.number()} {plural(p.noun())} {p.place()}.",
    lambda p: f"{p.subject()} is {progressive(p.pick(words.TRANSITIVE))} {p.object()}.",
    lambda p: f"{p.subject()} was {progressive(p.pick(words.INTRANSITIVE))} {p.place()}.",
    lambda p: f"please {p.do()}, but do not {p.do()}.",
    lambda p: f"{p.when()}, {p.subject()} {p.did()}.",
    lambda p: f"if you {p.do()}, {p.subject()} will {p.do()}.",
    lambda p: f"{p.subject()} never {third_person(p.base(words.TRANSITIVE))} {p.object()}.",
    lambda p: f"I think that {p.subject()} should {p.do()}.",
    lambda p: f"what {article(w)} {w} {p.noun()}!" if (w := p.adjective()) else "",
    lambda p: f"the {p.noun()} {p.place()} looks {p.adjective()} and {p.adjective()}.",
    lambda p: f"{p.pick(words.NAMES)} said that the {p.noun()} {p.place()} was {p.adjective()}.",
    lambda p: f"we would like {p.object()} and {p.object()}, please.",
    lambda p: f"{p.subject()} has {p.number()} {plural(p.noun())} and {p.number()} {plural(p.noun())}.",
    lambda p: f"have you ever seen {p.object()} {p.place()}?",
    lambda p: f"let us {p.do()} before {p.subject()} {p.did()}.",
    lambda p: f"yes, {p.subject()} {p.did()}, but not {p.when()}.",
    lambda p: f"the {p.pick(words.ABSTRACT)} of {p.pick(words.NAMES)} was {p.adjective()}, wasn't it?",
)


def general_sentences(n: int, seed: int) -> list[str]:
    """Return `n` distinct sentences of 4 to 14 words, with capitals and punctuation.

    Errors: `ValueError` if `n` is negative.
    """
    if n < 0:
        raise ValueError(f"{n} sentences were asked for; give a number of at least 0")
    phrases = Phrases(random.Random(seed))
    found: dict[str, None] = {}
    while len(found) < n:
        sentence = phrases.rng.choice(TEMPLATES)(phrases)
        if 4 <= len(sentence.split()) <= 14:
            found[sentence[0].upper() + sentence[1:]] = None
    return list(found)
