"""Numbers, days and months in words."""

from taste_speech.training.corpus.lexicon import listed

UNITS = listed("""
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen
""")
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
DAYS = listed("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
MONTHS = listed("""
January February March April May June July August September October November December
""")
ORDINALS = listed("""
first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth
fifteenth sixteenth seventeenth eighteenth nineteenth twentieth
""")
MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def number_words(n: int) -> str:
    """Return `n` from 0 to 100 in words."""
    if n < 20:
        return UNITS[n]
    if n == 100:
        return "one hundred"
    return TENS[n // 10 - 2] + (f" {UNITS[n % 10]}" if n % 10 else "")
