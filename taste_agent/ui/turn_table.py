"""The table at the end of a replay: one row a turn."""

from rich.markup import escape
from rich.table import Table

from taste_agent.session.transcript import Turn

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
    latency = {name: f"{value:.0f}" for name, value in turn.latency_ms.items()}
    rtf = "-" if turn.rtf is None else f"{turn.rtf:.2f}"
    return (
        f"endpoint    {latency.get('endpoint', '-'):>5} ms\n"
        f"first audio {latency.get('compute', '-'):>5} ms\n"
        f"[dim]asr {latency.get('recognise', '-')}, taste {latency.get('tokenize', '-')}[/dim]\n"
        f"[dim]read {latency.get('prefill', '-')}, lm {latency.get('generate', '-')}[/dim]\n"
        f"[dim]voice {latency.get('detokenize', '-')}[/dim]\n"
        f"RTF {rtf}, underruns {turn.underruns}"
    )


def _reply_cell(turn: Turn) -> str:
    reply = escape(turn.heard_text)
    if turn.cut_text:
        reply += f" [dim strike]{escape(turn.cut_text)}[/dim strike] [red](interrupted)[/red]"
    return reply
