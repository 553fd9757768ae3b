"""The air between a loudspeaker and a microphone: an echo that always comes back equally late.

PulseAudio's own loopback moves by milliseconds whenever the server had to wait for the processor, and stays
there; no room does that. Here one program reads what the loudspeaker plays, adds what the person says, and
feeds both to a microphone sample by sample, so that however late it is, the echo's delay is the same.
"""

import contextlib
import os
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path

import numpy as np

RATE_HZ = 16000
BLOCK = 160
# What the person says is kept so far ahead that an uneven server tears no hole into it.
PERSON_AHEAD = 8 * BLOCK
PERSON_MOST = 40 * BLOCK


def _listen(source: str) -> subprocess.Popen[bytes]:
    command = ["parec", f"--device={source}", "--raw", "--format=s16le", f"--rate={RATE_HZ}"]
    return subprocess.Popen([*command, "--channels=1", "--latency-msec=10"], stdout=subprocess.PIPE)


class Person:
    """What the person says, ready for whenever the room needs it."""

    def __init__(self, source: str) -> None:
        self._process = _listen(source)
        self._samples: deque[int] = deque([0] * PERSON_AHEAD, maxlen=PERSON_MOST)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        while block := self._process.stdout.read(2 * BLOCK):
            self._samples.extend(np.frombuffer(block, np.int16).tolist())

    def take(self, count: int) -> np.ndarray:
        """The next samples; silence where there are too few."""
        ready = min(count, len(self._samples))
        taken = [self._samples.popleft() for _ in range(ready)]
        return np.array(taken + [0] * (count - ready), np.float32)


def main() -> None:
    """`python room.py PIPE DELAY_SAMPLES GAIN_DB`, until it is terminated."""
    pipe, delay, gain_db = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    with contextlib.suppress(PermissionError):  # as the server's own threads, where that is allowed
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(5))
    person = Person("room.monitor")
    speaker = _listen("speaker.monitor").stdout
    assert speaker is not None
    on_the_way = np.zeros(delay, np.float32)
    with pipe.open("wb", buffering=0) as microphone:
        while block := speaker.read(2 * BLOCK):
            on_the_way = np.append(
                on_the_way, np.frombuffer(block, np.int16) * np.float32(10 ** (gain_db / 20))
            )
            count = len(block) // 2
            heard = on_the_way[:count] + person.take(count)
            on_the_way = on_the_way[count:]
            microphone.write(np.clip(np.rint(heard), -32768, 32767).astype(np.int16).tobytes())


if __name__ == "__main__":
    main()
