"""The README.md of an assembled checkpoint."""

from collections.abc import Mapping, Sequence
from pathlib import Path

MEASURED_START, MEASURED_END = "<!-- measured -->", "<!-- end of measured -->"
"""The lines around the results of `evaluate`, which a later assembly keeps."""
_TEMPLATE = Path(__file__).with_name("model_card_template.md")
_START = """

Training went on from an earlier checkpoint; parts that no stage trained are those of that checkpoint."""


def _split(text: str) -> tuple[str, str, str] | None:
    """Return the text before the results, the results, and the text after them."""
    if not 0 <= text.find(MEASURED_START) < text.find(MEASURED_END):
        return None
    before, _, rest = text.partition(MEASURED_START)
    measured, _, after = rest.partition(MEASURED_END)
    return before, measured.strip("\n"), after


def write_measured(folder: Path, measured: str) -> None:
    """Write results into the card of a folder: in place of the earlier ones, or at the end."""
    path = folder / "README.md"
    text = path.read_text() if path.exists() else ""
    before, _, after = _split(text) or (f"{text}\n", "", "\n")
    path.write_text(f"{before}{MEASURED_START}\n{measured}\n{MEASURED_END}{after}")


def write_model_card(
    folder: Path, parameters: Mapping[str, int], provisional: Sequence[str], has_start: bool = False
) -> None:
    """Write `README.md`, keeping the results of an earlier one.

    Args:
        parameters: number of parameters of each part.
        provisional: parts that are not fully trained.
        has_start: whether training began with another checkpoint.
    """
    path = folder / "README.md"
    earlier = _split(path.read_text()) if path.exists() else None
    measured = earlier[1] if earlier else "Not measured yet."
    card = _TEMPLATE.read_text(encoding="utf-8").format(
        name=folder.name,
        parameters="\n".join(f"| {name} | {count:,} |" for name, count in parameters.items()),
        state=f"Not yet fully trained: {', '.join(provisional)}." if provisional else "",
        measured=f"{MEASURED_START}\n{measured}\n{MEASURED_END}",
        start=_START if has_start else "",
    )
    path.write_text(card)
