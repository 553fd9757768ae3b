"""What of a transcript that still changes can be told already."""


class PartialText:
    """Text that only grows: words on which two successive transcripts agree."""

    def __init__(self) -> None:
        self._last: list[str] = []
        self.told: list[str] = []

    def take(self, text: str) -> str:
        """Takes the newest transcript; returns what is new of the words that are sure."""
        words = text.split()
        agreed = 0
        while agreed < min(len(words), len(self._last)) and words[agreed] == self._last[agreed]:
            agreed += 1
        self._last = words
        if words[: len(self.told)] != self.told or agreed <= len(self.told):
            return ""
        new = words[len(self.told) : agreed]
        lead = " " if self.told else ""
        self.told += new
        return lead + " ".join(new)
