"""Numbers as words, in the American manner ("one hundred five")."""

import re

from num2words import num2words

_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_LONGEST = 15
"""Digits of the longest number that is read as one; longer ones are read digit by digit."""
_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
_CANONICAL = re.compile(r"M{0,3}(CM|CD|D?C{0,3})(XC|XL|L?X{0,3})(IX|IV|V?I{0,3})")


def cardinal(number: int) -> str:
    """1234 -> "one thousand two hundred thirty-four"."""
    return _american(num2words(number))


def ordinal(number: int) -> str:
    """21 -> "twenty-first"."""
    return _american(num2words(number, to="ordinal"))


def year(number: int) -> str:
    """1805 -> "eighteen oh five"; 2005 -> "two thousand five"."""
    return _american(num2words(number, to="year")).replace("oh-", "oh ")


def digits(text: str) -> str:
    """ "90210" -> "nine zero two one zero"; signs between digits are left out."""
    return " ".join(_DIGITS[int(digit)] for digit in text if digit.isdigit())


def number(text: str) -> str:
    """A number as written, with commas and decimals; leading zeros are read digit by digit."""
    whole, _, decimals = text.replace(",", "").partition(".")
    coded = len(whole) > _LONGEST or (len(whole) > 1 and whole.startswith("0"))
    words = [digits(whole) if coded else cardinal(int(whole))] if whole else []
    return " ".join([*words, "point", digits(decimals)] if decimals else words)


def plain_or_year(text: str) -> str:
    """A number that may be a year: four digits without a comma, 1100 to 2099."""
    return year(int(text)) if re.fullmatch(r"1[1-9]\d\d|20\d\d", text) else number(text)


def fraction(above: int, below: int) -> str:
    """(3, 4) -> "three quarters"."""
    part = {2: "half", 4: "quarter"}.get(below) or ordinal(below)
    if above != 1:
        part = plural(part)
    return f"{cardinal(above)} {part}"


def plural(word: str) -> str:
    """ "ninety" -> "nineties"."""
    if word.endswith("half"):
        return word.removesuffix("f") + "ves"
    if word.endswith("y"):
        return word.removesuffix("y") + "ies"
    return word + ("es" if word.endswith("x") else "s")


def roman(text: str) -> int | None:
    """Value of a Roman numeral in capital letters; None: it is none."""
    if not text or not _CANONICAL.fullmatch(text):
        return None
    values = [_ROMAN[letter] for letter in text]
    return sum(
        -value if value < following else value
        for value, following in zip(values, [*values[1:], 0], strict=True)
    )


def _american(words: str) -> str:
    return words.replace(",", "").replace(" and ", " ")
