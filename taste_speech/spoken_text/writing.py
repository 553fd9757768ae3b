"""Addresses, abbreviations, capital letters, Roman numerals, and letters mixed with digits."""

import re
from collections import Counter
from itertools import pairwise

from taste_speech.spoken_text.rules import (
    NUMBER,
    TABLES,
    cardinal,
    digits,
    looked_up,
    number,
    one_of,
    ordinal,
    rules,
    year,
)

_SAID = TABLES["in_addresses"]
_DOMAINS, _SPELLED_FILES = TABLES["domains"].split(), TABLES["spelled_files"].split()
_FILES = [*_SPELLED_FILES, *TABLES["word_files"].split()]
_SPELLED_PARTS = {*TABLES["spelled_in_addresses"].split(), *_SPELLED_FILES}
_LONG_ROW, _REGULAR_SHARE = 6, 0.7
"""A long row of numbers joined by dashes counts something if this share of its steps is equal."""
_PART = r"[A-Za-z0-9_~%-]"
_PATH = rf"(?:/{_PART}*(?:\.{_PART}+)*)*(?:\?[\w=&%+-]+)?(?:#[\w-]+)?"
_STREETS, _ABBREVIATIONS, _SHORT = TABLES["streets"], TABLES["abbreviations"], TABLES["short_forms"]
_STATES, _BEFORE_NUMBERS = TABLES["states"], TABLES["before_numbers"]
_MONARCHS, _NUMBERED = (one_of(TABLES[name].split()) for name in ("monarchs", "numbered"))
_ACRONYMS, _SPELLED, _EMPHASIZED = (
    frozenset(TABLES[name].split()) for name in ("acronyms", "spelled", "emphasized")
)
_VOWELS = set("AEIOUY")
_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
_CANONICAL = re.compile(r"M{0,3}(CM|CD|D?C{0,3})(XC|XL|L?X{0,3})(IX|IV|V?I{0,3})")


def _spell(found: re.Match[str]) -> str:
    address = re.sub(r"^https?://", "", found[0]).rstrip("/")
    return " ".join(_part(part) for part in re.findall(r"[A-Za-z]+|\d+|.", address))


def _part(part: str) -> str:
    if part.isdigit():
        return digits(part) if len(part) > 2 else part
    if len(part) == 1 and part.isalpha():
        return part.upper()
    return " ".join(part.upper()) if part.lower() in _SPELLED_PARTS else _SAID.get(part, part)


def _phone(found: re.Match[str]) -> str:
    groups = re.findall(r"\+|\d+", found[0])
    plus = "plus " if groups[0] == "+" else ""
    return plus + ", ".join("eight hundred" if g == "800" else digits(g) for g in groups if g != "+")


def _dashed(found: re.Match[str]) -> str:
    """Read equally spaced numbers as counting, any others as a telephone number: "9-10-11", "020-7946-0958".

    A long row may have one irregular number, because a recognizer may write "1-2-345-6-7-8-9-10".
    """
    groups = found[0].split("-")
    numbers = [int(group) for group in groups]
    steps = Counter(after - before for before, after in pairwise(numbers))
    is_long = len(groups) >= _LONG_ROW
    is_code = 0 in steps or any(
        group != str(int(group)) or (len(group) > 2 and not is_long) for group in groups
    )
    is_regular = steps.most_common(1)[0][1] >= (_REGULAR_SHARE if is_long else 1) * (len(groups) - 1)
    return ", ".join(map(cardinal, numbers)) if is_regular and not is_code else _phone(found)


ADDRESSES = rules(
    (rf"\bhttps?://[\w-]+(?:\.[\w-]+)*(?::\d+)?{_PATH}", _spell),
    (r"(?<!\w)[\w.+-]*\w@[\w-]+(?:\.[\w-]+)+", _spell),
    (rf"\bwww(?:\.[\w-]+)+{_PATH}", _spell),
    (rf"\b[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.{one_of(_DOMAINS)}\b(?![\w-]){_PATH}", _spell),
    (rf"\b[\w-]+\.{one_of(_FILES)}\b(?!\.\w)", _spell),
    (r"(?<!\S)@(?=\w)", "at "),
    (r"(?<![\w&])#(?=[A-Za-z])", "hashtag "),
    (r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b", lambda m: m[0].replace(".", " dot ")),
    (r"(?<![\w.-])(?:\+?\d{1,3}[ .-])?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}(?![\w-])", _phone),
    (r"(?<![\w.-])\d{3}-\d{4}(?![\w-])", _phone),
    (r"(?<![\w.])\+\d[\d ()-]{6,}\d\b", _phone),
    (r"(?<![\w.-])(?!\d{4}-\d\d-\d\d\b)\d+(?:-\d+){2,}(?![\w-])", _dashed),
    (r"\b\d{4}(?: \d{4}){2,}\b", _phone),
    (r"\b1-8\d\d-(?=[A-Z])", lambda m: f"{_phone(m)}, "),
)
"""Write out web and mail addresses, file names, handles and telephone numbers as they are dictated."""


def calm(text: str) -> str:
    """Return `text` in normal capitalization if it is all capitals, otherwise unchanged."""
    words = re.findall(r"[A-Z]{3,}", text)
    if re.search(r"[a-z]", text) or not (len(words) > 1 or any(len(word) > 4 for word in words)):
        return text
    lowered = re.sub(r"[A-Z][A-Z']*", lambda m: m[0] if _stays(m[0]) else m[0].lower(), text)
    return re.sub(r"(?:^|(?<=[.!?] ))[a-z]|\bi\b", lambda m: m[0].upper(), lowered)


def _roman(text: str) -> int | None:
    """Return the value of a Roman numeral in capital letters, or None if it is not one."""
    if not text or not _CANONICAL.fullmatch(text):
        return None
    values = [_ROMAN[letter] for letter in text]
    pairs = zip(values, [*values[1:], 0], strict=True)
    return sum(-value if value < following else value for value, following in pairs)


def _stays(word: str) -> bool:
    """Return whether a word of an all-capitals text would be in capitals in any text."""
    if word in _EMPHASIZED or word in ("US", "OK"):
        return False
    return word in _ACRONYMS | _SPELLED or not set(word) & _VOWELS


def _with_end(found: re.Match[str], words: str) -> str:
    """Return `words`, with a period if the abbreviation's period also ends the text."""
    at_end = found[0].endswith(".") and not found.string[found.end() :].strip("\"')")
    return f"{words}." if at_end else words


def _initials(found: re.Match[str]) -> str:
    return _with_end(found, " ".join(re.findall("[A-Za-z]", found[0])).upper())


def _numeral(found: re.Match[str]) -> str:
    before, numeral = found.groups()
    value = _roman(numeral)
    if value is None:
        return found[0]
    return f"{before} {f'the {ordinal(value)}' if re.fullmatch(_MONARCHS, before) else cardinal(value)}"


def _capitals(found: re.Match[str]) -> str:
    word, ending = found.groups()
    if word in _ACRONYMS:
        return found[0]
    if word in _SPELLED or not set(word) & _VOWELS or (len(word) <= 3 and word not in _EMPHASIZED):
        return " ".join(word) + (ending or "")
    begins = re.search(r"(?:^|[.!?]\s)$", found.string[: found.start()])
    return (word.capitalize() if begins else word.lower()) + (ending or "")


WRITING = rules(
    (rf"\b{one_of(_BEFORE_NUMBERS)}(?= ?[\dIVX])", looked_up(_BEFORE_NUMBERS)),
    (
        rf"\b(?!The |My |A |Our )([A-Z][a-z']+|[JS]r\.|[a-z-]+(?:st|nd|rd|th)) ({one_of(_STREETS)})\b\.?",
        lambda m: _with_end(m, f"{m[1]} {_STREETS[m[2]]}"),
    ),
    (rf"(?<=[a-z], )({one_of(_STATES)})\b(?!\.\w)", looked_up(_STATES)),
    (rf"(?<![\w.]){one_of(_SHORT)}(?![\w+#.])|(?<![\w.])(?:OK|Ok|ok)(?=\.(?!\w))", looked_up(_SHORT)),
    (r"\b[vV]\.? ?(?=\d+\.\d)", "version "),
    (r"\b[A-Z]{2,}(?=\d)", lambda m: " ".join(m[0])),
    (r"(?<=[A-Za-z])-(?=\d)|(?<=\d)-(?=[A-Z])", " "),
    (r"(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])", " "),
    (rf"(?<![\w.])({one_of(_ABBREVIATIONS)})(?!\w)", lambda m: _with_end(m, _ABBREVIATIONS[m[1]])),
    (r"\b(?:[A-Za-z]\.\s?){2,}(?<=\.)", _initials),
    (rf"\b({_MONARCHS}|{_NUMBERED}) ([IVXLC]+)\b(?!\.\w|')", _numeral),
    (r"\b([A-Z][a-z]+) ((?:II|III|IV|VI|VII|VIII|IX|XI|XII|XIII|XIV|XV|XVI))\b(?!')", _numeral),
    (r"\b([A-Z]{2,})('?s)?\b(?![a-z])", _capitals),
)
"""Write out abbreviations, acronyms, Roman numerals, and separate letters from digits."""
NUMBERS = rules(
    (r"\d+(?:\.\d+){2,}", lambda m: m[0].replace(".", " point ")),
    (
        rf"(?<![\d.,])({NUMBER})(?=\s+(?!is\b|was\b|has\b|as\b|its\b|this\b|us\b)[a-z]+s\b|\s+people\b)",
        lambda m: number(m[1]),
    ),
    (r"(?<![\d.,])(1[1-9]\d\d|20\d\d)(?![\d,]*\d|\.\d)", lambda m: year(int(m[1]))),
    (NUMBER, lambda m: number(m[0])),
)
"""Write out the remaining numbers, including those inside words."""
