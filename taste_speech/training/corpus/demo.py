"""What `make demo` replays, spoken by voices of the corpus."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from taste_speech.training.corpus.listeners import Listeners
from taste_speech.training.corpus.reply_voice import SAMPLE_RATE_HZ, ReplyVoice

_RATE_HZ = 16_000
_NOISE = 3e-4
"""Root mean square of the room's noise: of digital silence no room is made."""
QUESTIONS: dict[str, tuple[str, tuple[tuple[float, str], ...]]] = {
    "question": ("am_michael", ((0.5, "What is the capital of Italy?"),)),
    "anything": ("af_bella", ((0.5, "My tomato plants have yellow leaves. What should I do?"),)),
    "interruption": (
        "af_sarah",
        ((0.5, "Tell me a story about a lighthouse."), (5.5, "Wait, stop. What do seals eat?")),
    ),
}
"""By file name: the voice, and what it says, and how many seconds after the start or after it fell silent."""
_AFTER_S = 1.5


def write_demo(folder: Path, voices: Path, target: Path) -> Iterator[Path]:
    """Write the wavs, 16 kHz mono, and yield their paths."""
    speaker = Listeners(folder, voices, ReplyVoice(folder))
    rng = np.random.default_rng(0)
    for name, (voice, parts) in QUESTIONS.items():
        pieces: list[np.ndarray] = []
        for before_s, text in parts:
            spoken = speaker.speak(text, voice).samples.astype(np.float32) / 32768
            pieces += [np.zeros(int(before_s * _RATE_HZ), np.float32)]
            pieces += [soxr.resample(spoken, SAMPLE_RATE_HZ, _RATE_HZ)]
        samples = np.concatenate([*pieces, np.zeros(int(_AFTER_S * _RATE_HZ), np.float32)])
        samples += rng.normal(0, _NOISE, len(samples)).astype(np.float32)
        path = target / f"{name}.wav"
        soundfile.write(path, samples, _RATE_HZ, subtype="PCM_16")
        yield path
