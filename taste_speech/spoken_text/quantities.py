"""Money, units, percentages, and arithmetic."""

import re

from taste_speech.spoken_text.dates import MONTHS
from taste_speech.spoken_text.numbers import cardinal, digits, fraction, number, ordinal
from taste_speech.spoken_text.rules import NUMBER, Rule, apply, one_of, table


def _parted(rows: dict[str, str]) -> list[tuple[str, list[str]]]:
    return [(sign, names.split("/")) for sign, names in rows.items()]


_CURRENCIES = dict(
    _parted(
        table(
            "$ dollar/dollars/cent/cents; US$ U S dollar/U S dollars/cent/cents; "
            "CA$ Canadian dollar/Canadian dollars/cent/cents; "
            "A$ Australian dollar/Australian dollars/cent/cents; "
            "£ pound/pounds/penny/pence; "
            "€ euro/euros/cent/cents; ¥ yen/yen/sen/sen; ₹ rupee/rupees/paisa/paise; ₩ won/won/jeon/jeon; "
            "₽ ruble/rubles/kopek/kopeks; ₿ bitcoin/bitcoins/cent/cents"
        )
    )
)
"""One, many, and the same of the small coin."""
_SCALES = table(
    "k thousand; K thousand; m million; M million; mn million; b billion; B billion; bn billion; T trillion; "
    "tn trillion; hundred hundred; thousand thousand; million million; billion billion; trillion trillion"
)
_UNITS = table(
    "mm millimeter; cm centimeter; m meter; km kilometer; µm micrometer; μm micrometer; mg milligram; "
    "g gram; kg kilogram; µg microgram; μg microgram; "
    "ml milliliter; mL milliliter; cl centiliter; dl deciliter; "
    "l liter; L liter; lb pound; lbs pound; oz ounce; yd yard; mi mile; gal gallon; pt pint; qt quart; "
    "tsp teaspoon; tbsp tablespoon; min minute; mins minute; h hour; hr hour; hrs hour; sec second; "
    "secs second; ms millisecond; yr year; yrs year; kB kilobyte; KB kilobyte; MB megabyte; GB gigabyte; "
    "TB terabyte; V volt; W watt; kW kilowatt; MW megawatt; mA milliamp; Ω ohm; cal calorie; "
    "kcal kilocalorie; dB decibel; px pixel; ° degree; kWh kilowatt hour; mAh milliamp hour; "
    "km² square kilometer; m² square meter; cm² square centimeter; m³ cubic meter; km2 square kilometer; "
    "m2 square meter; m3 cubic meter"
)
_WITH_TAIL = table(
    "mph mile/per hour; km/h kilometer/per hour; kph kilometer/per hour; m/s meter/per second; "
    "kbps kilobit/per second; Mbps megabit/per second; Gbps gigabit/per second; fps frame/per second; "
    "rpm revolution/per minute; bpm beat/per minute; °C degree/Celsius; ℃ degree/Celsius; "
    "°F degree/Fahrenheit; ℉ degree/Fahrenheit; psi pound/per square inch; ppm part/per million"
)
_UNCHANGING = table("Hz hertz; kHz kilohertz; MHz megahertz; GHz gigahertz; hp horsepower")
_IRREGULAR = {"ft": ("foot", "feet"), "in.": ("inch", "inches"), "sq ft": ("square foot", "square feet")}
_IRREGULAR |= {"sq. ft.": _IRREGULAR["sq ft"], "sq. ft": _IRREGULAR["sq ft"]}
_FORMS: dict[str, tuple[str, str, str]] = {
    **{sign: (name, f"{name}s", "") for sign, name in _UNITS.items()},
    **{sign: (name, f"{name}s", tail) for sign, (name, tail) in _parted(_WITH_TAIL)},
    **{sign: (name, name, "") for sign, name in _UNCHANGING.items()},
    **{sign: (*names, "") for sign, names in _IRREGULAR.items()},
}
"""By sign: the unit's name, its plural, and what follows it."""

_PER = {
    word: word for word in ("second", "minute", "hour", "day", "night", "week", "month", "year", "person")
}
_PER |= table("mile mile; hr hour; min minute; sec second; mo month; yr year; lb pound")
_CODES = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹"}

_SIGN = one_of(_CURRENCIES)
_SCALE = rf"(?:\s?({one_of(_SCALES)})\b)?"
_WORD_SCALE = r"(?:\s(hundred|thousand|million|billion|trillion))?"
_AS_ADJECTIVE = r"(?<![\w-])((?:[Aa]n?|[Pp]er|[Ee]very)\s+)?"
"""An article before a quantity makes it an adjective if a word follows: "a twenty dollar bill"."""
_UNIT_END = r"(?![\w/²³°])(?:\.(?=\s[a-z]))?"
_OPERATORS = {"×": "times", "x": "times", "*": "times", "·": "times", "÷": "divided by", "/": "divided by"}
_OPERATORS |= {"+": "plus", "-": "minus", "−": "minus"}
_DENOMINATORS = {*range(2, 11), 12, 16, 32, 64, 100}
"""Of fractions; with another number below, it is a date."""
_POWERS = {"2": " squared", "3": " cubed"}


def say_quantities(text: str) -> str:
    """Write out money, units and sums; what numbers remain are for `numbers`."""
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


def _ordinal(found: re.Match[str]) -> str:
    return ordinal(int(found[1].replace(",", "")))


def _range_or_difference(found: re.Match[str]) -> str:
    low, high = (float(found[side].replace(",", "")) for side in (1, 2))
    is_difference = " - " in found[0] and (low > high or "=" in found.string)
    return f"{found[1]} {'minus' if is_difference else 'to'} {found[2]}"


def _power(found: re.Match[str]) -> str:
    return _POWERS.get(found[1], f" to the power of {number(found[1])}")


_RULES: list[Rule] = [
    (
        re.compile(r"^([^\"]*(?<!')(?<!'\d)\d)\"([^\"]*)$"),
        lambda m: f"{m[1]}{' inch' if re.match(' [a-z]', m[2]) else ' in.'}{m[2]}",
    ),
    (re.compile(rf"(?<=[\dkKMBbn])\s?[-–]\s?(?={_SIGN}\d)"), " to "),
    (re.compile(r"(?<=ft )(\d+) in\b"), r"\1 inches"),
    (re.compile(r"\b([A-F])-(?=[\s.,!?]|$)"), r"\1 minus"),
    (re.compile(rf"(?<=\w)/({one_of(_PER)})\b"), lambda m: f" per {_PER[m[1]]}"),
    (re.compile(rf"(?<=\d)\s?({one_of(_CODES)})\b"), lambda m: _CODES[m[1]]),
    (re.compile(r"(?<!\S)\*(?=\d)"), "star "),
    (re.compile(r"(?<=\s)#(?![\w\s])|(?<=\s)#(?=\s)"), "pound"),
    (re.compile(r"\b(\d)-(on|in|to|for|by)-(?=\d\b)"), r"\1 \2 "),
    (re.compile(r"(?<=\dh )(\d+)\s?m\b"), r"\1 min"),
    (re.compile(r"\b(\d+)ers\b"), lambda m: number(m[1]).removesuffix("e") + "ers"),
    (re.compile(r"\b([Aa]) (?=1/2\b)1/2"), r"\1 half"),
    (re.compile(r"\bpp?\.\s?(?=\d)"), "page "),
    (re.compile(rf"(?<![\w.)%])[-−](?={_SIGN}?\.?\d)"), "minus "),
    (re.compile(r"\b(k?m|cm|mm|ft|in|mi)\^([23])"), lambda m: m[1] + {"2": "²", "3": "³"}[m[2]]),
    (
        re.compile(rf"{_AS_ADJECTIVE}({_SIGN})(?:({NUMBER})\s?[-–]\s?)?({NUMBER}){_SCALE}"),
        _money,
    ),
    (re.compile(rf"(?<![\w.,])({NUMBER}){_SCALE}\s?({_SIGN})"), _money_behind),
    (
        re.compile(rf"(?<![\w.,])({NUMBER})\s?¢"),
        lambda m: f"{number(m[1])} {'cent' if m[1] == '1' else 'cents'}",
    ),
    (
        re.compile(r"(?<![\w.])(\d)'\s?(1[01]|\d)(?:\"|''|(?!\w))"),
        lambda m: f"{number(m[1])} foot {number(m[2])}",
    ),
    (re.compile(r"(?<![\w.])(\d)'(?!\w)"), lambda m: f"{number(m[1])} feet"),
    (re.compile(rf"(?<![\w.,/])(?:(\d+)\s)?(\d+)/(\d+)(?:\s?({one_of(_FORMS)}))?(?![\w/])"), _over),
    (
        re.compile(
            rf"(?<![\w.,-])({NUMBER})\s?[-–]\s?({NUMBER})(?=%| ?{_SIGN}|[^\w.,-]|[.,]?(?:\s|$)|[a-zA-Z°])"
        ),
        _range_or_difference,
    ),
    (
        re.compile(r"(?<![\w:])(\d+):(?:([0-5]\d)|(\d+))(?![\w:])"),
        lambda m: f"{m[1]} {m[2] or f'to {m[3]}'}",
    ),
    (re.compile(rf"({NUMBER})\s?%"), lambda m: f"{number(m[1])} percent"),
    (re.compile(rf"{_AS_ADJECTIVE}({NUMBER}){_WORD_SCALE}\s?({one_of(_FORMS)}){_UNIT_END}"), _measure),
    (re.compile(r"(?<!\w)#\s?(?=\d)"), "number "),
    (re.compile(r"\b[Nn](?:o|r)s?\.\s?(?=\d)|№\s?"), "number "),
    (re.compile(r"\b(\d[\d,]*)(?:st|nd|rd|th)\b", re.IGNORECASE), _ordinal),
    (re.compile(rf"({NUMBER})x\b(?!\s?\d)"), lambda m: f"{number(m[1])} times"),
    (re.compile(r"(?<=\d)x(?=\d)"), " by "),
    (re.compile(rf"({NUMBER})\s?([×x*·÷+])\s?(?={NUMBER})"), lambda m: f"{m[1]} {_OPERATORS[m[2]]} "),
    (re.compile(rf"({NUMBER})\s([-−/])\s(?={NUMBER})"), lambda m: f"{m[1]} {_OPERATORS[m[2]]} "),
    (re.compile(r"(?:\bthe )?√"), "the square root of "),
    (re.compile(rf"\^\s?({NUMBER})"), _power),
    (re.compile(rf"[~≈]\s?(?={NUMBER})"), "about "),
    (re.compile(rf"({NUMBER})\+"), lambda m: f"{m[1]} plus"),
    (re.compile(rf"({NUMBER})([kM])\b"), lambda m: f"{m[1]} {_SCALES[m[2]]}"),
    (
        re.compile(r"\b((?:[Zz]ip|[Pp]ost|[Aa]ccess|area) code|PIN|[Pp]assword|[Ee]xtension)( is)? (\d+)\b"),
        lambda m: f"{m[1]}{m[2] or ''} {digits(m[3])}",
    ),
]
