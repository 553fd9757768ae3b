"""Tables that fit the terminal, the table of turns, and the wording of latencies."""

from collections.abc import Iterator, Mapping, Sequence

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from taste_agent.session.transcript import Turn

STAGES = ("recognize", "tokenize", "read", "think", "voice")
"""The stages of computing, in order. Some already run during the silence."""
_WRAPPED, _LEAST = 20, 8
"""Smallest widths of the first column: while other columns can be dropped, and at all."""
_NO_ANSWER = "[dim]no answer[/dim]"
_NARROW = 60
"""Below this width, three columns would leave no room for words."""


def waited_text(latency_ms: Mapping[str, float]) -> str:
    """Return how long the person waited, with its parts. `latency_ms` is that of `FirstAudio`."""
    silence, computing, card = (round(latency_ms[name]) for name in ("silence", "computing", "card"))
    total = silence + computing + card
    return f"you waited {total} ms = silence {silence} + computing {computing} + card {card}"


def stages_text(latency_ms: Mapping[str, float]) -> str:
    """Return how long each stage took."""
    return ", ".join(f"{name} {latency_ms[name]:.0f}" for name in STAGES)


def fitting_table(
    title: str, columns: dict[str, list[str]], width: int, spare: Sequence[str], words: Sequence[str] = ()
) -> Table:
    """Return a table that fits a terminal without cutting figures.

    Args:
        title: the table's title.
        columns: the cells of each column, by its name.
        width: width of the terminal in characters.
        spare: columns to drop, in this order, until the others fit.
        words: columns, besides the first, whose text may wrap.
    """
    shown = dict(columns)
    first = next(iter(shown))
    widths = {name: max(map(len, (name, *cells))) for name, cells in columns.items()}
    widths[first] = min(widths[first], _WRAPPED)
    for name in spare:
        if sum(widths[other] + 3 for other in shown) + 1 <= width:
            break
        shown.pop(name, None)
    table = Table(title=Text(title))
    for name in shown:
        if name in (first, *words):
            table.add_column(name, overflow="fold", min_width=min(widths[name], _LEAST))
        else:
            table.add_column(name, justify="right", no_wrap=True)
    for row in zip(*shown.values(), strict=True):
        table.add_row(*map(Text, row))
    return table


def turn_table(turns: list[Turn], width: int = 80) -> Table:
    """Return a table of what was heard and said and how long each step took."""
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
    """Yield the cells of each row, in rich markup."""
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
    """Return the latencies of a reply by part, its real-time factor and underruns."""
    rtf = "-" if turn.rtf is None else f"{turn.rtf:.2f}"
    waited = waited_text(turn.latency_ms).replace(" = ", "\n= ").replace(" + ", "\n+ ")
    stages = "\n".join(f"  {stage}" for stage in stages_text(turn.latency_ms).split(", "))
    return f"{waited}\n[dim]stages, some run ahead:\n{stages}[/dim]\nRTF {rtf}, underruns {turn.underruns}"


def _reply_cell(turn: Turn) -> str:
    """Return the reply as far as it was heard, with a mark where it was cut."""
    reply = escape(turn.heard_text)
    if turn.cut_text:
        reply = f"{reply} [red](interrupted)[/red]".lstrip()
    return reply
