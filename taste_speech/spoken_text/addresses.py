"""Web and mail addresses, file names, handles and telephone numbers."""

import re
from collections import Counter
from itertools import pairwise

from taste_speech.spoken_text.rules import TABLES, apply, cardinal, digits, one_of, rules

_SAID = TABLES["in_addresses"]
_DOMAINS, _SPELLED_FILES = TABLES["domains"].split(), TABLES["spelled_files"].split()
_FILES = [*_SPELLED_FILES, *TABLES["word_files"].split()]
_SPELLED = {*TABLES["spelled_in_addresses"].split(), *_SPELLED_FILES}
_LONG_ROW, _REGULAR_SHARE = 6, 0.7
"""Of numbers joined by dashes: a long row is counted if so many of the distances between them are equal."""
_PART = r"[A-Za-z0-9_~%-]"
_PATH = rf"(?:/{_PART}*(?:\.{_PART}+)*)*(?:\?[\w=&%+-]+)?(?:#[\w-]+)?"


def say_addresses(text: str) -> str:
    """Write out addresses as they are dictated."""
    return apply(_RULES, text)


def _spell(found: re.Match[str]) -> str:
    address = re.sub(r"^https?://", "", found[0]).rstrip("/")
    return " ".join(_part(part) for part in re.findall(r"[A-Za-z]+|\d+|.", address))


def _part(part: str) -> str:
    if part.isdigit():
        return digits(part) if len(part) > 2 else part
    if len(part) == 1 and part.isalpha():
        return part.upper()
    return " ".join(part.upper()) if part.lower() in _SPELLED else _SAID.get(part, part)


def _phone(found: re.Match[str]) -> str:
    groups = re.findall(r"\+|\d+", found[0])
    plus = "plus " if groups[0] == "+" else ""
    return plus + ", ".join("eight hundred" if g == "800" else digits(g) for g in groups if g != "+")


def _dashed(found: re.Match[str]) -> str:
    """Numbers at one distance are counted, any others are a telephone number: "9-10-11", "020-7946-0958".

    In a long row one of them may be odd: a recognizer writes "1-2-345-6-7-8-9-10".
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


_RULES = rules(
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
