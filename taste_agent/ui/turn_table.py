"""The table at the end of a replay: one row a turn."""

from rich.markup import escape
from rich.table import Table

from taste_agent.session.transcript import Turn


def turn_table(turns: list[Turn]) -> Table:
    """What was heard, what was said, and how long each step took."""
    table = Table(title="Turns", expand=True)
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("Heard", ratio=3)
    table.add_column("Reply", ratio=4)
    table.add_column("Endpoint", justify="right", no_wrap=True)
    table.add_column("First audio", justify="right", no_wrap=True)
    table.add_column("Parts (asr+taste+prefill+lm+voice)", ratio=2, justify="right")
    table.add_column("RTF", justify="right", no_wrap=True)
    table.add_column("Gaps", justify="right", no_wrap=True)
    heard: Turn | None = None
    number = 0
    for turn in turns:
        if turn.role == "user":
            if heard is not None:
                number += 1
                table.add_row(str(number), escape(heard.text), "[dim]no answer[/dim]", "", "", "", "", "")
            heard = turn
            continue
        number += 1
        table.add_row(str(number), escape(heard.text) if heard else "[dim]typed[/dim]", *_reply_cells(turn))
        heard = None
    if heard is not None:
        table.add_row(str(number + 1), escape(heard.text), "[dim]no answer[/dim]", "", "", "", "", "")
    return table


def _reply_cells(turn: Turn) -> tuple[str, str, str, str, str, str]:
    reply = escape(turn.heard_text)
    if turn.cut_text:
        reply += f" [dim strike]{escape(turn.cut_text)}[/dim strike]"
    latency = turn.latency_ms
    parts = "+".join(
        f"{latency.get(part, 0):.0f}"
        for part in ("recognise", "tokenize", "prefill", "generate", "detokenize")
    )
    return (
        reply,
        f"{latency.get('endpoint', 0):.0f} ms",
        f"{latency.get('compute', 0):.0f} ms",
        f"{parts} ms",
        "" if turn.rtf is None else f"{turn.rtf:.2f}",
        str(turn.underruns),
    )
