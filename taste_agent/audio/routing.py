"""Where the sound server has put our streams: when a device goes it moves them, and tells nobody.

PulseAudio, and what stands in its place, gives a stream whose microphone was unplugged another source. Where
there is no other microphone, that is the monitor of a loudspeaker: blocks go on coming, with silence or the
agent's own voice in them. Neither the age of the callbacks nor PortAudio's list of devices shows that. The
server's own list does, and `pactl` prints it; where that program is missing, nothing is known.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import Any

ASK_LIMIT_S = 1.5
# Asking takes a process. A real microphone is never perfectly silent, so silence is a reason to ask.
ASK_EVERY_S = 10.0
SILENT_AFTER_S = 1.0
ASK_EVERY_SILENT_S = 3.0
MONITOR = ".monitor"
"""What a server appends to a sink's name for the source that hears what the sink plays."""


@dataclass(frozen=True, slots=True)
class Routes:
    """Names of the source that our capture reads and of the sink that we play on; None without a stream."""

    source: str | None = None
    sink: str | None = None


def hears_only_the_loudspeaker(routes: Routes | None) -> bool:
    """Whether what is captured is what we play ourselves: then there is no microphone."""
    return routes is not None and routes.sink is not None and routes.source == routes.sink + MONITOR


def time_to_ask(since_asked_s: float, since_sound_s: float) -> bool:
    """Whether to ask the server again; `since_sound_s` is how long the capture has been digitally silent."""
    return since_asked_s >= (ASK_EVERY_SILENT_S if since_sound_s >= SILENT_AFTER_S else ASK_EVERY_S)


def ask_routes() -> Routes | None:
    """What the sound server says now; None where there is none, or it cannot be asked."""
    program = shutil.which("pactl")
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, "--format=json", "list"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=ASK_LIMIT_S,
            check=True,
            env={**os.environ, "LC_ALL": "C"},  # else some versions write numbers with a comma
        )
        return routes_of(json.loads(done.stdout), os.getpid())
    except (OSError, ValueError, TypeError, KeyError, AttributeError, subprocess.SubprocessError):
        return None


def routes_of(listed: dict[str, Any], process: int) -> Routes:
    """The routes of a process in what `pactl --format=json list` prints."""
    return Routes(
        _device_of(listed["source_outputs"], listed["sources"], "source", process),
        _device_of(listed["sink_inputs"], listed["sinks"], "sink", process),
    )


def _device_of(
    streams: list[dict[str, Any]], devices: list[dict[str, Any]], key: str, process: int
) -> str | None:
    names = {device["index"]: str(device["name"]) for device in devices}
    ours = [s for s in streams if s["properties"].get("application.process.id") == str(process)]
    return names.get(ours[-1][key]) if ours else None
