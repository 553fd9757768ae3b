"""Files that are written beside the old ones, then take their place."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write to, which then takes the place of `path`: a kill leaves a whole file."""
    partial = path.with_name(f"{path.name}.partial")
    yield partial
    partial.replace(path)
