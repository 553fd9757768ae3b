"""A private PulseAudio server: one null sink is the loudspeaker, another one's monitor the microphone."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from taste_agent.audio.devices import CALL_THREAD
from tests.taste_agent import speech as natural_speech
from tests.taste_agent.audio import room as room_program

RATE_HZ = 16000
WAV_HEADER_BYTES = 44

DAEMON_SCRIPT = """
load-module module-native-protocol-unix socket={folder}/native auth-anonymous=1
load-module module-cli-protocol-unix socket={folder}/cli
load-module module-null-sink sink_name=speaker rate=48000 channels=1
load-module module-null-sink sink_name=room rate=48000 channels=1
set-default-sink speaker
set-default-source room.monitor
"""

DAEMON_COMMAND = ["pulseaudio", "-n", "--system=false", "--daemonize=no", "--exit-idle-time=-1"]
DAEMON_COMMAND += ["--disallow-exit=yes", "--use-pid-file=no", "--disable-shm=yes"]
DAEMON_COMMAND += ["--realtime=no", "--high-priority=no", "--log-target=stderr"]

# Besides the default, two named devices, so that a test can ask for one by its name.
ALSA_CONFIG = """
pcm.!default { type pulse hint { show on description "the server's defaults" } }
ctl.!default { type pulse }
pcm.microphone { type pulse device "room.monitor" hint { show on description "virtual microphone" } }
pcm.speaker { type pulse device "speaker" hint { show on description "virtual loudspeaker" } }
"""


class Taped:
    """What a tape holds: samples, and the machine's time at the first of them."""

    def __init__(self, samples: NDArray[np.float32], start_s: float) -> None:
        self.samples, self.start_s = samples, start_s

    def _loud_s(self, begin_s: float, end_s: float, level: float) -> NDArray[np.float64]:
        first = max(0, round((begin_s - self.start_s) * RATE_HZ))
        part = self.samples[first : round((end_s - self.start_s) * RATE_HZ)]
        loud = np.flatnonzero(np.abs(part) > level)
        assert loud.size, f"nothing from {begin_s - self.start_s:.2f} to {end_s - self.start_s:.2f} s"
        return (first + loud) / RATE_HZ + self.start_s

    def first_loud_s(self, begin_s: float, end_s: float, level: float) -> float:
        """When it first is louder than `level`, on the machine's clock."""
        return float(self._loud_s(begin_s, end_s, level)[0])

    def last_loud_s(self, begin_s: float, end_s: float, level: float) -> float:
        """When it last is louder than `level`."""
        return float(self._loud_s(begin_s, end_s, level)[-1])


class Tape:
    """Records a source so that two of them can be compared in time, to within some milliseconds.

    Blocks can come late but never early, so the earliest of them tells when the recording began.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._blocks: list[bytes] = []
        self._start_s = float("inf")
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        samples = 0
        while block := self._process.stdout.read1(4096):  # type: ignore[attr-defined]
            self._blocks.append(block)
            samples += len(block) / 2
            self._start_s = min(self._start_s, time.monotonic() - samples / RATE_HZ)

    def stop(self) -> Taped:
        """End it and give what was recorded."""
        self._process.terminate()
        self._thread.join()
        return Taped(np.frombuffer(b"".join(self._blocks), np.int16) / np.float32(32768), self._start_s)


class VirtualSoundCard:
    """Starts and steers the server, speaks into the microphone and records the loudspeaker."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._children: list[subprocess.Popen[bytes]] = []
        (folder / "alsa.conf").write_text(ALSA_CONFIG)
        (folder / "daemon.pa").write_text(DAEMON_SCRIPT.format(folder=folder))
        own = {name: str(folder / name.lower()) for name in ("HOME", "XDG_RUNTIME_DIR", "PULSE_RUNTIME_PATH")}
        for path in own.values():
            Path(path).mkdir(mode=0o700)
        unwanted = ("DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "XDG_CONFIG_HOME", "PULSE_STATE_PATH")
        base = {name: value for name, value in os.environ.items() if name not in unwanted}
        self._server_environment = {**base, **own}
        # What a program needs to use the server; the model's caches stay where they are.
        self.environment = {
            "PULSE_SERVER": f"unix:{folder}/native",
            "ALSA_CONFIG_PATH": str(folder / "alsa.conf"),
        }
        self.start()

    def start(self) -> None:
        with open(self.folder / "server.log", "ab") as log:
            self.server = subprocess.Popen(
                [*DAEMON_COMMAND, f"--file={self.folder}/daemon.pa"],
                env=self._server_environment,
                stdout=log,
                stderr=log,
            )
        deadline_s = time.monotonic() + 15
        while "room.monitor" not in self.control("list", "short", "sources", check=False):
            if self.server.poll() is not None or time.monotonic() > deadline_s:
                log_text = (self.folder / "server.log").read_text()
                raise RuntimeError(f"pulseaudio does not start: {log_text}")
            time.sleep(0.05)

    def stop(self) -> None:
        self.server.send_signal(signal.SIGKILL)
        self.server.wait()

    def close(self) -> None:
        for child in self._children:
            if child.poll() is None:
                child.terminate()
            child.wait()
        self.stop()

    def _run_beside(self, *command: str) -> subprocess.Popen[bytes]:
        with open(self.folder / "programs.log", "ab") as log:
            child = subprocess.Popen(command, env={**os.environ, **self.environment}, stderr=log)
        self._children.append(child)
        return child

    def report(self) -> str:
        """What a failed test should say of the card: programs, what sounds, what listens, and the logs."""
        programs = [f"{child.args}: {child.poll()}" for child in self._children]
        lists = [
            self.control("list", "short", kind, check=False) for kind in ("sink-inputs", "source-outputs")
        ]
        logs = [path.read_text()[-2000:] for path in sorted(self.folder.glob("*.log"))]
        return "\n".join([*programs, *lists, *logs])

    def control(self, *arguments: str, check: bool = True) -> str:
        """Run pactl; returns what it prints."""
        done = subprocess.run(
            ["pactl", *arguments],
            env={**os.environ, **self.environment},
            check=check,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def module_of(self, sink: str) -> str:
        """Number of the module that made `sink`."""
        for line in self.control("list", "short", "modules").splitlines():
            if f"sink_name={sink} " in line:
                return line.split()[0]
        raise LookupError(sink)

    def remove_sink(self, sink: str) -> None:
        """Take a device away. The server moves its streams to another one, so they are ended too."""
        number = self.control("list", "short", "sinks").split(f"\t{sink}\t")[0].split()[-1]
        streams = [line.split() for line in self.control("list", "short", "sink-inputs").splitlines()]
        self.control("unload-module", self.module_of(sink))
        with socket.socket(socket.AF_UNIX) as command_line:
            command_line.connect(str(self.folder / "cli"))
            for stream, on_sink, *_ in streams:
                if on_sink == number:
                    command_line.sendall(f"kill-sink-input {stream}\n".encode())
            command_line.shutdown(socket.SHUT_WR)
            while command_line.recv(4096):
                pass

    def add_sink(self, sink: str) -> None:
        self.control("load-module", "module-null-sink", f"sink_name={sink}", "rate=48000", "channels=1")
        self.control("set-default-sink", "speaker", check=False)
        self.control("set-default-source", "room.monitor", check=False)

    def echo(self, delay_ms: int, gain_db: float) -> None:
        """From now on the default microphone hears the loudspeaker besides the person; see `room`.

        Call it before the agent opens its microphone. `delay_ms` is added to what the server itself takes
        from the one to the other.
        """
        pipe = self.folder / "microphone"
        form = [f"file={pipe}", "format=s16le", f"rate={RATE_HZ}", "channels=1"]
        self.control("load-module", "module-pipe-source", "source_name=open_microphone", *form)
        self.control("set-default-source", "open_microphone")
        room = [sys.executable, room_program.__file__, str(pipe)]
        self._run_beside(*room, str(delay_ms * RATE_HZ // 1000), str(gain_db))
        while self.control("list", "short", "source-outputs").count("\n") < 1:  # it listens to two sources
            time.sleep(0.1)

    def say(self, wav: Path) -> subprocess.Popen[bytes]:
        """Play `wav` as the person in front of the microphone; `wait()` for its end."""
        return self._run_beside("paplay", "--device=room", "--latency-msec=50", str(wav))

    def tape(self, source: str) -> Tape:
        """Record a monitor together with the time."""
        command = ["parec", f"--device={source}", "--raw", "--format=s16le", f"--rate={RATE_HZ}"]
        command += ["--channels=1", "--latency-msec=10"]
        child = subprocess.Popen(
            command, env={**os.environ, **self.environment}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._children.append(child)
        return Tape(child)

    def record(self, wav: Path) -> subprocess.Popen[bytes]:
        """Record the loudspeaker until the process is terminated; returns when the recording has begun.

        An idle sink takes up to two seconds to give its first block.
        """
        recorder = self._run_beside(
            "parec",
            "--device=speaker.monitor",
            "--file-format=wav",
            f"--rate={RATE_HZ}",
            "--channels=1",
            "--latency-msec=20",
            str(wav),
        )
        deadline_s = time.monotonic() + 15
        while not wav.exists() or wav.stat().st_size <= WAV_HEADER_BYTES:
            assert time.monotonic() < deadline_s, self.report()
            time.sleep(0.02)
        return recorder


def _missing() -> list[str]:
    missing = [name for name in ("pulseaudio", "pactl", "paplay", "parec") if shutil.which(name) is None]
    if not list(Path("/usr/lib").glob("**/libasound_module_pcm_pulse.so")):
        missing.append("libasound2-plugins")
    try:
        import sounddevice  # noqa: F401
    except OSError:
        missing.append("libportaudio2")
    return missing


def renew_portaudio(limit_s: float = 10.0) -> None:
    """Have PortAudio look for devices anew, unless a call is stuck in it: ending it then ends the program.

    What a later test finds without it is the same list, since the devices of every card have the same names.
    """
    import sounddevice

    deadline_s = time.monotonic() + limit_s
    while any(thread.name == CALL_THREAD for thread in threading.enumerate()):
        if time.monotonic() > deadline_s:
            return
        time.sleep(0.05)
    sounddevice._terminate()
    sounddevice._initialize()


@pytest.fixture
def sound(monkeypatch: pytest.MonkeyPatch) -> Iterator[VirtualSoundCard]:
    """A virtual sound card, which PortAudio in this process sees as the only one."""
    if missing := _missing():
        reason = f"no virtual sound card without {', '.join(missing)}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    # Unix sockets have short names, so the folder must not be pytest's deep one.
    with tempfile.TemporaryDirectory(prefix="sound", ignore_cleanup_errors=True) as folder:
        card = VirtualSoundCard(Path(folder))
        for name, value in card.environment.items():
            monkeypatch.setenv(name, value)
        renew_portaudio()
        try:
            yield card
        finally:
            # Without its server a call that got stuck returns, so the server goes first.
            card.close()
            renew_portaudio()


@pytest.fixture
def spoken(tmp_path: Path) -> Path:
    """Two seconds that sound like a voice: a buzz with a moving envelope (no speech synthesis needed)."""
    time_s = np.arange(2 * RATE_HZ) / RATE_HZ
    harmonics = sum(np.sin(2 * np.pi * 140 * k * time_s + k) / k for k in range(1, 20))
    envelope = 0.5 + 0.5 * np.sin(2 * np.pi * 4 * time_s - np.pi / 2)
    samples = 0.15 * harmonics * envelope
    path = tmp_path / "spoken.wav"
    soundfile.write(path, samples.astype(np.float32), RATE_HZ)
    return path


@pytest.fixture
def speech(tmp_path: Path) -> Callable[..., Path]:
    """A function that has somebody say a text: `speech(text, voice)` gives a 16 kHz wav."""

    def say(text: str, voice: str = "high") -> Path:
        wav = tmp_path / f"{voice}-{abs(hash(text))}.wav"
        soundfile.write(wav, natural_speech.spoken(text, voice), RATE_HZ)
        return wav

    return say
