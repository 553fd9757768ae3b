"""The level of a sound as a bar."""

from rich.text import Text

FLOOR_DBFS = -60.0


def level_bar(dbfs: float, size: int, style: str) -> Text:
    """A bar of `size` cells, filled from `FLOOR_DBFS` to 0 dB."""
    filled = round(max(0.0, min(1.0, 1 - dbfs / FLOOR_DBFS)) * size)
    return Text.assemble(("█" * filled, style), ("░" * (size - filled), "dim"))
