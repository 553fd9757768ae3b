"""The part of a changing transcript that can already be shown."""


class PartialText:
    """A text that only grows: the words on which two successive transcripts agree."""

    def __init__(self) -> None:
        self._last: list[str] = []
        self.told: list[str] = []

    def take(self, text: str) -> str:
        """Take the newest transcript and return the words that are newly certain."""
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
