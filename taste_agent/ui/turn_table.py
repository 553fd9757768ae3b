"""The table at the end of a replay: one row a turn."""

from collections.abc import Iterator

from rich.markup import escape
from rich.table import Table

from taste_agent.session.transcript import Turn
from taste_agent.ui.latency import stages_text, waited_text

_NO_ANSWER = "[dim]no answer[/dim]"
_NARROW = 60
"""Below it three columns leave no room for words."""


def turn_table(turns: list[Turn], width: int = 80) -> Table:
    """What was heard, what was said, and how long each step took, for a terminal of `width` letters."""
    table = Table(title="Turns", expand=True, show_lines=True)
    table.add_column("#", justify="right", no_wrap=True)
    if width < _NARROW:
        table.add_column("Heard, reply, timing")
        for number, row in enumerate(_rows(turns), 1):
            table.add_row(str(number), "\n".join(filter(None, row)))
        return table
    table.add_column("Heard", ratio=3)
    table.add_column("Reply", ratio=4)
    table.add_column("Timing", no_wrap=True, min_width=23)
    for number, row in enumerate(_rows(turns), 1):
        table.add_row(str(number), *row)
    return table


def _rows(turns: list[Turn]) -> Iterator[tuple[str, str, str]]:
    """What was heard, the reply and its timing, as rich text."""
    heard: Turn | None = None
    for turn in turns:
        if turn.role == "user":
            if heard is not None:
                yield escape(heard.text), _NO_ANSWER, ""
            heard = turn
        else:
            yield (
                escape(heard.text) if heard else "[dim]nothing new[/dim]",
                _reply_cell(turn),
                timing_text(turn),
            )
            heard = None
    if heard is not None:
        yield escape(heard.text), _NO_ANSWER, ""


def timing_text(turn: Turn) -> str:
    """Latencies of a reply in milliseconds, by part, and how playback went."""
    rtf = "-" if turn.rtf is None else f"{turn.rtf:.2f}"
    waited = waited_text(turn.latency_ms).replace(" = ", "\n= ").replace(" + ", "\n+ ")
    stages = "\n".join(f"  {stage}" for stage in stages_text(turn.latency_ms).split(", "))
    return f"{waited}\n[dim]stages, some run ahead:\n{stages}[/dim]\nRTF {rtf}, underruns {turn.underruns}"


def _reply_cell(turn: Turn) -> str:
    reply = escape(turn.heard_text)
    if turn.cut_text:
        reply += f" [dim strike]{escape(turn.cut_text)}[/dim strike] [red](interrupted)[/red]"
    return reply
