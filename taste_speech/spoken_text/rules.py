"""What the modules beside this one are written with: tables, rewriting rules, and number words."""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from num2words import num2words

Rewrite = Callable[[re.Match[str]], str]
Rule = tuple[re.Pattern[str], Rewrite | str]

# The C loader is ten times as fast; not every build of PyYAML has it.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
TABLES: dict[str, Any] = yaml.load(
    (Path(__file__).parent / "tables.yaml").read_text(encoding="utf-8"), Loader=_Loader
)
NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d*\.\d+|\d+)"
"""A number as it is written: "1,234.5", "12", ".5"."""
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_MAX_DIGITS = 15
"""Of a number that is read as one; longer ones are read digit by digit."""


def rules(*rows: tuple[str, Rewrite | str]) -> list[Rule]:
    """Compile the patterns of rules: what a pattern finds is rewritten."""
    return [(re.compile(pattern), rewrite) for pattern, rewrite in rows]


def apply(rules: Iterable[Rule], text: str) -> str:
    """Return `text` after all rules, in order."""
    for pattern, rewrite in rules:
        text = pattern.sub(rewrite, text)
    return text


def one_of(words: Iterable[str]) -> str:
    """Return the pattern of any of these texts, the longest first."""
    return "(?:" + "|".join(map(re.escape, sorted(words, key=len, reverse=True))) + ")"


def looked_up(table: Mapping[str, str]) -> Rewrite:
    """Rewrite a match by looking it up in `table`."""
    return lambda found: table[found[0]]


def cardinal(number: int) -> str:
    """1234 -> "one thousand two hundred thirty-four"."""
    return _american(num2words(number))


def ordinal(number: int) -> str:
    """21 -> "twenty-first"."""
    return _american(num2words(number, to="ordinal"))


def year(number: int) -> str:
    """1805 -> "eighteen oh five"; 2005 -> "two thousand five"."""
    return _american(num2words(number, to="year")).replace("oh-", "oh ")


def digits(text: str) -> str:
    """ "90210" -> "nine zero two one zero"; signs between digits are left out."""
    return " ".join(_DIGITS[int(digit)] for digit in text if digit.isdigit())


def number(text: str) -> str:
    """Read a number with commas and decimals; one with leading zeros digit by digit."""
    whole, _, decimals = text.replace(",", "").partition(".")
    coded = len(whole) > _MAX_DIGITS or (len(whole) > 1 and whole.startswith("0"))
    words = [digits(whole) if coded else cardinal(int(whole))] if whole else []
    return " ".join([*words, "point", digits(decimals)] if decimals else words)


def fraction(above: int, below: int) -> str:
    """(3, 4) -> "three quarters"."""
    part = {2: "half", 4: "quarter"}.get(below) or ordinal(below)
    return f"{cardinal(above)} {part if above == 1 else plural(part)}"


def plural(word: str) -> str:
    """ "ninety" -> "nineties"."""
    if word.endswith("half"):
        return word.removesuffix("f") + "ves"
    if word.endswith("y"):
        return word.removesuffix("y") + "ies"
    return word + ("es" if word.endswith("x") else "s")


def _american(words: str) -> str:
    return words.replace(",", "").replace(" and ", " ")
