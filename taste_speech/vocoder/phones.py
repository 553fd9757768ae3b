"""Phones: the flow of some checkpoints reads them in place of speech units."""

import torch
from torch import Tensor, nn

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
_MARKS, _STRESSES = (
    len(MARKS) + 1,
    len(STRESS) + 1,
)  # the last mark is of what is unknown, the first stress none
UNKNOWN = len(PHONES) * len(MARKS)
"""Marked phone that stands for any, where nothing tells it."""
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
            begins = not found
            found.append(_NUMBERS[symbol] + len(PHONES) * (mark + _MARKS * (stress + _STRESSES * begins)))
            stress = 0
    return found


def pause_after(marked: int) -> int:
    """Return the pause, as a marked phone, behind a word to which the marked phone belongs."""
    return marked // len(PHONES) % _MARKS * len(PHONES)


class PhoneEmbedding(nn.Module):
    """Vectors of marked phones: sums of vectors of the phone, its mark, its stress and its place in the word.

    Args:
        size: of the vectors.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.phones = nn.Embedding(len(PHONES), size)
        self.marks = nn.Embedding(_MARKS, size)
        self.stresses = nn.Embedding(_STRESSES, size)
        self.begins_word = nn.Parameter(torch.zeros(size))
        nn.init.zeros_(self.stresses.weight)

    def forward(self, marked: Tensor) -> Tensor:
        """(...) -> (..., size)."""
        marks, stresses = marked // len(PHONES), marked // (len(PHONES) * _MARKS)
        begins = (stresses // _STRESSES).unsqueeze(-1) * self.begins_word
        phones = self.phones(marked % len(PHONES)) + self.marks(marks % _MARKS)
        return phones + self.stresses(stresses % _STRESSES) + begins
