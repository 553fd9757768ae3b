"""`taste-agent devices`: lists sound devices, plays a test tone, shows the microphone's level."""

from __future__ import annotations

import time

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from taste_agent.audio.devices import DeviceList, list_devices
from taste_agent.audio.loudspeaker import DeviceSink
from taste_agent.audio.microphone import DeviceSource, MicrophoneLevel, verdict
from taste_agent.audio.sound_card import SoundCard
from taste_agent.clock import ENGINE_RATE_HZ
from taste_agent.config import DeviceSettings
from taste_agent.errors import AudioDeviceError
from taste_agent.turns.vad import level_dbfs
from taste_agent.ui.live import level_bar
from taste_agent.ui.terminal import native_stderr_silenced

TONE_HZ = 440.0
TONE_DBFS = -18.0
FADE_S = 0.05
BAR_CELLS = 40
LISTEN_S = 1.0


def show_devices(settings: DeviceSettings, tone_s: float = 0.0, meter_s: float = 0.0) -> None:
    """List the devices, show the microphone's level for at least a second, and play a tone if requested.

    Raises:
        AudioDeviceError: PortAudio is missing, or a device that was named cannot be opened.
    """
    console = Console(highlight=False)
    with native_stderr_silenced():
        listed = list_devices()
        console.print(device_table(listed) if listed.devices else "no audio devices")
        if not any(device.input_channels for device in listed.devices) and not (tone_s or meter_s):
            return
        try:
            _run(settings, tone_s, max(tone_s, meter_s, LISTEN_S), console)
        except AudioDeviceError as error:
            if tone_s or meter_s or settings.input or settings.output:
                raise
            console.print(str(error), markup=False)


def device_table(listed: DeviceList) -> Table:
    """Return a table of the devices, in which `*` marks the system's defaults."""
    table = Table(title="Audio devices: give --input and --output a name, part of a name, or a number")
    for name in ("#", "Name", "In", "Out", "Rate", "System"):
        table.add_column(name, justify="right" if name in ("#", "Rate") else "left")
    for device in listed.devices:
        defaults = (listed.default_input == device.index, listed.default_output == device.index)
        channels = (device.input_channels, device.output_channels)
        marks = [
            f"{count}{' *' if default else ''}" if count else ""
            for count, default in zip(channels, defaults, strict=True)
        ]
        rate = f"{device.default_rate_hz} Hz"
        table.add_row(str(device.index), Text(device.name), *marks, rate, Text(device.host_api))
    return table


def test_tone(seconds: float) -> np.ndarray:
    """Return a soft 440 Hz tone with fades, at the engine's rate."""
    time_s = np.arange(round(seconds * ENGINE_RATE_HZ)) / ENGINE_RATE_HZ
    fades = np.minimum(1.0, np.minimum(time_s, seconds - time_s) / FADE_S)
    tone = 10 ** (TONE_DBFS / 20) * np.sqrt(2) * np.sin(2 * np.pi * TONE_HZ * time_s) * fades
    return tone.astype(np.float32)


def _run(settings: DeviceSettings, tone_s: float, seconds: float, console: Console) -> None:
    tone = test_tone(tone_s)
    card = SoundCard(settings, lambda level, text: console.print(text, markup=False))
    card.open()
    try:
        source, sink = DeviceSource(card, None, settings), DeviceSink(card, settings)
        used = f"microphone {card.names['input'] or 'none'}, loudspeaker {card.names['output'] or 'none'}"
        console.print(f"{used}; say something" if card.capture else used, markup=False)
        if card.capture is None and tone_s == 0:
            return
        played, ends_s, meter = 0, time.monotonic() + seconds, Text()
        with Live(console=console, auto_refresh=False, transient=True) as live:
            while time.monotonic() < ends_s and (heard := source.read()) is not None:
                part = tone[played : played + heard.size]
                sink.write(np.pad(part, (0, heard.size - part.size)))
                played += heard.size
                meter = _meter(level_dbfs(heard), source.level)
                live.update(meter, refresh=True)
        console.print(meter)
    finally:
        card.close()


def _meter(dbfs: float, level: MicrophoneLevel) -> Text:
    bar = level_bar(dbfs, BAR_CELLS, "green")
    bar.append(f" {dbfs:5.0f} dB, loudest {level.loudest_dbfs:.0f} dB")
    if advice := verdict(level):
        bar.append(f"\n{advice}", style="yellow")
    return bar
