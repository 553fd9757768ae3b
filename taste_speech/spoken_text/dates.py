"""Times of day, dates and years."""

import re

from taste_speech.spoken_text.rules import (
    TABLES,
    apply,
    cardinal,
    digits,
    one_of,
    ordinal,
    plural,
    rules,
    year,
)

MONTHS: list[str] = TABLES["months"]
_SHORT_MONTHS, _SHORT_DAYS = TABLES["short_months"], TABLES["short_days"]
_MONTH, _DAY_NAME = one_of([*MONTHS, *_SHORT_MONTHS]), one_of(_SHORT_DAYS)
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_YEAR = r"(?:1\d{3}|20\d\d)"
_HALVES = r"(?:\s?([AaPp])(?:\.\s?[Mm]\.|[Mm]\b\.?))"
_BEFORE_HALVES = r"(?=\d\d?(?::\d\d)?\s?[AaPp]\.?[Mm])"
_BEFORE_YEARS = "(?:in|since|by|until|of|from|year|to|before|after|around|early|late) |mid-"
_NOT_INSIDE = r"(?<![\w.,:/-])"


def say_dates(text: str) -> str:
    """Write out times, dates, and years that are known by their surroundings."""
    return apply(_RULES, text)


def _month(name: str) -> str:
    name = name.rstrip(".")
    return _SHORT_MONTHS.get(name, name)


def _in_year(written_year: str | None) -> str:
    return f", {year(int(written_year))}" if written_year else ""


def _month_day_year(found: re.Match[str]) -> str:
    month, day, written_year = found.groups()
    return f"{_month(month)} {ordinal(int(day))}{_in_year(written_year)}"


def _day_month_year(found: re.Match[str]) -> str:
    day, month, written_year = found.groups()
    return f"the {ordinal(int(day))} of {_month(month)}{_in_year(written_year)}"


def _numeric(month: str, day: str, written_year: str | None = None) -> str:
    return f"{MONTHS[int(month) - 1]} {ordinal(int(day))}{_in_year(written_year)}"


def _clock(found: re.Match[str]) -> str:
    hour, minute, second, half = found.groups()
    words = [cardinal(int(hour))]
    if half is None and second is None and minute == "00":
        words.append("o'clock" if 1 <= int(hour) <= 12 else "hundred")
    elif minute != "00":
        words.append(f"oh {cardinal(int(minute))}" if minute < "10" else cardinal(int(minute)))
    if int(second or 0):
        words.append(f"and {cardinal(int(second))} seconds")
    return " ".join([*words, *_half(found, half)])


def _half(found: re.Match[str], letter: str | None) -> list[str]:
    """Return "P", "M" of a time, with a period if that of the time also ends the sentence."""
    if letter is None:
        return []
    ends = found[0].endswith(".") and re.match(r"\s*$|\s+[A-Z]", found.string[found.end() :])
    return [letter.upper(), "M." if ends else "M"]


def _decade(found: re.Match[str]) -> str:
    century, tens = found.groups()
    return plural(year(int(century + tens)) if century else cardinal(int(tens)))


_RULES = rules(
    (rf"(?<![\d:])(\d\d?):00\s?[-–]\s?{_BEFORE_HALVES}", r"\1 to "),
    (
        rf"\b(on|by|until|since|before|after) (?!9/11\b)(0?[1-9]|1[0-2])/({_DAY})\b(?!/)",
        lambda m: f"{m[1]} {_numeric(m[2], m[3])}",
    ),
    (r"(?<=\d:\d\d)\s?[-–]\s?(?=\d\d?:\d\d)", " to "),
    (r"(?<![\d.])(\d\d?)\.([0-5]\d)(?=\s?[AaPp]\.?[Mm]\b)", r"\1:\2"),
    (rf"(?<=\d)((?::\d\d)?{_HALVES}?)\s?[-–]\s?{_BEFORE_HALVES}", r"\1 to "),
    (rf"{_NOT_INSIDE}(0?[1-9]|1[0-2])/({_DAY})/({_YEAR})(?![\w/])", lambda m: _numeric(*m.groups())),
    (
        rf"{_NOT_INSIDE}(1[3-9]|2\d|3[01])/(0?[1-9]|1[0-2])/({_YEAR})(?![\w/])",
        lambda m: _numeric(m[2], m[1], m[3]),
    ),
    (
        rf"{_NOT_INSIDE}({_YEAR})[-/](0[1-9]|1[0-2])[-/]({_DAY})(?![\w-])",
        lambda m: _numeric(m[2], m[3], m[1]),
    ),
    (
        rf"\b({_MONTH})\b\.?\s+({_DAY})(?:st|nd|rd|th)?(?!\d|:|[.,]\d)(?:,?\s+({_YEAR})\b)?",
        _month_day_year,
    ),
    (
        rf"\b(?:the\s+)?({_DAY})(?:st|nd|rd|th)?\s+(?:of\s+)?({_MONTH})\b\.?(?:,?\s+({_YEAR})\b)?",
        _day_month_year,
    ),
    (rf"\b({one_of(_SHORT_MONTHS)})\.(?=\s|$)", lambda m: _month(m[1])),
    (
        rf"\b({_DAY_NAME})\.(?=,?\s)|\b(Tues?|Wed|Thu(?:rs?)?)\.$",
        lambda m: _SHORT_DAYS[m[1]] if m[1] else f"{_SHORT_DAYS[m[2]]}.",
    ),
    (
        rf"\b({_DAY_NAME})\s?[-–]\s?({_DAY_NAME})\b",
        lambda m: f"{_SHORT_DAYS[m[1]]} to {_SHORT_DAYS[m[2]]}",
    ),
    (r"\b9/11\b", "nine eleven"),
    (r"\b24/7\b", "twenty-four seven"),
    (rf"{_NOT_INSIDE}([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?(?![\d:]){_HALVES}?", _clock),
    (
        rf"{_NOT_INSIDE}(0?[1-9]|1[0-2]){_HALVES}(?!\w)",
        lambda m: " ".join([cardinal(int(m[1])), *_half(m, m[2])]),
    ),
    (
        rf"{_NOT_INSIDE}({_YEAR})\s?[-–]\s?({_YEAR})(?![\w-])",
        lambda m: f"{year(int(m[1]))} to {year(int(m[2]))}",
    ),
    (r"(?<![\w.,])'?(1\d|20)?([1-9]0|00)'?s\b", _decade),
    (
        rf"(?i)\b({_BEFORE_YEARS})({_YEAR})\b(?![,.:/]?\d|\s?%|\s*[a-z]+s\b)",
        lambda m: f"{m[1]}{year(int(m[2]))}",
    ),
    (r"(?<=\d )(BC|AD|BCE|CE)\b", lambda m: " ".join(m[1])),
    (r"\b911\b", digits("911")),
)
