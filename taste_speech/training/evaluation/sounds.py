"""Sounds to be heard: people, held-out voices, the natural reply voice, and sounds without speech.

Voices take long to speak, so their sounds are kept in the work folder.
"""

import gzip
import hashlib
import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from scipy import signal

from taste_speech.errors import TasteError
from taste_speech.training.corpus.heard_turns import colored_noise
from taste_speech.training.corpus.listeners import Listeners
from taste_speech.training.corpus.reply_voice import SAMPLE_RATE_HZ as VOICE_RATE_HZ
from taste_speech.training.corpus.reply_voice import Manner, ReplyVoice, Spoken
from taste_speech.training.evaluation.held_out import VOICES, Split

RATE_HZ = 16_000
NOISE_DB = 10.0
PROMPTS = Path("/usr/share/asterisk/sounds/en")
PROMPT_TEXTS = Path("/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz")
_PROMPT_WORDS = range(5, 17)
_PIECE_S = 6.0
"""Length of a sound without words."""
PLAIN = Manner()

Audio = NDArray[np.float32]
_Range = tuple[float, float]


@dataclass(frozen=True)
class Clip:
    """A sound and what is said in it.

    Attributes:
        text: empty if nothing is said.
        samples: (T,) float32, 16 kHz.
        voice: who or what makes the sound.
        word_ends_s: when each word ends, if that is known.
    """

    text: str
    samples: Audio
    voice: str
    word_ends_s: tuple[float, ...] = ()


class Voices:
    """Held-out voices and the natural reply voice.

    Args:
        folder: where their sounds are kept.
        styles: folder of the voices in the npm package `kokoro-js`.
        split: `valid` has other voices than `test`.
    """

    def __init__(self, folder: Path, styles: Path, split: Split) -> None:
        self.folder, self.styles, self.voices = folder, styles, VOICES[split]

    @cached_property
    def _reply_voice(self) -> ReplyVoice:
        return ReplyVoice(self.folder)

    @cached_property
    def _listeners(self) -> Listeners:
        return Listeners(self.folder, self.styles)

    def asked(self, text: str) -> Clip | None:
        """Return `text` by one of the voices, which the text determines; None if it cannot be spoken."""
        rng = random.Random(text)
        voice, rate = rng.choice(self.voices), round(rng.uniform(0.9, 1.15), 2)
        return self._kept(
            f"{voice} {rate}", text, voice, lambda said: self._listeners.speak(said, voice, rate)
        )

    def natural(self, text: str, manner: Manner = PLAIN) -> Clip | None:
        """Return `text` by the natural reply voice; None if it cannot be spoken word by word."""
        return self._kept(
            f"natural {manner}", text, "natural", lambda said: self._reply_voice.speak(said, manner)
        )

    def _kept(self, how: str, text: str, voice: str, speak: Callable[[str], Spoken]) -> Clip | None:
        name = hashlib.sha256(f"{how} {text}".encode()).hexdigest()[:20]
        path = self.folder / voice / f"{name}.wav"
        ends = path.with_suffix(".json")
        if not ends.exists():
            try:
                spoken = speak(re.sub(r"[-–—]", " ", text.replace("’", "'")))
            except ValueError:  # a word that is spoken as several
                return None
            path.parent.mkdir(parents=True, exist_ok=True)
            floats = spoken.samples.astype(np.float32) / 32768
            soundfile.write(path, soxr.resample(floats, VOICE_RATE_HZ, RATE_HZ), RATE_HZ)
            ends.write_text(json.dumps(list(spoken.timing.word_ends)))
        samples, _ = soundfile.read(path, dtype="float32")
        return Clip(text, samples, voice, tuple(json.loads(ends.read_text())))


def prompts() -> Iterator[Clip]:
    """Yield telephone prompts of a professional speaker from Debian, 5 to 16 words without digits.

    Raises:
        TasteError: the packages are not installed.
    """
    if not PROMPT_TEXTS.exists() or not PROMPTS.exists():
        raise TasteError(
            "the recordings of a person are missing; run "
            "`apt-get install asterisk-core-sounds-en asterisk-core-sounds-en-g722`"
        )
    for line in gzip.decompress(PROMPT_TEXTS.read_bytes()).decode().splitlines():
        name, _, text = line.partition(": ")
        path = PROMPTS / f"{name}.g722"
        if len(text.split()) in _PROMPT_WORDS and not re.search(r"\d|\[", text) and path.exists():
            yield Clip(text.strip(), _decode_g722(path), name)


def _decode_g722(path: Path) -> Audio:
    import av

    with av.open(str(path), format="g722") as container:
        frames = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
    return np.concatenate(frames).astype(np.float32) / np.float32(32768)


def recordings(folder: Path) -> Iterator[Clip]:
    """Yield the recordings in a folder whose `texts.json` holds what is said in each file."""
    for name, text in json.loads((folder / "texts.json").read_text(encoding="utf-8")).items():
        samples, rate = soundfile.read(folder / name, dtype="float32", always_2d=True)
        yield Clip(text, soxr.resample(samples.mean(1), rate, RATE_HZ), name)


def with_noise(samples: Audio, seed: str) -> Audio:
    """Return speech with pink noise that is `NOISE_DB` quieter."""
    noise = pink_noise(len(samples), _generator(seed))
    level = np.sqrt(np.mean(samples**2)) * 10 ** (-NOISE_DB / 20)
    return np.clip(samples + level * noise, -1, 1).astype(np.float32)


def pink_noise(count: int, rng: np.random.Generator) -> Audio:
    """Return noise (count,) of unit power whose spectrum falls by 3 dB an octave."""
    return colored_noise(count, rng, 0.5)


def disturbances(seconds: float) -> Iterator[Clip]:
    """Yield pieces of sound without words, cycling through all kinds, `seconds` in total."""
    kinds = list(_NO_SPEECH.items())
    for number in range(round(seconds / _PIECE_S)):
        kind, make = kinds[number % len(kinds)]
        rng = _generator(f"{kind} {number}")
        samples = make(round(_PIECE_S * RATE_HZ), rng)
        level = 10 ** (rng.uniform(-32, -12) / 20)
        peak = float(np.abs(samples).max())
        yield Clip("", (samples * (level / peak if peak else 1)).astype(np.float32), f"{kind} {number}")


def _generator(seed: str) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "little"))


def _silence(count: int, rng: np.random.Generator) -> Audio:
    return np.zeros(count, np.float32) if rng.random() < 0.5 else 1e-4 * pink_noise(count, rng)


def _noise(count: int, rng: np.random.Generator) -> Audio:
    hum = np.sin(2 * np.pi * rng.choice([50, 60, 120]) * np.arange(count) / RATE_HZ)
    return rng.uniform(0, 2) * hum.astype(np.float32) + pink_noise(count, rng)


def _bursts(count: int, rng: np.random.Generator, length_s: _Range, band_hz: _Range, rise: float) -> Audio:
    """Return filtered noise that swells for the share `rise` of each burst and then decays."""
    samples = 0.002 * pink_noise(count, rng)
    band = signal.butter(2, band_hz, "bandpass", fs=RATE_HZ, output="sos")
    start = 0
    while True:
        start += round(RATE_HZ * rng.uniform(0.3, 1.5))
        length = round(RATE_HZ * rng.uniform(*length_s))
        if start + length > count:
            return samples
        position = np.linspace(0, 1, length)
        envelope = np.minimum(position / rise, np.exp(-4 * (position - rise)))
        samples[start : start + length] += envelope * signal.sosfilt(band, rng.standard_normal(length))
        start += length


def _telephone(count: int, rng: np.random.Generator) -> Audio:
    time_s = np.arange(count) / RATE_HZ + rng.uniform(0, 6)
    tones = np.sin(2 * np.pi * 440 * time_s) + np.sin(2 * np.pi * 480 * time_s)
    return (tones * (time_s % 6 < 2)).astype(np.float32) + 1e-3 * pink_noise(count, rng)


def _siren(count: int, rng: np.random.Generator) -> Audio:
    swing = np.sin(2 * np.pi * rng.uniform(0.2, 2) * np.arange(count) / RATE_HZ)
    return np.sin(2 * np.pi * np.cumsum(800 + 350 * swing) / RATE_HZ).astype(np.float32)


def _music(count: int, rng: np.random.Generator) -> Audio:
    """Return a melody over chords, each tone of six decaying harmonics."""
    samples, beat = np.zeros(count), round(RATE_HZ * rng.uniform(0.2, 0.5))
    scale = 220 * 2 ** (np.array([0, 2, 4, 5, 7, 9, 11, 12]) / 12)
    for start in range(0, count - beat, beat):
        time_s = np.arange(min(4 * beat, count - start)) / RATE_HZ
        for pitch in rng.choice(scale, 1 if start // beat % 4 else 3, replace=False):
            tones = [np.sin(2 * np.pi * pitch * k * time_s) / k for k in range(1, 7)]
            samples[start : start + len(time_s)] += np.sum(tones, axis=0) * np.exp(-3 * time_s)
    return samples.astype(np.float32)


_NO_SPEECH: dict[str, Callable[[int, np.random.Generator], Audio]] = {
    "silence": _silence,
    "noise": _noise,
    "breath": partial(_bursts, length_s=(0.8, 1.6), band_hz=(300, 3000), rise=0.4),
    "coughs": partial(_bursts, length_s=(0.15, 0.4), band_hz=(200, 4500), rise=0.05),
    "clicks": partial(_bursts, length_s=(0.003, 0.03), band_hz=(1000, 7500), rise=0.05),
    "telephone": _telephone,
    "siren": _siren,
    "music": _music,
}
