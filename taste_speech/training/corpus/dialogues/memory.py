"""What the user tells about themselves, and questions that recall it later in the same talk."""

from dataclasses import dataclass

from taste_speech.training.corpus import lexicon
from taste_speech.training.corpus.dialogues.kinds import Kind, make_kind


@dataclass(frozen=True)
class Memory:
    """A thing to remember: how it is told, how it is asked for, and what to say when it was never told."""

    name: str
    tell: Kind
    recall: Kind
    unknown: Kind


def _memory(name: str, values: str, tell: list[str], told: str, ask: list[str], recalled: str) -> Memory:
    rows = [{"value": value.strip()} for value in values.split(",")]
    noun = name.replace("_", " ")
    return Memory(
        name,
        make_kind(f"tell_{name}", "memory", tell, told, rows=rows, accept="{value}", plain=True),
        make_kind(f"recall_{name}", "memory", ask, recalled, rows=rows, accept="{value}", split_name=name),
        make_kind(
            f"unknown_{name}",
            "memory",
            ask,
            f"You have not told me your {noun} yet.",
            accept="not told me",
            split_name=name,
        ),
    )


MEMORIES = (
    _memory(
        "name",
        ", ".join(lexicon.NAMES),
        [
            "my name is {value}",
            "(I am|I'm) {value}",
            "(you can|please|just) call me {value}",
            "hello, my name is {value}",
            "hi, I am {value}",
            "people call me {value}",
        ],
        "Nice to meet you, {value}.",
        [
            "(what is|what's|tell me|do you remember|do you know) my name",
            "who am I",
            "(do you remember|do you know) who I am",
            "what am I called",
            "say my name",
        ],
        "Your name is {value}.",
    ),
    _memory(
        "home",
        "London, Paris, Berlin, Rome, Madrid, Vienna, Boston, Chicago, Dublin, Oslo, Sydney, Tokyo, Toronto, "
        "Athens, Lisbon",
        [
            "I live in {value}",
            "I am from {value}",
            "my home is in {value}",
            "I come from {value}",
            "I am living in {value}",
            "my house is in {value}",
        ],
        "{value} is a nice place to live.",
        [
            "where do I (live|come from)",
            "where is my (home|house)",
            "(do you remember|do you know) where I live",
            "which city do I live in",
            "where am I from",
        ],
        "You live in {value}.",
    ),
    _memory(
        "favourite_colour",
        "red, blue, green, yellow, purple, orange, pink, black, white, brown",
        [
            "my favourite colour is {value}",
            "I (like|love) the colour {value}",
            "{value} is my favourite colour",
            "the colour I like (best|most) is {value}",
        ],
        "{value} is a lovely colour.",
        [
            "(what is|what's|tell me) my favourite colour",
            "which colour do I like (|best|most)",
            "(do you remember|do you know) my favourite colour",
        ],
        "Your favourite colour is {value}.",
    ),
    _memory(
        "favourite_food",
        "pizza, pasta, soup, rice, bread, cheese, salad, fish, chicken, chocolate, cake, curry",
        [
            "my favourite food is {value}",
            "I (like|love) to eat {value}",
            "{value} is my favourite food",
            "the food I like (best|most) is {value}",
        ],
        "{value} sounds delicious.",
        [
            "(what is|what's|tell me) my favourite food",
            "which food do I like (|best|most)",
            "what do I like to eat",
            "(do you remember|do you know) my favourite food",
        ],
        "Your favourite food is {value}.",
    ),
    _memory(
        "pet",
        "dog, cat, rabbit, hamster, parrot, horse, turtle, fish, mouse, bird",
        [
            "I have a {value}",
            "my pet is a {value}",
            "I got a {value}",
            "there is a {value} at my home",
            "I own a {value}",
            "we have a {value} at home",
        ],
        "How nice, a {value} is a good friend.",
        [
            "what pet do I have",
            "which (pet|animal) do I have",
            "(what is|what's|tell me) my pet",
            "(do you remember|do you know) my pet",
            "what kind of pet do I have",
        ],
        "You have a {value}.",
    ),
    _memory(
        "age",
        "seven, eight, nine, ten, eleven, twelve, fifteen, twenty, thirty, forty, fifty, sixty, seventy",
        [
            "I am {value} years old",
            "I'm {value} years old",
            "my age is {value}",
            "I just turned {value}",
            "I turned {value}",
        ],
        "{value} is a good age.",
        [
            "how old am I",
            "(what is|what's|tell me) my age",
            "(do you remember|do you know) (my age|how old I am)",
        ],
        "You are {value} years old.",
    ),
    _memory(
        "job",
        "teacher, doctor, nurse, farmer, baker, painter, writer, cook, driver, builder, student, singer",
        [
            "I work as a {value}",
            "my job is {value}",
            "I am a {value}",
            "I'm a {value}",
            "I earn my money as a {value}",
        ],
        "It must be interesting to be a {value}.",
        [
            "what (is|was) my job",
            "what do I do for a living",
            "what do I work as",
            "(do you remember|do you know) my job",
            "tell me my job",
        ],
        "You are a {value}.",
    ),
    _memory(
        "hobby",
        "swimming, reading, singing, dancing, painting, cooking, running, fishing, chess, football, tennis, "
        "gardening",
        [
            "my hobby is {value}",
            "I (like|love|enjoy) {value}",
            "in my free time I like {value}",
            "{value} is my hobby",
        ],
        "{value} is a great hobby.",
        [
            "(what is|what's|tell me) my hobby",
            "what do I (like|enjoy) (|to do) in my free time",
            "(do you remember|do you know) my hobby",
        ],
        "Your hobby is {value}.",
    ),
    _memory(
        "sister",
        ", ".join(lexicon.NAMES[:24]),
        [
            "my sister is called {value}",
            "my sister's name is {value}",
            "I have a sister called {value}",
            "the name of my sister is {value}",
            "my sister is {value}",
        ],
        "{value} is a pretty name.",
        [
            "(what is|what's|tell me) my sister's name",
            "what is my sister called",
            "(do you remember|do you know) my sister's name",
            "who is my sister",
        ],
        "Your sister is called {value}.",
    ),
)
