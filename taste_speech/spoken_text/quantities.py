"""Money, units, percentages, and arithmetic."""

import re

from taste_speech.spoken_text.dates import MONTHS
from taste_speech.spoken_text.rules import (
    NUMBER,
    TABLES,
    apply,
    cardinal,
    digits,
    fraction,
    number,
    one_of,
    ordinal,
    rules,
)

_CURRENCIES, _CODES, _SCALES = TABLES["currencies"], TABLES["currency_codes"], TABLES["scales"]
_PER, _OPERATORS = TABLES["per"], TABLES["operators"]
_FORMS: dict[str, tuple[str, str, str]] = {
    **{sign: (name, f"{name}s", "") for sign, name in TABLES["units"].items()},
    **{sign: (name, f"{name}s", tail) for sign, (name, tail) in TABLES["units_with_tail"].items()},
    **{sign: (one, many, "") for sign, (one, many) in TABLES["irregular_units"].items()},
}
"""By sign: the unit's name, its plural, and what follows it."""
_SIGN, _UNIT = one_of(_CURRENCIES), one_of(_FORMS)
_SCALE = rf"(?:\s?({one_of(_SCALES)})\b)?"
_WORD_SCALE = r"(?:\s(hundred|thousand|million|billion|trillion))?"
_AS_ADJECTIVE = r"(?<![\w-])((?:[Aa]n?|[Pp]er|[Ee]very)\s+)?"
"""An article before a quantity makes it an adjective if a word follows: "a twenty dollar bill"."""
_UNIT_END = r"(?![\w/²³°])(?:\.(?=\s[a-z]))?"
_DENOMINATORS = {*range(2, 11), 12, 16, 32, 64, 100}
"""Of fractions; with another number below, it is a date."""
_POWERS = {"2": " squared", "3": " cubed"}


def say_quantities(text: str) -> str:
    """Write out money, units and sums; `writing` does the numbers that remain."""
    return apply(_RULES, text)


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
        return f"{MONTHS[above - 1]} {ordinal(below)}"
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


_RULES = rules(
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
