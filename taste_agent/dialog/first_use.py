"""What the first use of a checkpoint from a hub means: told before it is downloaded.

Importing this is cheap; torch and the hub's client are loaded when there is something to tell.
"""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from taste_agent.config import ModelSettings

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
# Weights, and what computing with them takes besides.
MEMORY_PER_WEIGHTS = 1.2
# From here on a CPU needs longer for a word than the word lasts.
SLOW_ON_CPU_PARAMETERS = 300e6
# Of the types that a model is loaded as.
BYTES_PER_PARAMETER = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class HubCheckpoint:
    """What a hub says about a checkpoint: sizes of all that is used of it, and of both parts' weights."""

    download_bytes: int
    model_bytes: int
    voice_bytes: int
    parameters: int | None
    """Of the model; None where the hub has not counted them."""
    has_recognizer: bool


@dataclass(frozen=True)
class Machine:
    """The machine that a checkpoint is loaded on: its device, number type and download folder."""

    device: str
    device_name: str
    number: str
    free_memory_bytes: int | None
    """Where the weights go; None where the system does not say."""
    cache: Path
    free_disk_bytes: int


def announce_first_use(
    settings: ModelSettings,
    tell: Callable[[str], object] | None = None,
    ask: Callable[[str], HubCheckpoint] | None = None,
    look: Callable[[ModelSettings], Machine] | None = None,
) -> bool:
    """Tell what a download that is about to begin means; returns whether there was anything to tell.

    Nothing is told about folders, shipped checkpoints and what was downloaded before.

    Args:
        settings: name the checkpoint and where it shall run.
        tell: takes one line; None: standard error.
        ask: asks a hub about a checkpoint; None: `ask_hub`. Whatever it raises is told as the reason.
        look: None: `this_machine`.
    """
    name = settings.checkpoint
    if not is_on_hub(name) or is_downloaded(name):
        return False
    found: HubCheckpoint | str
    try:
        found = (ask or ask_hub)(name)
    except Exception as error:  # no network, no such name, ...: loading explains it; telling must not fail
        found = " ".join(str(error).split()).split(". ")[0] or type(error).__name__
    for line in first_use_lines(name, found, (look or this_machine)(settings)):
        (tell or (lambda text: sys.stderr.write(f"{text}\n")))(line)
    return True


def is_on_hub(name: str) -> bool:
    """Whether `name` can only be a checkpoint of a hub (owner/name)."""
    return name.count("/") == 1 and not name.startswith((".", "/", "~")) and not Path(name).exists()


def is_downloaded(name: str) -> bool:
    """Whether a checkpoint of a hub, with weights, is among the downloads."""
    from huggingface_hub import try_to_load_from_cache

    try:
        config = try_to_load_from_cache(name, "config.json")
    except ValueError:  # no valid name
        return False
    return isinstance(config, str) and any(Path(config).parent.glob("model*.safetensors"))


def ask_hub(name: str) -> HubCheckpoint:
    """Size of a checkpoint as the hub knows it; downloads nothing.

    Raises:
        Exception: of the hub's client; the hub cannot be reached, or there is no such checkpoint.
    """
    import huggingface_hub

    info = huggingface_hub.HfApi().model_info(name, files_metadata=True, timeout=LOOKUP_LIMIT_S)
    counted = info.safetensors.total if info.safetensors else None
    return hub_checkpoint({file.rfilename: file.size or 0 for file in info.siblings or []}, counted)


def hub_checkpoint(sizes: dict[str, int], parameters: int | None) -> HubCheckpoint:
    """From the sizes in bytes of all files of a repository, by name."""
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
    """The machine that this runs on.

    Raises:
        AgentError: the device of the settings is not there.
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
    """What a checkpoint needs in use: its parameters as that number type, its voice in float32.

    Where the parameters are not counted, the model is taken for as large as its files.
    """
    counted = found.parameters
    model = found.model_bytes if counted is None else counted * BYTES_PER_PARAMETER[number]
    return MEMORY_PER_WEIGHTS * (model + found.voice_bytes)


def first_use_lines(name: str, found: HubCheckpoint | str, machine: Machine) -> list[str]:
    """What to tell about a checkpoint; `found` is the reason where the hub could not be asked."""
    free, number = machine.free_memory_bytes, machine.number
    memory = f"{machine.device_name} has {'an unknown amount of it' if free is None else f'{_gb(free)} free'}"
    if isinstance(found, str):
        return [
            f"first use of {name}: its size could not be asked ({found}); "
            f"{_gb(machine.free_disk_bytes)} are free for it in {machine.cache}",
            f"it needs {BYTES_PER_PARAMETER[number]} GB of memory for each billion of its parameters "
            f"as {number}; {memory}",
        ]
    room = "" if machine.free_disk_bytes > found.download_bytes else ", which is not enough"
    missing = "; the model that recognizes speech for it comes on top", ", that model not counted"
    on_top, uncounted = ("", "") if found.has_recognizer else missing
    needed = memory_bytes(found, number)
    verdict = ": that is enough"
    if free is not None and needed > free:
        verdict = ": that is not enough; stop with Ctrl-C and use the shipped checkpoint, or a larger machine"
    elif machine.device == "cpu" and (found.parameters or found.model_bytes / 4) > SLOW_ON_CPU_PARAMETERS:
        verdict = "; a model of this size answers slowly on a CPU, use a GPU (--device cuda) for talking"
    return [
        f"first use of {name}: downloads {_gb(found.download_bytes)} to {machine.cache} "
        f"({_gb(machine.free_disk_bytes)} free{room}){on_top}",
        f"it needs about {_gb(needed)} of memory as {number}{uncounted}; {memory}{verdict}",
    ]


def _gb(count: float) -> str:
    return f"{count / 1e9:.1f} GB"
