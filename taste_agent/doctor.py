"""What is wrong with this machine, as far as talking is concerned. Each check is a function of its own."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from taste_agent.config import AgentSettings
from taste_agent.errors import AgentError
from taste_speech.errors import TasteError

MIN_PYTHON = (3, 11)
MIN_FREE_GB = 2.0
LISTEN_S = 1.0
PACKAGES = ("soundfile", "soxr", "webrtcvad", "rich")


@dataclass(frozen=True)
class Finding:
    """The result of one check: `ok`, `warning` (works, with less) or `failed`, and what to do about it."""

    name: str
    status: str
    detail: str
    advice: str = ""


def diagnose(settings: AgentSettings) -> Iterable[Finding]:
    """All findings, one after the other."""
    checks: tuple[Callable[[AgentSettings], Finding], ...] = (
        check_python,
        check_torch,
        check_device,
        check_packages,
        check_portaudio,
        check_microphone,
        check_loudspeaker,
        check_canceller,
        check_checkpoint,
        check_whisper,
        check_disk,
        check_terminal,
    )
    for check in checks:
        try:
            yield check(settings)
        except Exception as error:  # a broken machine must not keep the other checks from running
            name = check.__name__.removeprefix("check_").replace("_", " ")
            yield Finding(name, "failed", f"{type(error).__name__}: {error}", "see the message")


def check_python(settings: AgentSettings) -> Finding:
    """Version and platform."""
    version = sys.version_info[:2]
    detail = f"{platform.python_version()} on {platform.platform()}"
    if version < MIN_PYTHON:
        return Finding("python", "failed", detail, "install Python 3.11 or newer")
    return Finding("python", "ok", detail)


def check_torch(settings: AgentSettings) -> Finding:
    """PyTorch and its threads."""
    import torch

    threads = settings.model.threads or torch.get_num_threads()
    return Finding("torch", "ok", f"{torch.__version__}, {threads} CPU threads of {os.cpu_count()}")


def check_device(settings: AgentSettings) -> Finding:
    """Where the model would run."""
    import torch

    from taste_agent.dialog.torch_device import choose_device

    try:
        device = choose_device(settings.model.device)
    except AgentError as error:
        return Finding("model device", "failed", str(error), "change model.device or --device")
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info()
        name = torch.cuda.get_device_name()
        return Finding("model device", "ok", f"{name}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free")
    if device.type == "cpu":
        advice = "the shipped checkpoint answers in time on a CPU; V0 needs a GPU"
        return Finding("model device", "ok", "cpu (no GPU is used)", advice)
    return Finding("model device", "ok", device.type)


def check_packages(settings: AgentSettings) -> Finding:
    """Python packages with native parts."""
    missing = []
    for name in PACKAGES:
        try:
            importlib.import_module(name)
        except Exception as error:
            missing.append(f"{name} ({error})")
    if missing:
        return Finding(
            "packages", "failed", ", ".join(missing), "run `pip install --force-reinstall taste-agent`"
        )
    return Finding("packages", "ok", ", ".join(PACKAGES))


def check_portaudio(settings: AgentSettings) -> Finding:
    """The audio library."""
    from taste_agent.audio.devices import portaudio

    try:
        return Finding("portaudio", "ok", str(portaudio().get_portaudio_version()[1]))
    except AgentError as error:
        detail, _, advice = str(error).partition("; ")
        return Finding("portaudio", "failed", detail, advice)


def check_microphone(settings: AgentSettings) -> Finding:
    """The input device that `chat` would take, and what it gives."""
    from taste_agent.audio.microphone_level import listen, verdict

    finding = _check_side("microphone", settings.devices.input, "input")
    if finding.status != "ok":
        return finding
    level = listen(settings.devices, LISTEN_S)
    detail = f"{finding.detail}, loudest {level.loudest_dbfs:.0f} dB in {LISTEN_S:.0f} s"
    advice = verdict(level)
    return Finding("microphone", "warning" if advice else "ok", detail, advice)


def check_loudspeaker(settings: AgentSettings) -> Finding:
    """The output device that `chat` would take."""
    return _check_side("loudspeaker", settings.devices.output, "output")


def _check_side(name: str, wanted: str, direction: str) -> Finding:
    from taste_agent.audio.devices import find_device, list_devices, portaudio

    advice = "`taste-agent devices` lists what there is"
    try:
        device = find_device(list_devices(), wanted, "input" if direction == "input" else "output")
        check = getattr(portaudio(), f"check_{direction}_settings")
        check(device=device.index, channels=1, dtype="float32", samplerate=device.default_rate_hz)
    except Exception as error:
        return Finding(name, "failed", str(error), advice)
    return Finding(name, "ok", f"{device.name} ({device.host_api}, {device.default_rate_hz} Hz)")


def check_canceller(settings: AgentSettings) -> Finding:
    """Echo cancellation."""
    import numpy as np

    from taste_agent.audio.echo import EchoUnavailableError, WebRtcCanceller

    try:
        canceller = WebRtcCanceller()
        frame = np.zeros(canceller.frame_samples, dtype=np.float32)
        canceller.process(frame, frame)
    except (EchoUnavailableError, RuntimeError) as error:
        advice = "wear headphones and set echo.mode to headphones, or do without interrupting"
        return Finding("echo cancellation", "warning", str(error), advice)
    if settings.echo.mode in ("auto", "webrtc"):
        return Finding("echo cancellation", "ok", "WebRTC")
    return Finding("echo cancellation", "warning", f"works, but echo.mode is {settings.echo.mode}")


def check_checkpoint(settings: AgentSettings) -> Finding:
    """The model's files, without a download; those in a folder are loaded."""
    from taste_agent.dialog.first_use import is_downloaded, is_on_hub
    from taste_speech.conversion.hub import SHIPPED, shipped_names

    name = settings.model.checkpoint
    folder = Path(name) if Path(name).is_dir() else SHIPPED / name
    if (folder / "config.json").is_file():
        return _check_folder(name, folder)
    if is_on_hub(name):
        if is_downloaded(name):
            return Finding("checkpoint", "ok", f"{name}: downloaded")
        advice = "it is downloaded at its first use, which says how much that is"
        return Finding("checkpoint", "warning", f"{name}: not downloaded yet", advice)
    shipped = ", ".join(shipped_names()) or "none"
    return Finding(
        "checkpoint",
        "failed",
        f"{name} is no folder",
        f"give --model a folder, hub id or shipped name ({shipped})",
    )


def _check_folder(name: str, folder: Path) -> Finding:
    from taste_speech import TasteForCausalLM, TasteProcessor

    try:
        _ = TasteForCausalLM.from_pretrained(folder).voice
        processor = TasteProcessor.from_pretrained(folder)
        _ = processor.llm_tokenizer, processor.audio_tokenizer
    except Exception as error:  # a damaged file fails in ways of its own
        text = " ".join(str(error).split())
        return Finding("checkpoint", "failed", f"{name}: {text}", "fetch it again, or give another --model")
    size_mb = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    return Finding("checkpoint", "ok", f"{name}: {size_mb:.0f} MB at {folder}, loads")


def check_whisper(settings: AgentSettings) -> Finding:
    """The package with Whisper for English, which the shipped checkpoint hears with."""
    from taste_agent.dialog.first_use import is_on_hub
    from taste_speech.pretrained.whisper import TINY_EN_FILES

    try:
        for file in TINY_EN_FILES:
            file.find()
    except TasteError as error:
        detail, _, advice = str(error).partition("; ")
        status = "warning" if is_on_hub(settings.model.checkpoint) else "failed"
        return Finding("whisper", status, detail, advice)
    return Finding("whisper", "ok", f"{TINY_EN_FILES[0].distribution} {TINY_EN_FILES[0].version}")


def check_disk(settings: AgentSettings) -> Finding:
    """Room for recordings and downloads."""
    free_gb = shutil.disk_usage(Path.cwd()).free / 1e9
    if free_gb < MIN_FREE_GB:
        return Finding("disk", "warning", f"{free_gb:.1f} GB free", "free some space before you record")
    return Finding("disk", "ok", f"{free_gb:.0f} GB free here")


def check_terminal(settings: AgentSettings) -> Finding:
    """Whether the live view can be drawn."""
    size = shutil.get_terminal_size()
    detail = f"{size.columns}x{size.lines}, {sys.stdout.encoding}"
    if not sys.stdout.isatty():
        return Finding("terminal", "warning", "no terminal", "chat then writes plain lines")
    if size.columns < 80 or size.lines < 24:
        return Finding("terminal", "warning", detail, "80x24 or more shows everything")
    return Finding("terminal", "ok", detail)
