"""The reply voice: hibari's "heart", with the times and the pitch of every phone it says.

The package `hibari-tts` gives sound only. Its network computes how long each phoneme lasts and divides that
by the speed, so a copy of the network that also returns the durations, and takes one speed per phoneme, says
the same and tells everything that a text-aligned model is trained on.
"""

import gzip
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from taste_speech.phones import PAUSE, STRESS
from taste_speech.training.config import replacing
from taste_speech.training.corpus.audio_store import AudioStore, Clip, Timing
from taste_speech.words import pronounced_text

SAMPLE_RATE_HZ = 24_000
HOP_SAMPLES = 300
"""Samples between two values of F0."""
_DURATION_S = 0.025
"""The network counts durations in two frames."""
_LEAD_S = 0.05
"""The network is heard so much earlier than its durations say: measured where the hiss of 250 sibilants
begins and ends, and where spectra tell the phone best."""
_DURATIONS = "/Cast_32_output_0"
"""Name of the tensor with the duration of each phoneme, (phonemes,) int64."""
_VOICED_HZ = 40.0
_HARMONIC_BINS, _NOTHING = 550, -20.0
"""The voice's pulses end at 11 kHz; what its spectra say beyond has no effect and no meaning."""


@dataclass(frozen=True)
class Manner:
    """How one text is spoken; the default is the voice's plain manner."""

    rate: float = 1.0
    pitch: float = 1.0
    slope: float = 0.0
    """Octaves that F0 gains from start to end on top of the voice's own contour."""
    emphasis: int | None = None
    """Number of the word that is said longer, higher and louder."""
    change_word: int | None = None
    """Number of the word from which on the pace is another."""
    change_rate: float = 1.0


@dataclass(frozen=True)
class Spoken:
    """One utterance.

    Attributes:
        samples: (T,) int16 at 24 kHz.
        f0_hz: (T / 300,) float32, 0 where unvoiced.
        timing: when its words and phones end.
    """

    samples: np.ndarray
    f0_hz: np.ndarray = field(repr=False)
    timing: Timing


def store_utterance(store: AudioStore, spoken: Spoken, manner: Manner, **fields: str) -> None:
    """Add an utterance to a store; `fields` are those of `Clip` that neither it nor the manner tells."""
    store.append(
        spoken.samples,
        spoken.f0_hz if len(spoken.f0_hz) else None,
        rate_hz=SAMPLE_RATE_HZ,
        word_ends=spoken.timing.word_ends,
        phones=spoken.timing.phones,
        **asdict(manner),
        **fields,
    )


def manner_of(clip: Clip) -> Manner:
    """Return the manner in which a clip was spoken."""
    return Manner(clip.rate, clip.pitch, clip.slope, clip.emphasis, clip.change_word, clip.change_rate)


def random_manner(text: str, rng: random.Random) -> Manner:
    """Draw a manner for `text`: a third plain, the rest with gentle changes of pace, pitch and emphasis."""
    if rng.random() < 0.33:
        return Manner()
    n_words = len(text.split())
    changes = n_words > 3 and rng.random() < 0.25
    return Manner(
        rate=round(2.0 ** rng.triangular(-0.6, 0.45, 0.0), 3),
        pitch=round(2.0 ** rng.triangular(-0.25, 0.25, 0.0), 3),
        slope=round(rng.triangular(-0.25, 0.25, 0.0), 3),
        emphasis=rng.randrange(n_words) if rng.random() < 0.5 else None,
        change_word=rng.randrange(1, n_words) if changes else None,
        change_rate=round(2.0 ** (rng.choice((1, -1)) * rng.uniform(0.3, 0.8)), 3) if changes else 1.0,
    )


@dataclass(frozen=True)
class _Said:
    """What the network makes of a text: spectra (bins, frames), F0 (frames,), and what was said when."""

    parts: list[np.ndarray]
    f0: np.ndarray
    ids: list[int]
    of_word: np.ndarray
    durations: np.ndarray
    """(phonemes,) int, in units of `_DURATION_S`."""

    @property
    def ends_s(self) -> np.ndarray:
        """When each phoneme is over, (phonemes,)."""
        total_s = self.durations.sum() * _DURATION_S
        ends_s = (np.cumsum(self.durations) * _DURATION_S - _LEAD_S).clip(min=0.0)
        return np.append(ends_s[:-1], total_s)


class ReplyVoice:
    """Speaks with hibari's packaged voice and says when each phone ends.

    Args:
        folder: where the changed copy of its network is kept.
    """

    def __init__(self, folder: Path) -> None:
        import hibari
        from onnx import TensorProto

        source = Path(hibari.__file__).parent / "assets" / "hibari.onnx"
        path = with_durations(
            source, _DURATIONS, TensorProto.INT64, "speed", folder / "hibari-durations.onnx"
        )
        self.engine = hibari.Hibari(model=str(path))

    def speak(self, text: str, manner: Manner = Manner(), seed: int = 0) -> Spoken:
        """Return a text of plain words spoken; `seed` is that of the noise in the voice.

        Raises:
            ValueError: if a word is said as several.
        """
        from hibari import dsp

        said = self._run(text, manner)
        samples = dsp.synth(*said.parts[:-1], said.f0, np.random.default_rng(seed))
        limited = np.clip(samples * 32767, -32768, 32767).astype(np.int16)
        voiced = np.where(said.f0 > _VOICED_HZ, said.f0, 0.0).astype(np.float32)
        symbols = [self._symbols[i] for i in said.ids]
        return Spoken(limited, voiced, timing(symbols, said.of_word, said.ends_s))

    def spectra(self, text: str, manner: Manner = Manner()) -> np.ndarray:
        """Return the spectra that `speak` makes the sound of, (frames, 5, 601) float32.

        They are logarithms of magnitudes (pulses, noise, and a part that depends on neither) and, in radians,
        how far the pulses are turned and the phase of that part. Frame i is centered at sample 300 i.

        Raises:
            ValueError: if a word is said as several.
        """
        harmonic, turn, noise, free, phase, _ = self._run(text, manner).parts
        harmonic[_HARMONIC_BINS:] = _NOTHING
        return np.stack([harmonic, noise, free, np.pi * np.tanh(turn), phase]).T.swapaxes(1, 2)

    def _run(self, text: str, manner: Manner) -> _Said:
        ids, of_word = lay_out(pronounced_text(text), self.engine.vocab)
        feeds = {"ids": np.array([ids], np.int64), "speed": _rates(manner, of_word)}
        *spectra, durations = self.engine.sess.run(None, feeds)
        parts = [part[0] for part in spectra]
        said = _Said(parts, parts[-1], ids, of_word, durations.reshape(-1))
        emphasis = _emphasis(len(said.f0), manner, said.ends_s, of_word)
        for level in (0, 2, 3):  # log magnitudes of the harmonics, the noise and the rest
            parts[level] = parts[level] + 0.25 * emphasis
        return replace(said, f0=_bent(said.f0, manner, emphasis))

    @cached_property
    def _symbols(self) -> dict[int, str]:
        return symbols_of(self.engine.vocab)

    @staticmethod
    def lexicon() -> dict[str, str]:
        """Return the words that hibari's dictionaries hold, lower case, with their usual phonemes."""
        import hibari

        known: dict[str, str] = {}
        for name in ("silver", "gold"):  # the better one last
            path = Path(hibari.__file__).parent / "assets" / f"lexicon_us_{name}.json.gz"
            for word, said in json.loads(gzip.decompress(path.read_bytes())).items():
                phonemes = said.get("DEFAULT") if isinstance(said, dict) else said
                if phonemes and word.isascii() and word.replace("'", "").isalpha() and word.islower():
                    known[word] = phonemes.replace("ɾ", "T")  # as hibari says them
        return known


def with_durations(source: Path, tensor: str, element_type: int, speed: str, path: Path) -> Path:
    """Write a copy of a network that returns its durations too and takes one speed per phoneme, once.

    Args:
        source: the ONNX file.
        tensor: name of the durations in it, (phonemes,) of the ONNX type `element_type`.
        speed: name of the input that the durations are divided by.
        path: of the copy.
    """
    import onnx
    from onnx import helper

    if path.exists():
        return path
    model = onnx.load(source)
    model.graph.output.append(helper.make_tensor_value_info(tensor, element_type, ["phonemes"]))
    for given in model.graph.input:
        if given.name == speed:
            given.type.tensor_type.shape.dim[0].dim_param = "speeds"
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        onnx.save(model, partial)
    return path


def _rates(manner: Manner, of_word: np.ndarray) -> np.ndarray:
    """(phonemes,) float32 speed of each phoneme."""
    rates = np.full(len(of_word), manner.rate, np.float32)
    if manner.change_word is not None:
        # Both parts are as far from the usual pace.
        rates /= manner.change_rate**0.5
        rates[of_word >= manner.change_word] *= manner.change_rate
    if manner.emphasis is not None:
        rates[of_word == manner.emphasis] *= 0.7  # with less, short sounds are rounded to what they were
    return rates


def _emphasis(n_frames: int, manner: Manner, ends_s: np.ndarray, of_word: np.ndarray) -> np.ndarray:
    """(frames,) 1 inside the emphasized word, falling smoothly to 0 outside."""
    if manner.emphasis is None:
        return np.zeros(n_frames, np.float32)
    own = np.flatnonzero(of_word == manner.emphasis)
    starts_s = np.concatenate([[0.0], ends_s[:-1]])
    first, last = (
        int(seconds * SAMPLE_RATE_HZ / HOP_SAMPLES) for seconds in (starts_s[own[0]], ends_s[own[-1]])
    )
    inside = np.zeros(n_frames, np.float32)
    inside[first:last] = 1.0
    window = np.hanning(11)
    return np.convolve(inside, window / window.sum(), "same").astype(np.float32)


def _bent(f0: np.ndarray, manner: Manner, emphasis: np.ndarray) -> np.ndarray:
    """Return F0 in the manner asked for, (frames,) float32."""
    octaves = np.log2(manner.pitch) + manner.slope * (np.linspace(0.0, 1.0, len(f0)) - 0.5) + 0.22 * emphasis
    return np.where(f0 > _VOICED_HZ, f0 * 2.0**octaves, f0).astype(np.float32)


def lay_out(words: Sequence[str], vocabulary: Mapping[str, int]) -> tuple[list[int], np.ndarray]:
    """Return the ids of a text's phonemes between two pads, and the word that each belongs to."""
    ids, of_word = [0], [0]
    for index, word in enumerate(words):
        symbols = word if index == len(words) - 1 else word + " "
        known = [vocabulary[symbol] for symbol in symbols if symbol in vocabulary]
        ids += known
        of_word += [index] * len(known)
    return [*ids, 0], np.array([*of_word, len(words) - 1])


def symbols_of(vocabulary: Mapping[str, int]) -> dict[int, str]:
    """Return the symbol of each id; the pad is a pause."""
    return {0: PAUSE, **{number: symbol for symbol, number in vocabulary.items()}}


def timing(symbols: Sequence[str], of_word: np.ndarray, ends_s: np.ndarray) -> Timing:
    """Join stress marks and spaces with the phone after them; marks of punctuation are pauses."""
    phones: list[tuple[str, float]] = []
    word_ends = [0.0] * (int(of_word[-1]) + 1)
    for symbol, word, end in zip(symbols, of_word.tolist(), ends_s.tolist(), strict=True):
        if symbol in STRESS or symbol == " ":
            continue
        is_phone = symbol.isalpha()
        phones.append((symbol if is_phone else PAUSE, round(end, 4)))
        if is_phone:
            word_ends[word] = round(end, 4)
    word_ends = np.maximum.accumulate(word_ends).tolist()
    word_ends[-1] = phones[-1][1]
    return Timing(word_ends, phones)
