"""Times of day, dates and years."""

import re

from taste_speech.spoken_text.numbers import cardinal, digits, ordinal, plural, year
from taste_speech.spoken_text.rules import Rule, apply, one_of

MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_SHORT_MONTHS = {"Sept": "September"} | {month[:3]: month for month in MONTHS if len(month) > 4}
_SHORT_DAYS = {
    **{"Mon": "Monday", "Tue": "Tuesday", "Tues": "Tuesday", "Wed": "Wednesday", "Thu": "Thursday"},
    **{"Thur": "Thursday", "Thurs": "Thursday", "Fri": "Friday", "Sat": "Saturday", "Sun": "Sunday"},
}
_MONTH = one_of([*MONTHS, *_SHORT_MONTHS])
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_YEAR = r"(?:1\d{3}|20\d\d)"
_HALVES = r"(?:\s?([AaPp])(?:\.\s?[Mm]\.|[Mm]\b\.?))"
_BEFORE_YEARS = "(?:in|since|by|until|of|from|year|to|before|after|around|early|late) |mid-"
_NOT_INSIDE = r"(?<![\w.,:/-])"


def say_dates(text: str) -> str:
    """Write out times, dates, and years that are known by their surroundings."""
    return apply(_RULES, text)


def _month(name: str) -> str:
    name = name.rstrip(".")
    return _SHORT_MONTHS.get(name, name)


def _month_day_year(found: re.Match[str]) -> str:
    month, day, written_year = found.groups()
    tail = f", {year(int(written_year))}" if written_year else ""
    return f"{_month(month)} {ordinal(int(day))}{tail}"


def _day_month_year(found: re.Match[str]) -> str:
    day, month, written_year = found.groups()
    tail = f", {year(int(written_year))}" if written_year else ""
    return f"the {ordinal(int(day))} of {_month(month)}{tail}"


def _numeric(month: str, day: str, written_year: str) -> str:
    return f"{MONTHS[int(month) - 1]} {ordinal(int(day))}, {year(int(written_year))}"


def _clock(found: re.Match[str]) -> str:
    hour, minute, second, half = found.groups()
    if half is None and second is None and minute == "00":
        words = [cardinal(int(hour)), "o'clock" if 1 <= int(hour) <= 12 else "hundred"]
    else:
        words = [cardinal(int(hour))]
        if minute != "00":
            words.append(f"oh {cardinal(int(minute))}" if minute < "10" else cardinal(int(minute)))
        if int(second or 0):
            words.append(f"and {cardinal(int(second))} seconds")
    return " ".join([*words, *_half(found, half)])


def _hour(found: re.Match[str]) -> str:
    return " ".join([cardinal(int(found[1])), *_half(found, found[2])])


def _half(found: re.Match[str], letter: str | None) -> list[str]:
    """ "P", "M" of a time, with the end of the sentence where its last period is that too."""
    if letter is None:
        return []
    ends = found[0].endswith(".") and re.match(r"\s*$|\s+[A-Z]", found.string[found.end() :])
    return [letter.upper(), "M." if ends else "M"]


def _decade(found: re.Match[str]) -> str:
    century, tens = found.groups()
    return plural(year(int(century + tens)) if century else cardinal(int(tens)))


def _years(found: re.Match[str]) -> str:
    return f"{found[1]}{year(int(found[2]))}"


def _day(found: re.Match[str]) -> str:
    return _SHORT_DAYS[found[1]] if found[1] else f"{_SHORT_DAYS[found[2]]}."


def _span(found: re.Match[str]) -> str:
    return f"{year(int(found[1]))} to {year(int(found[2]))}"


_RULES: list[Rule] = [
    (re.compile(r"(?<![\d:])(\d\d?):00\s?[-–]\s?(?=\d\d?(?::\d\d)?\s?[AaPp]\.?[Mm])"), r"\1 to "),
    (
        re.compile(rf"\b(on|by|until|since|before|after) (?!9/11\b)(0?[1-9]|1[0-2])/({_DAY})\b(?!/)"),
        lambda m: f"{m[1]} {MONTHS[int(m[2]) - 1]} {ordinal(int(m[3]))}",
    ),
    (re.compile(r"(?<=\d:\d\d)\s?[-–]\s?(?=\d\d?:\d\d)"), " to "),
    (re.compile(r"(?<![\d.])(\d\d?)\.([0-5]\d)(?=\s?[AaPp]\.?[Mm]\b)"), r"\1:\2"),
    (re.compile(rf"(?<=\d)((?::\d\d)?{_HALVES}?)\s?[-–]\s?(?=\d\d?(?::\d\d)?\s?[AaPp]\.?[Mm])"), r"\1 to "),
    (
        re.compile(rf"{_NOT_INSIDE}(0?[1-9]|1[0-2])/({_DAY})/({_YEAR})(?![\w/])"),
        lambda m: _numeric(*m.groups()),
    ),
    (
        re.compile(rf"{_NOT_INSIDE}(1[3-9]|2\d|3[01])/(0?[1-9]|1[0-2])/({_YEAR})(?![\w/])"),
        lambda m: _numeric(m[2], m[1], m[3]),
    ),
    (
        re.compile(rf"{_NOT_INSIDE}({_YEAR})[-/](0[1-9]|1[0-2])[-/]({_DAY})(?![\w-])"),
        lambda m: _numeric(m[2], m[3], m[1]),
    ),
    (
        re.compile(rf"\b({_MONTH})\b\.?\s+({_DAY})(?:st|nd|rd|th)?(?!\d|:|[.,]\d)(?:,?\s+({_YEAR})\b)?"),
        _month_day_year,
    ),
    (
        re.compile(
            rf"\b(?:the\s+)?({_DAY})(?:st|nd|rd|th)?\s+(?:of\s+)?({_MONTH})\b\.?(?:,?\s+({_YEAR})\b)?"
        ),
        _day_month_year,
    ),
    (re.compile(rf"\b({one_of(_SHORT_MONTHS)})\.(?=\s|$)"), lambda m: _month(m[1])),
    (re.compile(rf"\b({one_of(_SHORT_DAYS)})\.(?=,?\s)|\b(Tues?|Wed|Thu(?:rs?)?)\.$"), _day),
    (
        re.compile(rf"\b({one_of(_SHORT_DAYS)})\s?[-–]\s?({one_of(_SHORT_DAYS)})\b"),
        lambda m: f"{_SHORT_DAYS[m[1]]} to {_SHORT_DAYS[m[2]]}",
    ),
    (re.compile(r"\b9/11\b"), "nine eleven"),
    (re.compile(r"\b24/7\b"), "twenty-four seven"),
    (
        re.compile(rf"{_NOT_INSIDE}([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?(?![\d:]){_HALVES}?"),
        _clock,
    ),
    (re.compile(rf"{_NOT_INSIDE}(0?[1-9]|1[0-2]){_HALVES}(?!\w)"), _hour),
    (re.compile(rf"{_NOT_INSIDE}({_YEAR})\s?[-–]\s?({_YEAR})(?![\w-])"), _span),
    (re.compile(r"(?<![\w.,])'?(1\d|20)?([1-9]0|00)'?s\b"), _decade),
    (
        re.compile(rf"\b({_BEFORE_YEARS})({_YEAR})\b(?![,.:/]?\d|\s?%|\s*[a-z]+s\b)", re.IGNORECASE),
        _years,
    ),
    (re.compile(r"(?<=\d )(BC|AD|BCE|CE)\b"), lambda m: " ".join(m[1])),
    (re.compile(r"\b911\b"), digits("911")),
]
