"""Lists of words as running text."""


def listed(text: str) -> list[str]:
    """Return the words of a list written as running text."""
    return text.split()
