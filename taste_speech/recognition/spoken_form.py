"""From text as Whisper writes it to the words that were said: lower case, no punctuation, digits as words.

"It's 3:30, Mr. Lee." -> it's three thirty mister lee
"""

import re
import unicodedata
from collections.abc import Sequence

from taste_speech.spoken_text import spoken_words

_MURMURS = {
    "mm-hmm": "mhm",
    "mm-hm": "mhm",
    "mhmm": "mhm",
    "m-hm": "mhm",
    "mmhmm": "mhm",
    "hmm": "hm",
    "hmmm": "hm",
    "mmm": "mm",
    "uhm": "um",
    "umm": "um",
    "uhh": "uh",
    "ohh": "oh",
    "ahh": "ah",
    "ah-ha": "aha",
}
"""Spellings of what people murmur -> the one that the models know."""


def spoken_form(text: str) -> str:
    """The words of `text`, of letters and apostrophes only, as a person says them."""
    return " ".join(word for words in spoken_forms(text.split()) for word in words)


def spoken_forms(written: Sequence[str]) -> list[list[str]]:
    """For each of some written words in a row the words that are said; none for what is only a mark."""
    known = [_MURMURS.get(word.lower().strip(".,?!…"), word) or "," for word in written]
    return [_words(said) for said in spoken_words(known)]


def _words(said: str) -> list[str]:
    letters = unicodedata.normalize("NFKD", said.lower().replace("’", "'"))
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    words = (word.strip("'") for word in re.sub(r"[^a-z']", " ", plain).split())
    return [word for word in words if word]
