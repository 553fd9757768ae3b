"""Tables whose figures are whole, however narrow the terminal is."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

_WRAPPED = 20
"""Letters to which the first column may shrink before another one is left out."""
_LEAST = 8


def fitting_table(
    title: str, columns: dict[str, list[str]], width: int, spare: Sequence[str], words: Sequence[str] = ()
) -> Table:
    """A table for a terminal of `width` letters; columns of words may wrap.

    Args:
        title: of the table.
        columns: cells by the column's name.
        width: what there is.
        spare: columns that are left out, as far as needed, in this order.
        words: columns besides the first that hold no figures.
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
