"""Checking, announcing and loading a checkpoint. Importing this loads neither torch nor the hub's client."""

import gc
import importlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

from taste_agent.config import AgentSettings, ModelSettings
from taste_agent.dialog.brain import Brain
from taste_agent.errors import signals_held
from taste_speech import collector_paused
from taste_speech.conversion.hub import find_checkpoint, require_file
from taste_speech.errors import AudioError

VOICE_FILES = ("voice_generator*.safetensors", "cosyvoice/voice_generator.*")
OTHER_FILES = (
    "llama_tokenizer/*",
    "asr/*",
    "voices.safetensors",
    "turn_end.safetensors",
    "cosyvoice/speaker_embed.onnx",
)
RECOGNIZER_FILE = "asr/model*.safetensors"
LOOKUP_LIMIT_S = 10.0
# Memory in use per byte of weights.
MEMORY_PER_WEIGHTS = 1.2
# Above this, a CPU takes longer to generate a word than the word lasts.
SLOW_ON_CPU_PARAMETERS = 300e6
BYTES_PER_PARAMETER = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class HubCheckpoint:
    """Sizes of a checkpoint on a hub: of all files used, and of the weights of model and voice."""

    download_bytes: int
    model_bytes: int
    voice_bytes: int
    parameters: int | None
    """Parameters of the model; None if the hub does not report them."""
    has_recognizer: bool


@dataclass(frozen=True)
class Machine:
    """The machine that loads a checkpoint: its device, number type and download folder."""

    device: str
    device_name: str
    number: str
    free_memory_bytes: int | None
    """Free memory of the device; None if unknown."""
    cache: Path
    free_disk_bytes: int


def check_names(settings: AgentSettings) -> None:
    """Check that the checkpoint and the voice in the settings exist.

    Raises:
        CheckpointError: there is no such checkpoint, and its name cannot be one on the hub.
        AudioError: the voice is neither an existing recording nor one of the checkpoint's voices.
    """
    name, voice = settings.model.checkpoint, settings.dialog.voice
    voices: list[str] = []
    if not is_on_hub(name):
        folder = find_checkpoint(name)
        require_file(folder, "config.json", name)
        voices = _fixed_voices(folder)
    if (os.sep in voice or Path(voice).suffix) and not Path(voice).exists():
        raise AudioError(f"the recording {voice} does not exist; give --voice a recording or a voice's name")
    if voices and voice and voice not in voices and not Path(voice).exists():
        raise AudioError(
            f"no voice and no audio file {voice!r}; voices of this checkpoint: {', '.join(sorted(voices))}"
        )


def _fixed_voices(folder: Path) -> list[str]:
    """Return the names of a checkpoint's fixed voices, or none if the file is damaged or missing."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(folder / "voices.safetensors", framework="np") as file:
            return list(file.keys())
    except (OSError, SafetensorError):
        return []


def announce_first_use(
    settings: ModelSettings,
    tell: Callable[[str], object] | None = None,
    ask: Callable[[str], HubCheckpoint] | None = None,
    look: Callable[[ModelSettings], Machine] | None = None,
) -> bool:
    """Describe the download of a checkpoint that is about to begin; return whether there is one.

    Folders, shipped checkpoints and earlier downloads are not announced.

    Args:
        settings: the checkpoint and the device.
        tell: takes one line; prints to standard error by default.
        ask: queries a hub, `ask_hub` by default; the text of any exception is shown as the reason.
        look: describes the machine, `this_machine` by default.
    """
    name = settings.checkpoint
    if not is_on_hub(name) or is_downloaded(name):
        return False
    found: HubCheckpoint | str
    try:
        found = (ask or ask_hub)(name)
    except Exception as error:  # no network, no such name, ...: loading will explain it
        found = " ".join(str(error).split()).split(". ")[0] or type(error).__name__
    for line in first_use_lines(name, found, (look or this_machine)(settings)):
        (tell or (lambda text: sys.stderr.write(f"{text}\n")))(line)
    return True


def is_on_hub(name: str) -> bool:
    """Return whether `name` can only mean a checkpoint on a hub (owner/name)."""
    return name.count("/") == 1 and not name.startswith((".", "/", "~")) and not Path(name).exists()


def is_downloaded(name: str) -> bool:
    """Return whether a checkpoint of a hub has been downloaded, including its weights."""
    from huggingface_hub import try_to_load_from_cache

    try:
        config = try_to_load_from_cache(name, "config.json")
    except ValueError:  # no valid name
        return False
    return isinstance(config, str) and any(Path(config).parent.glob("model*.safetensors"))


def ask_hub(name: str) -> HubCheckpoint:
    """Ask the hub for the sizes of a checkpoint, without downloading it.

    Raises:
        Exception: from the hub's client, if the hub cannot be reached or has no such checkpoint.
    """
    import huggingface_hub

    info = huggingface_hub.HfApi().model_info(name, files_metadata=True, timeout=LOOKUP_LIMIT_S)
    counted = info.safetensors.total if info.safetensors else None
    return hub_checkpoint({file.rfilename: file.size or 0 for file in info.siblings or []}, counted)


def hub_checkpoint(sizes: dict[str, int], parameters: int | None) -> HubCheckpoint:
    """Sum up the sizes in bytes of a repository's files."""
    from taste_speech.conversion.hub import MODEL_FILES

    def size_of(*patterns: str) -> int:
        return sum(size for file, size in sizes.items() if any(fnmatch(file, p) for p in patterns))

    return HubCheckpoint(
        size_of(*MODEL_FILES, *VOICE_FILES, *OTHER_FILES),
        size_of(*MODEL_FILES),
        size_of(*VOICE_FILES),
        parameters,
        any(fnmatch(file, RECOGNIZER_FILE) for file in sizes),
    )


def this_machine(settings: ModelSettings) -> Machine:
    """Describe this machine.

    Raises:
        AgentError: the device of the settings is not available.
    """
    import torch
    from huggingface_hub.constants import HF_HUB_CACHE

    from taste_agent.dialog.loading import choose_device, loaded_type, number_type

    device, cache = choose_device(settings.device), Path(HF_HUB_CACHE)
    names, free = {"cpu": "the CPU", "mps": "the GPU"}, _free_memory_bytes
    if device.type == "cuda":
        names, free = {"cuda": torch.cuda.get_device_name()}, lambda: torch.cuda.mem_get_info()[0]
    there = next(folder for folder in (cache, *cache.parents) if folder.exists())
    number = loaded_type(number_type(settings.dtype, device), device)
    return Machine(device.type, names[device.type], number, free(), cache, shutil.disk_usage(there).free)


def _free_memory_bytes() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return None


def memory_bytes(found: HubCheckpoint, number: str) -> float:
    """Return the memory that a checkpoint takes: parameters in the number type, the voice in float32.

    If the number of parameters is unknown, the size of the model's files is used.
    """
    counted = found.parameters
    model = found.model_bytes if counted is None else counted * BYTES_PER_PARAMETER[number]
    return MEMORY_PER_WEIGHTS * (model + found.voice_bytes)


def first_use_lines(name: str, found: HubCheckpoint | str, machine: Machine) -> list[str]:
    """Return the announcement of a checkpoint; `found` is the reason if the hub gave no answer."""
    free, number = machine.free_memory_bytes, machine.number
    memory = f"{machine.device_name} has {'an unknown amount' if free is None else _gb(free)} free"
    if isinstance(found, str):
        return [
            f"first use of {name}: the hub did not give its size ({found}); "
            f"{machine.cache} has {_gb(machine.free_disk_bytes)} free",
            f"it needs {BYTES_PER_PARAMETER[number]} GB of memory per billion parameters as {number}; "
            f"{memory}",
        ]
    room = "" if machine.free_disk_bytes > found.download_bytes else ", which is not enough"
    missing = "; its speech recognizer is downloaded in addition", " without the recognizer"
    on_top, uncounted = ("", "") if found.has_recognizer else missing
    needed = memory_bytes(found, number)
    verdict = ": that is enough"
    if free is not None and needed > free:
        verdict = ": that is not enough; stop with Ctrl-C and use the shipped checkpoint, or a larger machine"
    elif machine.device == "cpu" and (found.parameters or found.model_bytes / 4) > SLOW_ON_CPU_PARAMETERS:
        verdict = "; a model of this size answers slowly on a CPU; use a GPU (--device cuda) to talk to it"
    return [
        f"first use of {name}: downloads {_gb(found.download_bytes)} to {machine.cache} "
        f"({_gb(machine.free_disk_bytes)} free{room}){on_top}",
        f"it needs about {_gb(needed)} of memory as {number}{uncounted}; {memory}{verdict}",
    ]


def _gb(count: float) -> str:
    return f"{count / 1e9:.1f} GB"


def prepare(settings: AgentSettings) -> None:
    """Import PyTorch and check the device of the settings.

    This is the only step of loading that blocks all other threads, for a third of a second.

    Raises:
        AgentError: the device is not available, or does not support the number type.
    """
    with _left_out_of_collections(), signals_held():
        importlib.import_module("torch")
    from taste_agent.dialog.loading import device_of

    device_of(settings.model)


def load_brain(settings: AgentSettings, speaks: bool = True) -> Brain:
    """Load the checkpoint of the settings with its recognizer and, if it `speaks`, its voice.

    Raises:
        TasteError: the checkpoint cannot be loaded.
        AgentError: the device or the voice does not exist.
    """
    with _left_out_of_collections():
        with signals_held():
            from taste_agent.dialog.taste_brain import load_brain as load  # takes seconds

        return load(settings, speaks)


def load_for_talks(settings: AgentSettings) -> Callable[[AgentSettings], Brain]:
    """Load a checkpoint for many talks, one after another; return what begins a talk without history.

    Raises:
        TasteError: the checkpoint cannot be loaded.
        AgentError: the device does not exist.
    """
    with _left_out_of_collections():
        with signals_held():
            from taste_agent.dialog.loading import load_model
            from taste_agent.dialog.taste_brain import TasteBrain

        return partial(TasteBrain, *load_model(settings.model))


@contextmanager
def _left_out_of_collections() -> Iterator[None]:
    """Pause the garbage collector, and exclude all objects created so far from later collections.

    Otherwise each full collection during a talk would block all threads for a quarter of a second.
    """
    with collector_paused():
        try:
            yield
        finally:
            gc.freeze()
