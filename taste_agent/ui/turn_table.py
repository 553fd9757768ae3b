"""The table at the end of a replay: one row a turn."""

from rich.markup import escape
from rich.table import Table

from taste_agent.session.transcript import Turn
from taste_agent.ui.latency import stages_text, waited_text

_NO_ANSWER = "[dim]no answer[/dim]"


def turn_table(turns: list[Turn]) -> Table:
    """What was heard, what was said, and how long each step took."""
    table = Table(title="Turns", expand=True, show_lines=True)
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("Heard", ratio=3)
    table.add_column("Reply", ratio=4)
    table.add_column("Timing", no_wrap=True, min_width=23)
    heard: Turn | None = None
    for turn in turns:
        if turn.role == "user":
            if heard is not None:
                table.add_row(str(table.row_count + 1), escape(heard.text), _NO_ANSWER, "")
            heard = turn
            continue
        question = escape(heard.text) if heard else "[dim]nothing new[/dim]"
        table.add_row(str(table.row_count + 1), question, _reply_cell(turn), timing_text(turn))
        heard = None
    if heard is not None:
        table.add_row(str(table.row_count + 1), escape(heard.text), _NO_ANSWER, "")
    return table


def timing_text(turn: Turn) -> str:
    """Latencies of a reply in milliseconds, by part, and how playback went."""
    rtf = "-" if turn.rtf is None else f"{turn.rtf:.2f}"
    waited = waited_text(turn.latency_ms).replace(" = ", "\n= ").replace(" + ", "\n+ ")
    stages = "\n".join(f"  {stage}" for stage in stages_text(turn.latency_ms).split(", "))
    return f"{waited}\n[dim]{stages}[/dim]\nRTF {rtf}, underruns {turn.underruns}"


def _reply_cell(turn: Turn) -> str:
    reply = escape(turn.heard_text)
    if turn.cut_text:
        reply += f" [dim strike]{escape(turn.cut_text)}[/dim strike] [red](interrupted)[/red]"
    return reply
