"""`taste-agent doctor`: checks whether this machine can hold a conversation, and suggests fixes."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from taste_agent.config import AgentSettings
from taste_agent.errors import AgentError
from taste_agent.ui.terminal import native_stderr_silenced
from taste_speech.errors import TasteError

if TYPE_CHECKING:
    from taste_speech.pretrained.packaged import PackagedFile

MIN_PYTHON = (3, 11)
MIN_FREE_GB = 2.0
LISTEN_S = 1.0
PACKAGES = ("soundfile", "soxr", "webrtcvad", "rich")
STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red"}


@dataclass(frozen=True)
class Finding:
    """The result of one check. `status` is `ok`, `warning` (works, with limits) or `failed`."""

    name: str
    status: str
    detail: str
    advice: str = ""


def show_diagnosis(settings: AgentSettings) -> bool:
    """Print all findings and return True if nothing failed."""
    findings: list[Finding] = []
    with native_stderr_silenced():
        for finding in diagnose(settings):
            findings.append(finding)
            if finding.name == "portaudio" and finding.status == "ok":
                sys.stderr.write("listening for a second: say something\n")
    table = Table(show_header=False, box=None, padding=(0, 1))
    for _ in range(3):
        table.add_column(overflow="fold")
    for finding in findings:
        detail = Text(finding.detail)
        if finding.advice:
            detail.append(f"\n→ {finding.advice}", style="dim" if finding.status == "ok" else "yellow")
        table.add_row(Text(finding.status, style=STYLES[finding.status]), Text(finding.name), detail)
    Console(highlight=False).print(table)
    return all(finding.status != "failed" for finding in findings)


def diagnose(settings: AgentSettings) -> Iterable[Finding]:
    """Yield the findings of all checks."""
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
        check_smollm2,
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
    """Check the version of Python."""
    detail = f"{platform.python_version()} on {platform.platform()}"
    if sys.version_info[:2] < MIN_PYTHON:
        return Finding("python", "failed", detail, "install Python 3.11 or newer")
    return Finding("python", "ok", detail)


def check_torch(settings: AgentSettings) -> Finding:
    """Check PyTorch and its threads."""
    import torch

    threads = settings.model.threads or torch.get_num_threads()
    return Finding("torch", "ok", f"{torch.__version__}, {threads} CPU threads of {os.cpu_count()}")


def check_device(settings: AgentSettings) -> Finding:
    """Check the device that the model would run on."""
    import torch

    from taste_agent.dialog.loading import choose_device

    try:
        device = choose_device(settings.model.device)
    except AgentError as error:
        return Finding("model device", "failed", str(error), "change --device or the setting model.device")
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info()
        name = torch.cuda.get_device_name()
        return Finding("model device", "ok", f"{name}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free")
    if device.type == "cpu":
        advice = "the shipped checkpoint is fast enough on a CPU; V0 needs a GPU"
        return Finding("model device", "ok", "cpu (no GPU is used)", advice)
    return Finding("model device", "ok", device.type)


def check_packages(settings: AgentSettings) -> Finding:
    """Check the Python packages with native code."""
    missing = []
    for name in PACKAGES:
        try:
            importlib.import_module(name)
        except Exception as error:
            missing.append(f"{name} ({error})")
    if missing:
        advice = "run `pip install --force-reinstall taste-agent`"
        return Finding("packages", "failed", ", ".join(missing), advice)
    return Finding("packages", "ok", ", ".join(PACKAGES))


def check_portaudio(settings: AgentSettings) -> Finding:
    """Check PortAudio."""
    from taste_agent.audio.devices import portaudio

    try:
        return Finding("portaudio", "ok", str(portaudio().get_portaudio_version()[1]))
    except AgentError as error:
        detail, _, advice = str(error).partition("; ")
        return Finding("portaudio", "failed", detail, advice)


def check_microphone(settings: AgentSettings) -> Finding:
    """Check the input device that `chat` would use, and its level."""
    from taste_agent.audio.microphone import listen, verdict

    finding = _check_side("microphone", settings.devices.input, "input")
    if finding.status != "ok":
        return finding
    level = listen(settings.devices, LISTEN_S)
    detail = f"{finding.detail}, loudest {level.loudest_dbfs:.0f} dB in {LISTEN_S:.0f} s"
    advice = verdict(level)
    return Finding("microphone", "warning" if advice else "ok", detail, advice)


def check_loudspeaker(settings: AgentSettings) -> Finding:
    """Check the output device that `chat` would use."""
    return _check_side("loudspeaker", settings.devices.output, "output")


def _check_side(name: str, wanted: str, direction: str) -> Finding:
    from taste_agent.audio.devices import find_device, list_devices, portaudio

    try:
        device = find_device(list_devices(), wanted, "input" if direction == "input" else "output")
        check = getattr(portaudio(), f"check_{direction}_settings")
        check(device=device.index, channels=1, dtype="float32", samplerate=device.default_rate_hz)
    except Exception as error:
        return Finding(name, "failed", str(error), "`taste-agent devices` lists the devices")
    return Finding(name, "ok", f"{device.name} ({device.host_api}, {device.default_rate_hz} Hz)")


def check_canceller(settings: AgentSettings) -> Finding:
    """Check echo cancellation."""
    import numpy as np

    from taste_agent.audio.echo import FRAME_SAMPLES, EchoUnavailableError, WebRtcCanceller

    name = "echo cancellation"
    try:
        canceller = WebRtcCanceller()
        frame = np.zeros(FRAME_SAMPLES, dtype=np.float32)
        canceller.process(frame, frame)
    except (EchoUnavailableError, RuntimeError) as error:
        advice = "wear headphones and set echo.mode to headphones, or use half duplex"
        return Finding(name, "warning", str(error), advice)
    if settings.echo.mode in ("auto", "webrtc"):
        return Finding(name, "ok", "WebRTC")
    return Finding(name, "warning", f"works, but echo.mode is {settings.echo.mode}")


def check_checkpoint(settings: AgentSettings) -> Finding:
    """Check the model's files. Files in a folder are loaded; nothing is downloaded."""
    from taste_agent.dialog.brain_loader import is_downloaded, is_on_hub
    from taste_speech.conversion.hub import SHIPPED, shipped_names

    name = settings.model.checkpoint
    folder = Path(name) if Path(name).is_dir() else SHIPPED / name
    if (folder / "config.json").is_file():
        return _check_folder(name, folder)
    if not is_on_hub(name):
        advice = f"give --model a folder, hub id or shipped name ({', '.join(shipped_names()) or 'none'})"
        return Finding("checkpoint", "failed", f"{name} does not exist", advice)
    if is_downloaded(name):
        return Finding("checkpoint", "ok", f"{name}: downloaded")
    advice = "it is downloaded on first use; its size is shown first"
    return Finding("checkpoint", "warning", f"{name}: not downloaded yet", advice)


def _check_folder(name: str, folder: Path) -> Finding:
    from taste_speech import TasteForCausalLM, TasteProcessor

    try:
        _ = TasteForCausalLM.from_pretrained(folder).voice
        processor = TasteProcessor.from_pretrained(folder)
        _ = processor.llm_tokenizer, processor.audio_tokenizer
    except Exception as error:  # a damaged file can fail in any way
        text = " ".join(str(error).split())
        return Finding("checkpoint", "failed", f"{name}: {text}", "get it again, or give another --model")
    size_mb = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    return Finding("checkpoint", "ok", f"{name}: {size_mb:.0f} MB in {folder}, loads")


def check_whisper(settings: AgentSettings) -> Finding:
    """Check the package with the English Whisper model, the recognizer of the shipped checkpoint."""
    from taste_speech.pretrained.whisper import TINY_EN_FILES

    return _check_weights("whisper", TINY_EN_FILES, settings)


def check_smollm2(settings: AgentSettings) -> Finding:
    """Check the package with SmolLM2, the language model of the shipped checkpoint."""
    from taste_speech.pretrained.smollm2 import SMOLLM2_FILE

    return _check_weights("smollm2", (SMOLLM2_FILE,), settings)


def _check_weights(name: str, files: Sequence[PackagedFile], settings: AgentSettings) -> Finding:
    from taste_agent.dialog.brain_loader import is_on_hub

    try:
        for file in files:
            file.find()
    except TasteError as error:
        detail, _, advice = str(error).partition("; ")
        return Finding(name, "warning" if is_on_hub(settings.model.checkpoint) else "failed", detail, advice)
    return Finding(name, "ok", f"{files[0].distribution} {files[0].version}")


def check_disk(settings: AgentSettings) -> Finding:
    """Check the free space for recordings and downloads."""
    free_gb = shutil.disk_usage(Path.cwd()).free / 1e9
    if free_gb < MIN_FREE_GB:
        return Finding("disk", "warning", f"{free_gb:.1f} GB free", "free some space before you record")
    return Finding("disk", "ok", f"{free_gb:.0f} GB free here")


def check_terminal(settings: AgentSettings) -> Finding:
    """Check whether the live screen can be drawn."""
    size = shutil.get_terminal_size()
    detail = f"{size.columns}x{size.lines}, {sys.stdout.encoding}"
    if not sys.stdout.isatty():
        return Finding("terminal", "warning", "no terminal", "chat writes plain lines instead")
    if size.columns < 80 or size.lines < 24:
        return Finding("terminal", "warning", detail, "make it 80x24 or larger to see everything")
    return Finding("terminal", "ok", detail)
