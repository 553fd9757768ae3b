"""Speech from the command lines of flite, espeak-ng, festival and RHVoice: 16 kHz, mono, 16 bit."""

import os
import random
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soxr

from taste_speech.errors import TasteError
from taste_speech.training.corpus.markup import mark_up
from taste_speech.training.corpus.pitch import HOP_SAMPLES, change_pitch

SAMPLE_RATE_HZ = 16_000
ESPEAK_WORDS_PER_MINUTE = 165
SYNTHESIS_TIMEOUT_S = 60
WAV_HEADER_BYTES = 44
TEXT_FILE, SPEECH_FILE = "text.txt", "speech.wav"
_HOW_TO_INSTALL = "see configs/train/small.yaml"
_PACKAGES = {
    "text2wave": "festival, and with it festvox-kdlpc16k",
    "RHVoice-test": f"rhvoice, and with it its English voices ({_HOW_TO_INSTALL})",
}
_RHVOICE_DATA = ("/usr/share/RHVoice", "/usr/local/share/RHVoice")


@dataclass(frozen=True)
class Voice:
    """A speaker: a voice of an engine and how that speaker usually speaks."""

    name: str
    engine: str
    """`flite`, `espeak`, `festival` or `rhvoice`."""
    variant: str
    """Name of the voice for the engine, such as `rms`, `en-us+f3`, `ked_diphone` or `bdl`."""
    rate: float = 1.0
    """Speed, 1 = the engine's own."""
    pitch: float = 1.0
    """F0 as a multiple of the voice's own."""
    formants: float = 1.0
    """Formants as a multiple of the voice's own (not for espeak): above 1 a smaller speaker."""


@dataclass(frozen=True)
class Manner:
    """How one sentence is spoken; the default is the voice's plain manner."""

    rate: float = 1.0
    pitch: float = 1.0
    slope: float = 0.0
    """Octaves that F0 gains from start to end on top of the voice's own contour."""
    emphasis: int | None = None
    """Index of the emphasised word, spoken longer and higher."""
    change_word: int | None = None
    """Index of the word from which on the pace is another (flite only)."""
    change_rate: float = 1.0
    """Times as fast from there on."""


PLAIN = Manner()


@dataclass(frozen=True)
class Utterance:
    """What is to be spoken and by whom."""

    id: str
    split: str
    text: str
    voice: Voice
    manner: Manner = PLAIN
    spelling: str = ""
    """What the engine is given where it would spell `text` out instead of saying it; empty: `text`."""


def random_manner(text: str, rng: random.Random) -> Manner:
    """Draw a manner for `text`: a fifth plain, the rest with moderate changes."""
    if rng.random() < 0.2:
        return Manner(rate=round(rng.uniform(0.9, 1.1), 3))
    n_words = len(text.split())
    return Manner(
        rate=round(1.0 / rng.triangular(0.82, 1.25, 1.0), 3),
        pitch=round(2.0 ** rng.triangular(-0.22, 0.3, 0.0), 3),
        slope=round(rng.triangular(-0.25, 0.25, 0.0), 3),
        emphasis=rng.randrange(n_words) if rng.random() < 0.6 else None,
    )


def paced_manner(text: str, rng: random.Random) -> Manner:
    """Draw a manner for `text` at any pace, from three fifths of the usual one to once and a half."""
    return replace(random_manner(text, rng), rate=round(rng.uniform(0.6, 1.0) ** rng.choice((1, -0.8)), 3))


def changing_manner(text: str, rng: random.Random) -> Manner:
    """Draw a manner in which the pace changes somewhere in the sentence, by a quarter to twice."""
    times = round(2.0 ** (rng.choice((1, -1)) * rng.uniform(0.3, 1.0)), 3)
    manner = random_manner(text, rng)
    return replace(
        manner,
        # Both parts are as far from the usual pace.
        rate=round(manner.rate / times**0.5, 3),
        change_word=rng.randrange(1, max(2, len(text.split()))),
        change_rate=times,
    )


def speak(text: str, voice: Voice, manner: Manner = PLAIN) -> np.ndarray:
    """Return `text` spoken, (T,) int16 at 16 kHz.

    Errors: `TasteError` if the engine is missing, fails or stays silent; `ValueError` for an unknown engine.
    """
    total = replace(manner, rate=manner.rate * voice.rate, pitch=manner.pitch * voice.pitch)
    if voice.engine in _WITHOUT_PITCH:
        # Played faster by the factor, formants and F0 rise with it; rate and pitch make up for that.
        slower = replace(total, rate=total.rate / voice.formants, pitch=total.pitch / voice.formants)
        samples = _with_pitch(_WITHOUT_PITCH[voice.engine](text, voice.variant, slower), text, slower)
        if voice.formants == 1.0:
            return samples
        return soxr.resample(samples, SAMPLE_RATE_HZ * voice.formants, SAMPLE_RATE_HZ)
    if voice.engine == "espeak":
        return _espeak(text, voice.variant, total)
    known = ", ".join([*_WITHOUT_PITCH, "espeak"])
    raise ValueError(f"speech engine {voice.engine!r} is unknown; use one of {known}")


def speak_all(utterances: Iterable[Utterance], processes: int = 2) -> Iterator[tuple[Utterance, np.ndarray]]:
    """Speak many utterances with that many engine processes at once, in order."""
    pending = list(utterances)
    with ThreadPoolExecutor(processes) as pool:
        # Blocks keep memory bounded: `map` would otherwise hold every result that is not yet stored.
        for start in range(0, len(pending), 64):
            block = pending[start : start + 64]
            sounds = pool.map(lambda u: speak(u.spelling or u.text, u.voice, u.manner), block)
            yield from zip(block, sounds, strict=True)


def _flite(text: str, variant: str, manner: Manner) -> np.ndarray:
    stretch = f"duration_stretch={1 / manner.rate:.4f}"
    command = ["flite", "-voice", variant, "--setf", stretch, "-ssml", TEXT_FILE, SPEECH_FILE]
    marked = mark_up(text, manner.emphasis, manner.change_word, manner.change_rate)
    return _samples(_run_on_file(command, marked), text)


def _festival(text: str, variant: str, manner: Manner) -> np.ndarray:
    plain = re.sub(r"[^A-Za-z0-9' ,.?]", " ", text)
    stretch = f"(Parameter.set 'Duration_Stretch {1 / manner.rate:.4f})"
    voice = f"(voice_{variant})"
    try:
        wav = _run_on_file(
            ["text2wave", "-eval", voice, "-eval", stretch, TEXT_FILE, "-o", SPEECH_FILE], plain
        )
    except FileNotFoundError as error:  # text2wave calls a missing voice a success
        raise TasteError(f"festival has no voice {variant!r}; install its package (festvox-...)") from error
    return _samples(wav, text)


def rhvoice_folders() -> list[Path]:
    """Where RHVoice's voices may be; its environment variable RHVOICE_DATA_PATH says it better."""
    own = os.environ.get("RHVOICE_DATA_PATH")
    return [Path(data, "voices") for data in ([own] if own else _RHVOICE_DATA)]


def _rhvoice(text: str, variant: str, manner: Manner) -> np.ndarray:
    folders = rhvoice_folders()
    if not any((folder / variant).is_dir() for folder in folders):  # it would speak in another voice
        raise TasteError(
            f"RHVoice has no voice {variant!r} in {' or '.join(map(str, folders))}; "
            f"install its English voices ({_HOW_TO_INSTALL})"
        )
    rate = str(round(100 * manner.rate))
    command = ["RHVoice-test", "-p", variant, "-r", rate, "-i", TEXT_FILE, "-o", SPEECH_FILE]
    return _samples(_run_on_file(command, text), text)


_WITHOUT_PITCH = {"flite": _flite, "festival": _festival, "rhvoice": _rhvoice}
"""Engines that are told the rate only; the pitch is changed in what they say."""


def _espeak(text: str, variant: str, manner: Manner) -> np.ndarray:
    speed = str(round(ESPEAK_WORDS_PER_MINUTE * manner.rate))
    # The scale of espeak-ng is 0-99 around 50; about 25 steps make a third of an octave.
    pitch = str(int(np.clip(50 + 75 * np.log2(manner.pitch), 0, 99)))
    wav = _run(["espeak-ng", "-v", variant, "-s", speed, "-p", pitch, "--stdout", text])
    return _samples(wav, text)


def _run_on_file(command: list[str], text: str) -> bytes:
    """Run an engine in a folder with `text` in `TEXT_FILE`; returns the `SPEECH_FILE` that it wrote there.

    Errors: `FileNotFoundError` if it wrote none; `TasteError` as `_run`.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, TEXT_FILE).write_text(text, encoding="ascii", errors="replace")
        _run(command, folder)
        return Path(folder, SPEECH_FILE).read_bytes()


def _run(command: list[str], folder: str | None = None) -> bytes:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, timeout=SYNTHESIS_TIMEOUT_S, check=True
        )
    except FileNotFoundError as error:
        package = _PACKAGES.get(command[0], command[0])
        raise TasteError(f"{command[0]} is not installed; install the package {package}") from error
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise TasteError(f"{' '.join(command)} failed: {error}") from error
    return done.stdout


def _samples(wav: bytes, text: str) -> np.ndarray:
    """Read a 16-bit mono wav whose length fields may be unset, as espeak-ng writes them to a pipe."""
    rate_hz = int.from_bytes(wav[24:28], "little")
    body = wav[WAV_HEADER_BYTES : WAV_HEADER_BYTES + (len(wav) - WAV_HEADER_BYTES) // 2 * 2]
    samples = np.frombuffer(body, dtype="<i2")
    if not len(samples) or not samples.any():
        raise TasteError(f"no sound came for the text {text!r}; check the voice name")
    if rate_hz == SAMPLE_RATE_HZ:
        return samples.copy()
    return soxr.resample(samples, rate_hz, SAMPLE_RATE_HZ)


def _with_pitch(samples: np.ndarray, text: str, manner: Manner) -> np.ndarray:
    if manner.pitch == 1.0 and manner.slope == 0.0 and manner.emphasis is None:
        return samples
    n_frames = len(samples) // HOP_SAMPLES + 1
    octaves = np.log2(manner.pitch) + manner.slope * (np.linspace(0.0, 1.0, n_frames) - 0.5)
    words = text.split()
    if manner.emphasis is not None and manner.emphasis < len(words):
        # Letters share out the time closely enough for a bump as wide as a word.
        letters = np.cumsum([0, *(len(word) + 1 for word in words)]) / (len(text) + 1)
        middle = (letters[manner.emphasis] + letters[manner.emphasis + 1]) / 2 * n_frames
        width = 0.12 * SAMPLE_RATE_HZ / HOP_SAMPLES
        octaves += 0.2 * np.exp(-(((np.arange(n_frames) - middle) / width) ** 2))
    return change_pitch(samples, SAMPLE_RATE_HZ, 2.0**octaves)
