"""Building blocks of the rules in this package: tables, rewriting rules and number words."""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from num2words import num2words

Rewrite = Callable[[re.Match[str]], str]
Rule = tuple[re.Pattern[str], Rewrite | str]

# The C loader is ten times as fast, but not every build of PyYAML has it.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
TABLES: dict[str, Any] = yaml.load(
    (Path(__file__).parent / "tables.yaml").read_text(encoding="utf-8"), Loader=_Loader
)
NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d*\.\d+|\d+)"
"""Pattern of a number: "1,234.5", "12", ".5"."""
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_MAX_DIGITS = 15
"""Maximum number of digits of a number that is not read digit by digit."""


def rules(*rows: tuple[str, Rewrite | str]) -> list[Rule]:
    """Compile rules, each a pattern and the rewriting of its matches."""
    return [(re.compile(pattern), rewrite) for pattern, rewrite in rows]


def apply(rules: Iterable[Rule], text: str) -> str:
    """Apply all rules to `text`, in order."""
    for pattern, rewrite in rules:
        text = pattern.sub(rewrite, text)
    return text


def one_of(words: Iterable[str]) -> str:
    """Return a pattern that matches any of these texts, the longest first."""
    return "(?:" + "|".join(map(re.escape, sorted(words, key=len, reverse=True))) + ")"


def looked_up(table: Mapping[str, str]) -> Rewrite:
    """Return a rewriting that looks up the match in `table`."""
    return lambda found: table[found[0]]


def cardinal(number: int) -> str:
    """Return the words of a number: 1234 -> "one thousand two hundred thirty-four"."""
    return _american(num2words(number))


def ordinal(number: int) -> str:
    """Return the words of an ordinal number: 21 -> "twenty-first"."""
    return _american(num2words(number, to="ordinal"))


def year(number: int) -> str:
    """Return the words of a year: 1805 -> "eighteen oh five", 2005 -> "two thousand five"."""
    return _american(num2words(number, to="year")).replace("oh-", "oh ")


def digits(text: str) -> str:
    """Read a text digit by digit, without other characters: "902-10" -> "nine zero two one zero"."""
    return " ".join(_DIGITS[int(digit)] for digit in text if digit.isdigit())


def number(text: str) -> str:
    """Return the words of a number with commas and decimals; leading zeros are read digit by digit."""
    whole, _, decimals = text.replace(",", "").partition(".")
    coded = len(whole) > _MAX_DIGITS or (len(whole) > 1 and whole.startswith("0"))
    words = [digits(whole) if coded else cardinal(int(whole))] if whole else []
    return " ".join([*words, "point", digits(decimals)] if decimals else words)


def fraction(above: int, below: int) -> str:
    """Return the words of a fraction: (3, 4) -> "three quarters"."""
    part = {2: "half", 4: "quarter"}.get(below) or ordinal(below)
    return f"{cardinal(above)} {part if above == 1 else plural(part)}"


def plural(word: str) -> str:
    """Return the plural of a number word: "ninety" -> "nineties"."""
    if word.endswith("half"):
        return word.removesuffix("f") + "ves"
    if word.endswith("y"):
        return word.removesuffix("y") + "ies"
    return word + ("es" if word.endswith("x") else "s")


def _american(words: str) -> str:
    return words.replace(",", "").replace(" and ", " ")
