"""What flite is told of single words, in the Speech Synthesis Markup Language."""

import re

EMPHASIS_RATE = 0.78


def mark_up(text: str, emphasis: int | None, change_word: int | None, change_rate: float) -> str:
    """The text for `flite -ssml`.

    Args:
        text: words between spaces.
        emphasis: index of the word that is said slowly; None: of no word.
        change_word: index of the word from which on all are said at another pace; None: of no word.
        change_rate: times as fast from there on.
    """
    words = []
    for index, word in enumerate(re.sub(r"[&<>]", " ", text).split()):
        rate = EMPHASIS_RATE if index == emphasis else 1.0
        if change_word is not None and index >= change_word:
            rate *= change_rate
        # Word by word: in flite the end of a mark inside another ends both.
        words.append(word if rate == 1.0 else f'<prosody rate="{rate:.4g}">{word}</prosody>')
    return f"<speak>{' '.join(words)}</speak>"
