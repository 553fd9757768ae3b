"""Abbreviations, capital letters, Roman numerals, and letters mixed with digits."""

import re

from taste_speech.spoken_text.numbers import cardinal, number, ordinal, plain_or_year, roman
from taste_speech.spoken_text.rules import NUMBER, Rule, apply, listed, looked_up, one_of, table

_STREETS = table("St Street; Ave Avenue; Blvd Boulevard; Rd Road; Ln Lane; Dr Drive")
"""Behind a name."""
_ABBREVIATIONS = table(
    "Dr. Doctor; Mr. Mister; Mrs. Missus; Ms. Miz; Prof. Professor; St. Saint; Mt. Mount; Ft. Fort; "
    "Gen. General; Sgt. Sergeant; Capt. Captain; Col. Colonel; Lt. Lieutenant; Rev. Reverend; "
    "Hon. Honorable; Sen. Senator; Gov. Governor; Ph.D. P H D; e.g. for example; i.e. that is; vs. versus; "
    "etc. et cetera; approx. approximately; ca. about; Jr. Junior; Sr. Senior; Inc. Incorporated; "
    "Ltd. Limited; Co. Company; Corp. Corporation; dept. department; Dept. Department; est. established; "
    "govt. government; max. maximum; min. minimum; incl. including; a.k.a. A K A; p.s. P S; ft. feet; "
    "lb. pounds; lbs. pounds; oz. ounces; hrs. hours; mins. minutes; tel. telephone"
)
_BEFORE_NUMBERS = table(
    "fig. figure; Fig. Figure; ch. chapter; Ch. Chapter; vol. volume; Vol. Volume; sec. section; "
    "Sec. Section; "
    "apt. apartment; Apt. Apartment; pg. page; Rm. Room"
)
_SHORT = table(
    "Mr Mister; Mrs Missus; Ms Miz; Dr Doctor; Prof Professor; e.g for example; i.e that is; etc et cetera; "
    "vs versus; w/o without; w/out without; w/ with; b/c because; A/C A C; and/or and or; thx thanks; "
    "pls please; plz please; "
    "btw by the way; OK okay; Ok Okay; ok okay; aka A K A; PhD P H D; C# C sharp; C++ C plus plus; "
    "WWII World War two; WWI World War one; WW2 World War two"
)
_STATES = table(
    "AL Alabama; AK Alaska; AZ Arizona; AR Arkansas; CA California; CO Colorado; CT Connecticut; "
    "DE Delaware; FL Florida; GA Georgia; HI Hawaii; ID Idaho; IL Illinois; IN Indiana; IA Iowa; "
    "KS Kansas; KY Kentucky; LA Louisiana; ME Maine; MD Maryland; MA Massachusetts; MI Michigan; "
    "MN Minnesota; MS Mississippi; MO Missouri; MT Montana; NE Nebraska; NV Nevada; NH New Hampshire; "
    "NJ New Jersey; NM New Mexico; NY New York; NC North Carolina; ND North Dakota; OH Ohio; "
    "OK Oklahoma; OR Oregon; PA Pennsylvania; RI Rhode Island; SC South Carolina; SD South Dakota; "
    "TN Tennessee; TX Texas; UT Utah; VT Vermont; VA Virginia; WA Washington; WV West Virginia; "
    "WI Wisconsin; WY Wyoming"
)
"""Behind a town."""
_MONARCHS = one_of(
    listed(
        "Henry Louis Elizabeth Charles George Edward James William Richard Philip Paul Benedict Pius "
        "Catherine Alexander Napoleon Francis Frederick Peter Nicholas Ivan Leo John Gregory Ramses Xavier"
    )
)
_SAID_AS_WORDS = listed(
    "NASA NATO UNESCO UNICEF OPEC AIDS FIFA UEFA COVID ASEAN RAM ROM PIN SIM GIF JPEG IKEA LEGO SWAT YOLO "
    "FOMO NAFTA NOAA FEMA OSHA PETA NASDAQ SAT ZIP BASIC"
)
_SPELLED = listed(
    "AARP ASAP HTTPS IEEE ISBN NAACP UCLA URLS AAA IOU ATM FAQ RSVP EOD BYOB AKA IPO USSR ABBA USB AOL AT "
    "YMCA YWCA"
)
_EMPHASIZED = listed(
    "AM AN AS BE BY DO GO HE IF IN IS IT ME MY NO OF ON OR SO TO UP WE ALL AND ANY ARE BAD BIG BUT CAN DAY "
    "DID END FOR GET GOT HAD HAS HER HIM HIS HOW LET MAN MAY NEW NOT NOW OFF OLD ONE OUR OUT OWN PUT RED RUN "
    "SAD SAY SEE SHE SIT THE TOO TRY TWO USE WAR WAS WAY WHO WHY WIN YES YET YOU"
)
"""Short words that a writer who means them loudly sets in capitals."""
_VOWELS = set("AEIOUY")


def calm(text: str) -> str:
    """A text that is all capitals in ordinary letters; any other as it is."""
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


def _stays(word: str) -> bool:
    """Whether a word of a text in capitals is one that has them anyhow."""
    if word in _EMPHASIZED or word in ("US", "OK"):
        return False
    return word in _SAID_AS_WORDS | _SPELLED or not set(word) & _VOWELS


def _with_end(found: re.Match[str], words: str) -> str:
    """`words`, with a period where that of the abbreviation also ends the text."""
    at_end = found[0].endswith(".") and not found.string[found.end() :].strip("\"')")
    return f"{words}." if at_end else words


def _initials(found: re.Match[str]) -> str:
    return _with_end(found, " ".join(re.findall("[A-Za-z]", found[0])).upper())


def _numeral(found: re.Match[str]) -> str:
    before, numeral = found.groups()
    value = roman(numeral)
    if value is None:
        return found[0]
    return (
        f"{before} the {ordinal(value)}" if re.fullmatch(_MONARCHS, before) else f"{before} {cardinal(value)}"
    )


def _capitals(found: re.Match[str]) -> str:
    word, ending = found.groups()
    if word in _SAID_AS_WORDS:
        return found[0]
    if word in _SPELLED or not set(word) & _VOWELS or (len(word) <= 3 and word not in _EMPHASIZED):
        return " ".join(word) + (ending or "")
    begins = re.search(r"(?:^|[.!?]\s)$", found.string[: found.start()])
    return (word.capitalize() if begins else word.lower()) + (ending or "")


_TRIGGERS = one_of(
    listed("War Chapter Part Act Volume Phase Type Book Level Section Article Episode Scene Bowl Class Step")
)
_RULES: list[Rule] = [
    (re.compile(rf"\b{one_of(_BEFORE_NUMBERS)}(?= ?[\dIVX])"), looked_up(_BEFORE_NUMBERS)),
    (
        re.compile(
            rf"\b(?!The |My |A |Our )([A-Z][a-z']+|[JS]r\.|[a-z-]+(?:st|nd|rd|th)) ({one_of(_STREETS)})\b\.?"
        ),
        lambda m: _with_end(m, f"{m[1]} {_STREETS[m[2]]}"),
    ),
    (re.compile(rf"(?<=[a-z], )({one_of(_STATES)})\b(?!\.\w)"), looked_up(_STATES)),
    (
        re.compile(rf"(?<![\w.]){one_of(_SHORT)}(?![\w+#.])|(?<![\w.])(?:OK|Ok|ok)(?=\.(?!\w))"),
        looked_up(_SHORT),
    ),
    (re.compile(r"\b[vV]\.? ?(?=\d+\.\d)"), "version "),
    (re.compile(r"\b[A-Z]{2,}(?=\d)"), lambda m: " ".join(m[0])),
    (re.compile(r"(?<=[A-Za-z])-(?=\d)|(?<=\d)-(?=[A-Z])"), " "),
    (re.compile(r"(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])"), " "),
    (
        re.compile(rf"(?<![\w.])({one_of(_ABBREVIATIONS)})(?!\w)"),
        lambda m: _with_end(m, _ABBREVIATIONS[m[1]]),
    ),
    (re.compile(r"\b(?:[A-Za-z]\.\s?){2,}(?<=\.)"), _initials),
    (re.compile(rf"\b({_MONARCHS}|{_TRIGGERS}) ([IVXLC]+)\b(?!\.\w|')"), _numeral),
    (re.compile(r"\b([A-Z][a-z]+) ((?:II|III|IV|VI|VII|VIII|IX|XI|XII|XIII|XIV|XV|XVI))\b(?!')"), _numeral),
    (re.compile(r"\b([A-Z]{2,})('?s)?\b(?![a-z])"), _capitals),
]
_NUMBERS: list[Rule] = [
    (re.compile(r"\d+(?:\.\d+){2,}"), lambda m: m[0].replace(".", " point ")),
    (
        re.compile(
            rf"(?<![\d.,])({NUMBER})(?=\s+(?!is\b|was\b|has\b|as\b|its\b|this\b|us\b)[a-z]+s\b|\s+people\b)"
        ),
        lambda m: number(m[1]),
    ),
    (re.compile(r"(?<![\d.,])(1[1-9]\d\d|20\d\d)(?![\d,]*\d|\.\d)"), lambda m: plain_or_year(m[1])),
    (re.compile(NUMBER), lambda m: number(m[0])),
]
