"""Kinds about days and months, letters and spelling."""

import itertools

from taste_speech.training.corpus.dialogues.kinds import Kind, make_kind
from taste_speech.training.corpus.dialogues.numerals import DAYS, MONTH_DAYS, MONTHS, ORDINALS, number_words
from taste_speech.training.corpus.lexicon import listed

SPELLED = listed("""
cat dog house tree apple water school friend bread happy green table orange summer mother horse banana
window garden music yellow rabbit flower pencil bridge cheese doctor family hello island king lemon moon
night ocean paper queen river sugar tiger uncle winter zebra
""")
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def calendar_kinds() -> list[Kind]:
    """Return the order of days and months."""
    days = [{"day": d, "next": DAYS[(i + 1) % 7], "last": DAYS[i - 1]} for i, d in enumerate(DAYS)]
    months = [
        {
            "month": m,
            "next": MONTHS[(i + 1) % 12],
            "last": MONTHS[i - 1],
            "rank": rank,
            "days": number_words(n),
        }
        for i, (m, rank, n) in enumerate(zip(MONTHS, ORDINALS, MONTH_DAYS, strict=False))
    ]
    day_ranks = [{"day": d, "rank": r} for d, r in zip(DAYS, ORDINALS, strict=False)]
    return [
        make_kind(
            "day_after",
            "calendar",
            [
                "(what|which) day (comes|is) after {day}",
                "(what|which day) follows {day}",
                "if today is {day}, what is tomorrow",
            ],
            "After {day} comes {next}.",
            rows=days,
            accept="comes {next}|^{next}$",
            brief="{next}.",
            weight=3,
            follow=["and after {day}"],
        ),
        make_kind(
            "day_before",
            "calendar",
            [
                "(what|which) day (comes|is) before {day}",
                "if today is {day}, what was yesterday",
                "tell me the day before {day}",
            ],
            "Before {day} comes {last}.",
            rows=days,
            accept="comes {last}|^{last}$",
            brief="{last}.",
            weight=3,
            follow=["and before {day}"],
        ),
        make_kind(
            "day_rank",
            "calendar",
            [
                "(what|which) is the {rank} day of the week",
                "(name|tell me) the {rank} day of the week",
                "what day is {rank} in the week",
            ],
            "The {rank} day of the week is {day}.",
            rows=day_ranks,
            brief="{day}.",
            follow=["and the {rank} (|day)"],
        ),
        make_kind(
            "month_after",
            "calendar",
            [
                "(what|which) month (comes|is) after {month}",
                "(what|which month) follows {month}",
                "tell me the month after {month}",
            ],
            "After {month} comes {next}.",
            rows=months,
            accept="comes {next}|^{next}$",
            brief="{next}.",
            weight=3,
            follow=["and after {month}"],
        ),
        make_kind(
            "month_before",
            "calendar",
            [
                "(what|which) month (comes|is) before {month}",
                "what month precedes {month}",
                "tell me the month before {month}",
            ],
            "Before {month} comes {last}.",
            rows=months,
            accept="comes {last}|^{last}$",
            brief="{last}.",
            weight=3,
            follow=["and before {month}"],
        ),
        make_kind(
            "month_rank",
            "calendar",
            [
                "(what|which) is the {rank} month (|of the year)",
                "(name|tell me) the {rank} month",
                "which month comes {rank}",
            ],
            "The {rank} month is {month}.",
            rows=months,
            accept="{month}",
            brief="{month}.",
            weight=2,
            follow=["and the {rank} (|month)"],
        ),
        make_kind(
            "month_days",
            "calendar",
            [
                "how many days (does {month} have|has {month}|are in {month}|are there in {month})",
                "(tell me|do you know) the number of days in {month}",
            ],
            "{month} has {days} days.",
            rows=months,
            accept="{days} days|^{days}$",
            brief="{days}.",
            weight=3,
            follow=["and (in|) {month}", "(what|how) about {month}"],
        ),
        make_kind(
            "name_days",
            "calendar",
            ["(name|list|tell me|say|what are) the days (|of the week)", "what are the seven days"],
            ", ".join(DAYS),
            accept="monday tuesday wednesday",
            weight=2,
        ),
        make_kind(
            "name_months",
            "calendar",
            ["(name|list|tell me|say|what are) the (|twelve) months (|of the year)"],
            ", ".join(MONTHS),
            accept="january february march",
            weight=2,
        ),
    ]


def letter_kinds() -> list[Kind]:
    """Return spelling and the alphabet."""
    spelled = [
        {"word": w, "letters": ", ".join(w), "count": number_words(len(w)), "first": w[0], "final": w[-1]}
        for w in SPELLED
    ]
    steps = [{"letter": a, "next": b} for a, b in itertools.pairwise(LETTERS)]
    return [
        make_kind(
            "spell",
            "letters",
            [
                "(spell|please spell|can you spell|could you spell|how do you spell|how is) {word} (|for me)",
                "what is the spelling of {word}",
                "tell me how to spell {word}",
            ],
            "{letters}.",
            rows=spelled,
            accept="{letters}",
            weight=5,
            follow=["and {word}", "now {word}", "(what|how) about {word}"],
        ),
        make_kind(
            "letter_count",
            "letters",
            [
                "how many letters (does {word} have|has {word}|are in {word}|are there in {word})",
                "(tell me|do you know) the number of letters in {word}",
            ],
            "{word} has {count} letters.",
            rows=spelled,
            accept="{count}",
            brief="{count}.",
            weight=2,
            follow=["and {word}", "(what|how) about {word}"],
        ),
        make_kind(
            "first_letter",
            "letters",
            [
                "(what is|tell me) the first letter of {word}",
                "(which|what) letter does {word} (start|begin) with",
                "how does {word} (start|begin)",
            ],
            "{word} starts with {first}.",
            rows=spelled,
            accept="with {first}",
            weight=2,
            follow=["and {word}", "(what|how) about {word}"],
        ),
        make_kind(
            "last_letter",
            "letters",
            [
                "(what is|tell me) the last letter of {word}",
                "(which|what) letter does {word} end with",
                "how does {word} end",
            ],
            "{word} ends with {final}.",
            rows=spelled,
            accept="with {final}",
            weight=2,
            follow=["and {word}", "(what|how) about {word}"],
        ),
        make_kind(
            "letter_after",
            "letters",
            [
                "(what|which letter) (comes|is) after {letter}",
                "tell me the letter after {letter}",
                "what follows {letter} in the alphabet",
            ],
            "After {letter} comes {next}.",
            accept="comes {next}$",
            rows=steps,
            follow=["and after {letter}"],
        ),
        make_kind(
            "alphabet",
            "letters",
            [
                "(say|tell me|recite|do you know|what is) the alphabet",
                "(say|name) (all|all the) letters",
                "what are the letters of the alphabet",
            ],
            ", ".join(LETTERS),
            accept="a b c d e f g",
            weight=2,
        ),
        make_kind(
            "alphabet_size",
            "letters",
            [
                "how many letters (are there|has the alphabet|are in the alphabet|does English have)",
                "tell me the number of letters in the alphabet",
            ],
            "The alphabet has twenty six letters.",
            accept="twenty six",
        ),
    ]
