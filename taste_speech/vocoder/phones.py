"""Phones: the flow of some checkpoints reads them in place of speech units."""

from torch import Tensor, nn

PAUSE = "pause"
STRESS = ("ˈ", "ˌ")
VOWELS = "AIOQWYaiuæɑɒɔəɐɚɛɜɪʊʌᵊᵻ"
PHONES = (PAUSE, *VOWELS, *"bdfhjklmnpstvwxzðŋɡɹɾʃʒʤʧθʔT", *STRESS)
"""Symbols of hibari (those of misaki: A is the vowel of "day", ʤ the first sound of "judge").

A phone's number is its place here. Stress marks are no phones of their own."""
MARKS = ("", ",;:—-…", ".!", "?")
"""Punctuation behind a word that changes how it is said: none, a clause, a statement, a question.

Number p of a phone with mark m is a *marked phone*, m * len(PHONES) + p."""
UNKNOWN = len(MARKS) * len(PHONES)
"""Marked phone that stands for any, where nothing tells it."""
_NUMBERS = {phone: number for number, phone in enumerate(PHONES) if phone not in STRESS}


def mark_of(word: str) -> int:
    """Return the number of the mark at the end of a word."""
    last = word.rstrip("\"')”’")[-1:]
    return next((number for number, marks in enumerate(MARKS) if last and last in marks), 0)


def marked_phones(pronounced: str) -> list[int]:
    """Return the marked phones of a word that is given in phonemes; stress marks are none."""
    offset = mark_of(pronounced) * len(PHONES)
    return [offset + _NUMBERS[symbol] for symbol in pronounced if symbol in _NUMBERS]


class PhoneEmbedding(nn.Module):
    """Vectors of marked phones: that of the phone and that of the mark.

    Args:
        size: of the vectors.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.phones = nn.Embedding(len(PHONES), size)
        self.marks = nn.Embedding(len(MARKS) + 1, size)  # the last one is of what is unknown

    def forward(self, marked: Tensor) -> Tensor:
        """(...) -> (..., size)."""
        return self.phones(marked % len(PHONES)) + self.marks(marked // len(PHONES))
