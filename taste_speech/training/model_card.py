"""The README.md of an assembled checkpoint."""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from taste_speech.modeling_taste import TasteForCausalLM

MEASURED_START, MEASURED_END = "<!-- measured -->", "<!-- end of measured -->"
"""What `evaluate` measures stands between these lines; a later assembly keeps it."""
_CARD = """# {name}: a small TASTE spoken language model

Trained from scratch by the recipe of this project (`python -m taste_speech.training run
configs/train/small.yaml`) on synthetic speech of flite, espeak-ng, festival and RHVoice and on dialogue text
written for it. It hears English, answers everyday questions, and speaks in one voice (flite's `rms`). It is a
demonstration of the architecture, not an assistant to rely on: it knows the few hundred kinds of question
that it was trained on.

| part | parameters |
|---|---|
{parameters}

Weights are stored in half precision. {state}

{measured}
"""


def parameter_count(module: nn.Module) -> int:
    """Number of parameters of a module."""
    return sum(parameter.numel() for parameter in module.parameters())


def write_model_card(
    folder: Path, model: TasteForCausalLM, voice_generator: nn.Module, provisional: Sequence[str]
) -> None:
    """Write `README.md`, keeping the measurements of an earlier one."""
    path = folder / "README.md"
    measured = f"{MEASURED_START}\nNot measured yet.\n{MEASURED_END}"
    if path.exists():
        text = path.read_text()
        start, end = text.find(MEASURED_START), text.find(MEASURED_END)
        measured = text[start : end + len(MEASURED_END)] if 0 <= start < end else measured
    modules = {
        "audio tower": model.audio_tower,
        "spoken language model": model.spoken_lm,
        "unit decoder": model.speech_decoder,
        "voice generator": voice_generator,
    }
    rows = "\n".join(f"| {name} | {parameter_count(module):,} |" for name, module in modules.items())
    unfinished = f"Not yet fully trained: {', '.join(provisional)}."
    written = "Every stage has written its weights; one that is stopped early writes those it has."
    state = unfinished if provisional else written
    path.write_text(_CARD.format(name=folder.name, parameters=rows, state=state, measured=measured))
