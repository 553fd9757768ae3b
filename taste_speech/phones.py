"""Phones: the words and the speech units of some checkpoints.

A *marked phone* is one number for all that is known of a phone from the text. A *unit* of such a checkpoint
is a marked phone that sounds for one frame, with its pitch.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

PAUSE = "pause"
STRESS = ("ˈ", "ˌ")
VOWELS = "AIOQWYaiuæɑɒɔəɐɚɛɜɪʊʌᵊᵻ"
PHONES = (PAUSE, *VOWELS, *"bdfhjklmnpstvwxzðŋɡɹɾʃʒʤʧθʔT", *STRESS)
"""Symbols of hibari (those of misaki: A is the vowel of "day", ʤ the first sound of "judge").

A phone's number is its place here. Stress marks are no phones of their own."""
MARKS = ("", ",;:—-…", ".!", "?")
"""Punctuation behind a word that changes how it is said: none, a clause, a statement, a question.

A *marked phone* is one number for all that is known of a phone: p + len(PHONES) (m + 5 (s + 3 b)).
Here p is its number, m the mark behind its word, s its stress (0: none, 1: primary, 2: secondary), and b is 1
where it begins its word, else 0."""
MARK_COUNT, STRESS_COUNT = len(MARKS) + 1, len(STRESS) + 1
"""Numbers of marks, of which the last is an unknown one, and of stresses, of which the first is none."""
MARKED_PHONES = len(PHONES) * MARK_COUNT * STRESS_COUNT * 2
"""Number of marked phones."""
PITCHES = 32
"""Number of levels of pitch, from 1; level 0 is that of a phone without a known pitch."""
UNITS = MARKED_PHONES * (PITCHES + 1)
"""Number of units. A unit is the marked phone plus `MARKED_PHONES` times its level of pitch."""
_LOWEST_HZ, _LEVELS_PER_OCTAVE = 110.0, 16.0
VOICED = frozenset((*VOWELS, *"bdjlmnvwzðŋɡɹɾʒʤT"))
"""Phones that have a pitch."""
_NUMBERS = {phone: number for number, phone in enumerate(PHONES) if phone not in STRESS}


def mark_of(word: str) -> int:
    """Return the number of the mark at the end of a word."""
    last = word.rstrip("\"')”’")[-1:]
    return next((number for number, marks in enumerate(MARKS) if last and last in marks), 0)


def marked_phones(pronounced: str) -> list[int]:
    """Return the marked phones of a word that is given in phonemes, with stress marks and punctuation."""
    found, stress, mark = list[int](), 0, mark_of(pronounced)
    for symbol in pronounced:
        if symbol in STRESS:
            stress = 1 + STRESS.index(symbol)
        elif symbol in _NUMBERS:
            stresses = stress + STRESS_COUNT * (not found)
            found.append(_NUMBERS[symbol] + len(PHONES) * (mark + MARK_COUNT * stresses))
            stress = 0
    return found


def pause_after(marked: int) -> int:
    """Return the pause, as a marked phone, behind a word to which the marked phone belongs."""
    return marked // len(PHONES) % MARK_COUNT * len(PHONES)


def begins_word(marked: "Tensor") -> "Tensor":
    """Return whether marked phones (...) are the first ones of their words."""
    return marked // (len(PHONES) * MARK_COUNT * STRESS_COUNT) % 2 == 1


def pitch_level(f0_hz: "Tensor") -> "Tensor":
    """Return the level of pitch, from 1 to `PITCHES`, of positive fundamental frequencies in Hz."""
    levels = (f0_hz / _LOWEST_HZ).log2() * _LEVELS_PER_OCTAVE
    return 1 + levels.floor().long().clamp(0, PITCHES - 1)
