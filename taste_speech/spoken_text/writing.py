"""Abbreviations, capital letters, Roman numerals, and letters mixed with digits."""

import re

from taste_speech.spoken_text.rules import (
    NUMBER,
    TABLES,
    apply,
    cardinal,
    looked_up,
    number,
    one_of,
    ordinal,
    rules,
    year,
)

_STREETS, _ABBREVIATIONS, _SHORT = TABLES["streets"], TABLES["abbreviations"], TABLES["short_forms"]
_STATES, _BEFORE_NUMBERS = TABLES["states"], TABLES["before_numbers"]
_MONARCHS, _NUMBERED = (one_of(TABLES[name].split()) for name in ("monarchs", "numbered"))
_ACRONYMS, _SPELLED, _EMPHASIZED = (
    frozenset(TABLES[name].split()) for name in ("acronyms", "spelled", "emphasized")
)
_VOWELS = set("AEIOUY")
_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
_CANONICAL = re.compile(r"M{0,3}(CM|CD|D?C{0,3})(XC|XL|L?X{0,3})(IX|IV|V?I{0,3})")


def calm(text: str) -> str:
    """Return a text that is all capitals in ordinary letters; any other as it is."""
    words = re.findall(r"[A-Z]{3,}", text)
    if re.search(r"[a-z]", text) or not (len(words) > 1 or any(len(word) > 4 for word in words)):
        return text
    lowered = re.sub(r"[A-Z][A-Z']*", lambda m: m[0] if _stays(m[0]) else m[0].lower(), text)
    return re.sub(r"(?:^|(?<=[.!?] ))[a-z]|\bi\b", lambda m: m[0].upper(), lowered)


def say_writing(text: str) -> str:
    """Write out abbreviations, acronyms and Roman numerals."""
    return apply(_RULES, text)


def say_numbers(text: str) -> str:
    """Write out the numbers that are left, also those inside words."""
    return apply(_NUMBERS, text)


def roman(text: str) -> int | None:
    """Return the value of a Roman numeral in capital letters; None if it is not one."""
    if not text or not _CANONICAL.fullmatch(text):
        return None
    values = [_ROMAN[letter] for letter in text]
    pairs = zip(values, [*values[1:], 0], strict=True)
    return sum(-value if value < following else value for value, following in pairs)


def _stays(word: str) -> bool:
    """Return whether a word of a text in capitals would have them in any text."""
    if word in _EMPHASIZED or word in ("US", "OK"):
        return False
    return word in _ACRONYMS | _SPELLED or not set(word) & _VOWELS


def _with_end(found: re.Match[str], words: str) -> str:
    """Return `words`, with a period where that of the abbreviation also ends the text."""
    at_end = found[0].endswith(".") and not found.string[found.end() :].strip("\"')")
    return f"{words}." if at_end else words


def _initials(found: re.Match[str]) -> str:
    return _with_end(found, " ".join(re.findall("[A-Za-z]", found[0])).upper())


def _numeral(found: re.Match[str]) -> str:
    before, numeral = found.groups()
    value = roman(numeral)
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


_RULES = rules(
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
_NUMBERS = rules(
    (r"\d+(?:\.\d+){2,}", lambda m: m[0].replace(".", " point ")),
    (
        rf"(?<![\d.,])({NUMBER})(?=\s+(?!is\b|was\b|has\b|as\b|its\b|this\b|us\b)[a-z]+s\b|\s+people\b)",
        lambda m: number(m[1]),
    ),
    (r"(?<![\d.,])(1[1-9]\d\d|20\d\d)(?![\d,]*\d|\.\d)", lambda m: year(int(m[1]))),
    (NUMBER, lambda m: number(m[0])),
)
