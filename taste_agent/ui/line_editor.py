"""A line of text that is typed, with the keys that a shell has. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from taste_agent.ui import keys
from taste_agent.ui.keys import Key, Paste


@dataclass(frozen=True)
class Line:
    """What is typed so far; the cursor stands before `text[cursor]`."""

    text: str = ""
    cursor: int = 0
    back: int = 0
    """How many entries of the history back `text` was taken from; 0: it is new."""
    draft: str = ""
    """The new text while an older one is shown."""
    killed: str = ""
    """What the last kill removed, for Ctrl-Y."""


def edit(line: Line, key: Key, history: tuple[str, ...] = ()) -> Line:
    """Return the line after `key`; a key that means nothing here changes nothing."""
    if isinstance(key, Paste):
        return _insert(line, " ".join(key.text.split()))
    text, cursor = line.text, line.cursor
    match key:
        case keys.LEFT:
            return replace(line, cursor=max(0, cursor - 1))
        case keys.RIGHT:
            return replace(line, cursor=min(len(text), cursor + 1))
        case keys.HOME:
            return replace(line, cursor=0)
        case keys.END:
            return replace(line, cursor=len(text))
        case keys.WORD_LEFT:
            return replace(line, cursor=_word_start(text, cursor))
        case keys.WORD_RIGHT:
            rest = text[cursor:]
            gap = len(rest) - len(rest.lstrip())
            return replace(line, cursor=cursor + gap + len(rest[gap:].split(" ")[0]))
        case keys.BACKSPACE:
            return _without(line, max(0, cursor - 1), cursor)
        case keys.DELETE:
            return _without(line, cursor, cursor + 1)
        case keys.KILL_WORD:
            return _kill(line, _word_start(text, cursor), cursor)
        case keys.KILL_TO_START:
            return _kill(line, 0, cursor)
        case keys.KILL_TO_END:
            return _kill(line, cursor, len(text))
        case keys.YANK:
            return _insert(line, line.killed)
        case keys.UP:
            return _recall(line, line.back + 1, history)
        case keys.DOWN:
            return _recall(line, line.back - 1, history)
    return _insert(line, key) if len(key) == 1 else line


def _insert(line: Line, new: str) -> Line:
    new = "".join(character for character in new if character.isprintable())
    text = line.text[: line.cursor] + new + line.text[line.cursor :]
    return replace(line, text=text, cursor=line.cursor + len(new))


def _without(line: Line, start: int, end: int) -> Line:
    return replace(line, text=line.text[:start] + line.text[end:], cursor=start)


def _kill(line: Line, start: int, end: int) -> Line:
    return replace(_without(line, start, end), killed=line.text[start:end] or line.killed)


def _word_start(text: str, cursor: int) -> int:
    return text[:cursor].rstrip().rfind(" ") + 1


def _recall(line: Line, back: int, history: tuple[str, ...]) -> Line:
    if not 0 <= back <= len(history) or back == line.back:
        return line
    draft = line.draft if line.back else line.text
    text = history[-back] if back else draft
    return replace(line, text=text, cursor=len(text), back=back, draft=draft)
