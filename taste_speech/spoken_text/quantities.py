"""Times, dates, money, units, percentages and arithmetic."""

import re

from taste_speech.spoken_text.rules import (
    NUMBER,
    TABLES,
    cardinal,
    digits,
    fraction,
    number,
    one_of,
    ordinal,
    plural,
    rules,
    year,
)

_MONTHS: list[str] = TABLES["months"]
_SHORT_MONTHS, _SHORT_DAYS = TABLES["short_months"], TABLES["short_days"]
_MONTH, _DAY_NAME = one_of([*_MONTHS, *_SHORT_MONTHS]), one_of(_SHORT_DAYS)
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_YEAR = r"(?:1\d{3}|20\d\d)"
_HALVES = r"(?:\s?([AaPp])(?:\.\s?[Mm]\.|[Mm]\b\.?))"
_BEFORE_HALVES = r"(?=\d\d?(?::\d\d)?\s?[AaPp]\.?[Mm])"
_BEFORE_YEARS = "(?:in|since|by|until|of|from|year|to|before|after|around|early|late) |mid-"
_NOT_INSIDE = r"(?<![\w.,:/-])"
_CURRENCIES, _CODES, _SCALES = TABLES["currencies"], TABLES["currency_codes"], TABLES["scales"]
_PER, _OPERATORS = TABLES["per"], TABLES["operators"]
_FORMS: dict[str, tuple[str, str, str]] = {
    **{sign: (name, f"{name}s", "") for sign, name in TABLES["units"].items()},
    **{sign: (name, f"{name}s", tail) for sign, (name, tail) in TABLES["units_with_tail"].items()},
    **{sign: (one, many, "") for sign, (one, many) in TABLES["irregular_units"].items()},
}
"""By unit sign: the name of the unit, its plural, and the words after it."""
_SIGN, _UNIT = one_of(_CURRENCIES), one_of(_FORMS)
_SCALE = rf"(?:\s?({one_of(_SCALES)})\b)?"
_WORD_SCALE = r"(?:\s(hundred|thousand|million|billion|trillion))?"
_AS_ADJECTIVE = r"(?<![\w-])((?:[Aa]n?|[Pp]er|[Ee]very)\s+)?"
"""An article before a quantity makes it an adjective if a word follows it: "a twenty dollar bill"."""
_UNIT_END = r"(?![\w/²³°])(?:\.(?=\s[a-z]))?"
_DENOMINATORS = {*range(2, 11), 12, 16, 32, 64, 100}
"""Denominators of fractions; with any other denominator, "3/14" is a date."""
_POWERS = {"2": " squared", "3": " cubed"}


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
    return f"{_MONTHS[int(month) - 1]} {ordinal(int(day))}{_in_year(written_year)}"


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
    """Return the words "P", "M" of a time, with a period if the time's period also ends the sentence."""
    if letter is None:
        return []
    ends = found[0].endswith(".") and re.match(r"\s*$|\s+[A-Z]", found.string[found.end() :])
    return [letter.upper(), "M." if ends else "M"]


def _decade(found: re.Match[str]) -> str:
    century, tens = found.groups()
    return plural(year(int(century + tens)) if century else cardinal(int(tens)))


DATES = rules(
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
"""Write out times, dates, and years that their surroundings identify as such."""


def _money(found: re.Match[str]) -> str:
    article, sign, least, amount, scale = found.groups()
    one, many, small, smalls = _CURRENCIES[sign]
    whole, _, part = amount.replace(",", "").partition(".")
    before = (article or "") + (f"{number(least)} to " if least else "")
    if scale:
        return f"{before}{number(amount)} {_SCALES[scale]} {many}"
    if len(part) != 2:
        return f"{before}{number(amount)} {one if amount == '1' or _is_adjective(found) else many}"
    cents = f"{cardinal(int(part))} {small if part == '01' else smalls}"
    if not int(whole or 0):
        return before + cents
    coins = f" and {cents}" if int(part) else ""
    return f"{before}{number(whole)} {one if whole == '1' else many}{coins}"


def _money_behind(found: re.Match[str]) -> str:
    amount, scale, sign = found.groups()
    one, many, *_ = _CURRENCIES[sign]
    scaled = f" {_SCALES[scale]}" if scale else ""
    return f"{number(amount)}{scaled} {one if amount == '1' and not scale else many}"


def _measure(found: re.Match[str]) -> str:
    article, amount, scale, sign = found.groups()
    one, many, tail = _FORMS[sign]
    name = one if (amount == "1" and not scale) or _is_adjective(found) else many
    return " ".join(filter(None, [(article or "").strip(), number(amount), scale, name, tail]))


def _is_adjective(found: re.Match[str]) -> bool:
    rest = found.string[found.end() :]
    return found[1] is not None and re.match(r"\s[a-z]", rest) is not None and not rest.startswith(" of ")


def _over(found: re.Match[str]) -> str:
    whole, above, below, unit = found[1], int(found[2]), int(found[3]), found[4]
    one, many, tail = _FORMS[unit] if unit else ("", "", "")
    if whole:
        part = {"1/2": "a half", "1/4": "a quarter"}.get(f"{above}/{below}") or fraction(above, below)
        return " ".join(filter(None, [number(whole), "and", part, many, tail]))
    if unit:
        article = "" if above == 1 else "of an" if one.startswith("i") else "of a"
        return " ".join(filter(None, [fraction(above, below), article, one, tail]))
    if below not in _DENOMINATORS and above <= 12 and above < below <= 31:
        return f"{_MONTHS[above - 1]} {ordinal(below)}"
    if above == below == 50:
        return "fifty-fifty"
    if below in (10, 100) or above == below:
        return f"{cardinal(above)} out of {cardinal(below)}"
    if above > below or below > 100:
        return f"{cardinal(above)} over {cardinal(below)}"
    return fraction(above, below)


def _range_or_difference(found: re.Match[str]) -> str:
    low, high = (float(found[side].replace(",", "")) for side in (1, 2))
    is_difference = " - " in found[0] and (low > high or "=" in found.string)
    return f"{found[1]} {'minus' if is_difference else 'to'} {found[2]}"


QUANTITIES = rules(
    (
        r"^([^\"]*(?<!')(?<!'\d)\d)\"([^\"]*)$",
        lambda m: f"{m[1]}{' inch' if re.match(' [a-z]', m[2]) else ' in.'}{m[2]}",
    ),
    (rf"(?<=[\dkKMBbn])\s?[-–]\s?(?={_SIGN}\d)", " to "),
    (r"(?<=ft )(\d+) in\b", r"\1 inches"),
    (r"\b([A-F])-(?=[\s.,!?]|$)", r"\1 minus"),
    (rf"(?<=\w)/({one_of(_PER)})\b", lambda m: f" per {_PER[m[1]]}"),
    (rf"(?<=\d)\s?({one_of(_CODES)})\b", lambda m: _CODES[m[1]]),
    (r"(?<!\S)\*(?=\d)", "star "),
    (r"(?<=\s)#(?![\w\s])|(?<=\s)#(?=\s)", "pound"),
    (r"\b(\d)-(on|in|to|for|by)-(?=\d\b)", r"\1 \2 "),
    (r"(?<=\dh )(\d+)\s?m\b", r"\1 min"),
    (r"\b(\d+)ers\b", lambda m: number(m[1]).removesuffix("e") + "ers"),
    (r"\b([Aa]) (?=1/2\b)1/2", r"\1 half"),
    (r"\bpp?\.\s?(?=\d)", "page "),
    (rf"(?<![\w.)%])[-−](?={_SIGN}?\.?\d)", "minus "),
    (r"\b(k?m|cm|mm|ft|in|mi)\^([23])", lambda m: m[1] + {"2": "²", "3": "³"}[m[2]]),
    (rf"{_AS_ADJECTIVE}({_SIGN})(?:({NUMBER})\s?[-–]\s?)?({NUMBER}){_SCALE}", _money),
    (rf"(?<![\w.,])({NUMBER}){_SCALE}\s?({_SIGN})", _money_behind),
    (rf"(?<![\w.,])({NUMBER})\s?¢", lambda m: f"{number(m[1])} {'cent' if m[1] == '1' else 'cents'}"),
    (r"(?<![\w.])(\d)'\s?(1[01]|\d)(?:\"|''|(?!\w))", lambda m: f"{number(m[1])} foot {number(m[2])}"),
    (r"(?<![\w.])(\d)'(?!\w)", lambda m: f"{number(m[1])} feet"),
    (rf"(?<![\w.,/])(?:(\d+)\s)?(\d+)/(\d+)(?:\s?({_UNIT}))?(?![\w/])", _over),
    (
        rf"(?<![\w.,-])({NUMBER})\s?[-–]\s?({NUMBER})(?=%| ?{_SIGN}|[^\w.,-]|[.,]?(?:\s|$)|[a-zA-Z°])",
        _range_or_difference,
    ),
    (r"(?<![\w:])(\d+):(?:([0-5]\d)|(\d+))(?![\w:])", lambda m: f"{m[1]} {m[2] or f'to {m[3]}'}"),
    (rf"({NUMBER})\s?%", lambda m: f"{number(m[1])} percent"),
    (rf"{_AS_ADJECTIVE}({NUMBER}){_WORD_SCALE}\s?({_UNIT}){_UNIT_END}", _measure),
    (r"(?<!\w)#\s?(?=\d)", "number "),
    (r"\b[Nn](?:o|r)s?\.\s?(?=\d)|№\s?", "number "),
    (r"(?i)\b(\d[\d,]*)(?:st|nd|rd|th)\b", lambda m: ordinal(int(m[1].replace(",", "")))),
    (rf"({NUMBER})x\b(?!\s?\d)", lambda m: f"{number(m[1])} times"),
    (r"(?<=\d)x(?=\d)", " by "),
    (rf"({NUMBER})\s?([×x*·÷+])\s?(?={NUMBER})", lambda m: f"{m[1]} {_OPERATORS[m[2]]} "),
    (rf"({NUMBER})\s([-−/])\s(?={NUMBER})", lambda m: f"{m[1]} {_OPERATORS[m[2]]} "),
    (r"(?:\bthe )?√", "the square root of "),
    (rf"\^\s?({NUMBER})", lambda m: _POWERS.get(m[1], f" to the power of {number(m[1])}")),
    (rf"[~≈]\s?(?={NUMBER})", "about "),
    (rf"({NUMBER})\+", r"\1 plus"),
    (rf"({NUMBER})([kM])\b", lambda m: f"{m[1]} {_SCALES[m[2]]}"),
    (
        r"\b((?:[Zz]ip|[Pp]ost|[Aa]ccess|area) code|PIN|[Pp]assword|[Ee]xtension)( is)? (\d+)\b",
        lambda m: f"{m[1]}{m[2] or ''} {digits(m[3])}",
    ),
)
"""Write out money, units, percentages and arithmetic; `writing.NUMBERS` handles the remaining numbers."""
