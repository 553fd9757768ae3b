"""What was measured of each item, kept as it comes, so that a stopped evaluation goes on where it was."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = dict[str, Any]


class Kept:
    """Files of JSON lines in one folder, one line for each item.

    Args:
        folder: of one checkpoint's results.
        at_most: items that are measured of each list; None: all.
    """

    def __init__(self, folder: Path, at_most: int | None = None) -> None:
        self.folder, self.at_most = folder, at_most

    def each(
        self, name: str, items: Mapping[str, Item], measure: Callable[[Item], Result]
    ) -> dict[str, Result]:
        """Return the result of each item by its key, measuring those that are not in file `name` yet."""
        path = self.folder / f"{name}.jsonl"
        known = _read(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        wanted = dict(list(items.items())[: self.at_most])
        with path.open("a", encoding="utf-8") as file:
            for key, item in wanted.items():
                if key not in known:
                    known[key] = measure(item)
                    file.write(json.dumps({"key": key, **known[key]}) + "\n")
                    file.flush()
        return {key: known[key] for key in wanted}

    def found(self, name: str, texts: Iterable[str], measure: Callable[[str], Result]) -> list[Result]:
        """Return what was measured of each text; texts with an empty result are left out."""
        return [result for result in self.each(name, {t: t for t in texts}, measure).values() if result]


def _read(path: Path) -> dict[str, Result]:
    known: dict[str, Result] = {}
    if not path.exists():
        return known
    whole, _, begun = path.read_text(encoding="utf-8").rpartition("\n")
    if begun:  # a line that was not finished
        path.write_text(whole + "\n" if whole else "", encoding="utf-8")
    for line in whole.splitlines():
        result = json.loads(line)
        known[result.pop("key")] = result
    return known
