"""Stage `pairs`: what a checkpoint's unit decoder says, and the reply voice saying it at the same time.

A flow that learns from such pairs turns the units of one voice into the sound of another (voice conversion):
the unit decoder, and with it the taste tokens, stay as they are. The reply voice is heard by the audio tower,
said again in units, aligned with these by dynamic time warping (Sakoe and Chiba 1978), and then made to speak
anew with each phone as long as it is in units.
"""

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from pydantic import Field
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from taste_speech.acceleration import accelerate
from taste_speech.checkpoint_files import ASR_FOLDER, UNITS, VOICES
from taste_speech.configuration_base import StrictSection
from taste_speech.modeling_taste import TasteForCausalLM
from taste_speech.speaker import load_voices
from taste_speech.streaming.unit_stream import UnitStream, UnitStreamState
from taste_speech.training.autoencoder.taste_tokens import heard_by
from taste_speech.training.config import StageContext, replacing
from taste_speech.training.corpus.audio_store import AudioStore, Clip
from taste_speech.training.corpus.reply_voice import SAMPLE_RATE_HZ, ReplyVoice, manner_of, store_utterance
from taste_speech.training.stages import units
from taste_speech.vocoder.configuration import VoiceGeneratorConfig
from taste_speech.words import Word

logger = logging.getLogger(__name__)
_LEVELING = 0.5
"""Of the differences between the coordinates' deviations, as far as the alignment goes."""
_PRIOR = 5.0
"""Frames that the spectrum a unit stands for counts as, beside those that it is aligned with."""
_PREVIOUS_WORDS = 2
"""Words before a chunk that the unit decoder sees."""


class Settings(StrictSection):
    """Of the pairs."""

    stores: list[str] = ["answers"]
    """Recordings of the reply voice that are heard and said again."""
    clips: int = Field(default=1000, ge=1)
    """Of each store, at most."""
    voice: str = "rms"
    """Of the unit decoder."""
    chunk_words: int = Field(default=4, ge=1)
    """Most words that the unit decoder says at once."""
    pitch: float = Field(default=1.0, gt=0)
    """Factor of the pitch in `reply_corpus`; the pairs are without it."""
    fit_clips: int = Field(default=120, ge=1)
    """Clips on which the alignment is fitted."""
    fit_rounds: int = Field(default=4, ge=0)
    jump_cost: float = 0.03
    """Of a frame that is aligned with the same frame of the other side as the one before it; frames are about
    one apart."""
    seed: int = 0


def dtw_path(cost: np.ndarray, jump_cost: float) -> list[tuple[int, int]]:
    """Cheapest monotonic path through (rows, columns), from the first corner to the last.

    Args:
        cost: of each pair.
        jump_cost: added to a step along one side only.
    """
    rows, columns = cost.shape
    total = np.full((rows + 1, columns + 1), np.inf)
    total[0, 0] = 0.0
    for diagonal in range(2, rows + columns + 1):  # cells of an anti-diagonal do not depend on each other
        i = np.arange(max(1, diagonal - columns), min(rows, diagonal - 1) + 1)
        j = diagonal - i
        straight = total[i - 1, j - 1]
        aside = np.minimum(total[i - 1, j], total[i, j - 1]) + jump_cost
        total[i, j] = cost[i - 1, j - 1] + np.minimum(straight, aside)
    i, j, path = rows, columns, []
    while i and j:
        path.append((i - 1, j - 1))
        before = total[i - 1, j - 1], total[i - 1, j] + jump_cost, total[i, j - 1] + jump_cost
        step = int(np.argmin(before))
        i, j = i - (step != 2), j - (step != 1)
    return path[::-1]


def warped(ends: np.ndarray, path: Sequence[tuple[int, int]], count: int) -> np.ndarray:
    """Where times in columns, (n,) in frames, are in the `count` rows of a path."""
    rows, columns = np.array(path).T
    # The middle of the rows of each column, and both ends of the path.
    middles = np.bincount(columns, rows + 0.5) / np.bincount(columns)
    places = np.concatenate([[0.0], np.arange(len(middles)) + 0.5, [len(middles)]])
    return np.interp(ends, places, np.concatenate([[0.0], middles, [float(count)]]))


@dataclass(frozen=True)
class Recording:
    """A clip of the reply voice as the aligner takes it.

    Attributes:
        frames: (frames, cepstra + 1) spectrum and voicing at the rate of units.
        phone_ends: (phones,) in frames.
        ids: (units,) what the unit decoder made of it.
    """

    frames: np.ndarray
    phone_ends: np.ndarray
    ids: np.ndarray

    @property
    def stretched(self) -> np.ndarray:
        """Number of the frame at each unit if all of the clip were slower or faster alike, (units,)."""
        count = len(self.ids)
        return np.floor((np.arange(count) + 0.5) * len(self.frames) / count).astype(int)


class Aligner:
    """Finds the phones of the reply voice among the units of another.

    It begins with the spectra that units stand for. As these are another voice's, they are replaced by the
    mean of what they are aligned with, in turns (as in Erro, Moreno and Bonafonte 2010).

    Args:
        spectrum_of: (unit ids,) number of the spectrum of each unit.
        points: (spectra, cepstra + 1) what they look like.
        deviations: (cepstra + 1,) of the frames of the reply voice.
        jump_cost: of `Settings`.
    """

    def __init__(
        self, spectrum_of: np.ndarray, points: np.ndarray, deviations: np.ndarray, jump_cost: float
    ) -> None:
        self.spectrum_of, self.points, self.jump_cost = spectrum_of, points, jump_cost
        weights = deviations.clip(min=1e-3) ** -_LEVELING
        self.weights = weights / np.sqrt(((weights * deviations) ** 2).sum())

    def path(self, clip: Recording) -> list[tuple[int, int]]:
        """Return the path through units and stretched frames."""
        said = self.points[self.spectrum_of[clip.ids]] * self.weights
        heard = clip.frames[clip.stretched] * self.weights
        return dtw_path(np.sqrt(((said[:, None] - heard[None]) ** 2).sum(-1)), self.jump_cost)

    def fit(self, clips: Sequence[Recording], rounds: int) -> None:
        """Learn from some clips what the units look like in the reply voice."""
        first = self.points
        for _ in range(rounds):
            sums, counts = _PRIOR * first, np.full((len(first), 1), _PRIOR)
            for clip in clips:
                rows, columns = np.array(self.path(clip)).T
                spectra = self.spectrum_of[clip.ids][rows]
                np.add.at(sums, spectra, clip.frames[clip.stretched][columns])
                np.add.at(counts, spectra, 1.0)
            self.points = sums / counts

    def phone_ends(self, clip: Recording) -> np.ndarray:
        """Return the unit (a fraction of it, too) at which each phone of the clip ends."""
        count = len(clip.ids)
        ends = clip.phone_ends.clip(max=len(clip.frames)) * count / len(clip.frames)
        return warped(ends, self.path(clip), count)


def resampled(ids: np.ndarray, wanted: np.ndarray, reached: np.ndarray, count: int) -> np.ndarray:
    """Units (count,) of a sound whose phones end at `reached`; among `ids` (units,) they end at `wanted`."""
    places = np.interp(np.arange(count) + 0.5, np.append(0.0, reached), np.append(0.0, wanted))
    return ids[np.floor(places).astype(int).clip(0, len(ids) - 1)]


def run(settings: Settings, context: StageContext) -> None:
    """Fill the store `pairs` of the corpus; writes `units.safetensors`, the units of its clips."""
    if context.start is None:
        raise ValueError("stage pairs needs a checkpoint whose units it pairs; give the recipe a `start`")
    corpus, folder = context.folder("corpus"), context.folder("pairs")
    stores = [AudioStore(corpus / name) for name in settings.stores]
    chosen = [(store, clip) for store in stores for clip in store[: settings.clips] if clip.split != "test"]
    said = Units(folder / "said.safetensors")
    _say_again(chosen, said, settings, context.start, folder)
    start = units.frames_of(context.start)
    fit = [(store, clip) for store, clip in chosen if clip.split == "train"][: settings.fit_clips]
    quantizer = _of_this_voice(units.UnitQuantizer.read(context.start / UNITS, units.Settings()), fit, start)

    def recording(store: AudioStore, clip: Clip) -> Recording:
        mel, f0 = _features(store, clip, start)
        ends = np.array([end for _, end in clip.timing.phones]) * start.units_per_second
        ids = said.known[clip.id].numpy().astype(int)
        return Recording(np.column_stack([quantizer.points(mel), f0 > 0]), ends, ids)

    known = [recording(store, clip) for store, clip in fit]
    deviations = np.concatenate([item.frames for item in known]).std(0)
    aligner = Aligner(*_spectra(quantizer), deviations, settings.jump_cost)
    aligner.fit(known, settings.fit_rounds)
    made, paired = AudioStore(corpus / "pairs"), Units(folder / "units.safetensors")
    voice = ReplyVoice(corpus)
    for store, clip in chosen:
        if clip.id in paired.known:
            continue
        item, rng = recording(store, clip), random.Random(f"{settings.seed} {clip.id}")
        wanted = aligner.phone_ends(item)
        manner = manner_of(clip)
        manner = replace(manner, pitch=manner.pitch / settings.pitch)
        seconds = (wanted / start.units_per_second).tolist()
        spoken = voice.speak(clip.text, manner, rng.randrange(2**31), seconds)
        reached = np.array([end for _, end in spoken.timing.phones]) * start.units_per_second
        count = len(spoken.samples) * start.units_per_second // SAMPLE_RATE_HZ
        paired.add(clip.id, resampled(item.ids, wanted, reached, count))
        if clip.id not in made:
            fields = {"id": clip.id, "split": clip.split, "text": clip.text, "voice": clip.voice}
            store_utterance(made, spoken, manner, **fields)
    paired.save()
    logger.info("pairs: %d clips", len(made))


class Units:
    """Units of clips in a file that is written now and then, so that a stopped run goes on.

    Attributes:
        known: (units,) int16 by clip.
    """

    def __init__(self, path: Path, save_every: int = 100) -> None:
        self.path, self.save_every = path, save_every
        self.known = load_file(path) if path.exists() else {}

    def add(self, key: str, ids: np.ndarray) -> None:
        """Add those of a clip."""
        self.known[key] = torch.from_numpy(ids.astype(np.int16))
        if len(self.known) % self.save_every == 0:
            self.save()
            logger.info("%s: %d clips", self.path.stem, len(self.known))

    def save(self) -> None:
        """Write the file."""
        with replacing(self.path) as path:
            save_file(self.known, path)


def _say_again(
    chosen: Sequence[tuple[AudioStore, Clip]], said: Units, settings: Settings, start: Path, folder: Path
) -> None:
    """Units of what the audio tower of checkpoint `start` hears in clips, in chunks as in a reply."""
    missing = [item for item in chosen if item[1].id not in said.known]
    if not missing:
        return
    model = TasteForCausalLM.from_pretrained(start).eval()
    accelerate(model)
    pieces = AutoTokenizer.from_pretrained(start / ASR_FOLDER)
    tastes = heard_by(model.audio_tower, pieces, missing, folder / "taste_ids.safetensors")
    stream = UnitStream(model, load_voices(start / VOICES)[settings.voice], _PREVIOUS_WORDS)
    for _, clip in missing:
        rng = random.Random(f"{settings.seed} {clip.id}")
        generator = torch.Generator().manual_seed(rng.randrange(2**31))
        words = [
            Word(text, tuple(pieces.encode(f" {text}", add_special_tokens=False)), tuple(taste))
            for text, taste in zip(clip.text.split(), tastes[clip.id].tolist(), strict=True)
        ]
        state, ids, place = UnitStreamState(), [], 0
        while place < len(words):
            count = rng.randint(1, settings.chunk_words)
            chunk, state = stream.extend(words[place : place + count], state, generator)
            ids += chunk.ids
            place += count
        said.add(clip.id, np.array(ids))
    said.save()


def _features(store: AudioStore, clip: Clip, config: VoiceGeneratorConfig) -> tuple[np.ndarray, np.ndarray]:
    samples = store.samples_at(clip, config.sampling_rate_hz)
    return units.unit_features(samples, config, partial(store.pitch_at, clip))


def _of_this_voice(
    quantizer: units.UnitQuantizer, clips: Sequence[tuple[AudioStore, Clip]], config: VoiceGeneratorConfig
) -> units.UnitQuantizer:
    """The quantizer with the mean and the deviation of clips of another voice."""
    mel = np.concatenate([_features(store, clip, config)[0] for store, clip in clips])
    tensors = {**quantizer.tensors, "mel_mean": mel.mean(0), "mel_std": mel.std(0)}
    return units.UnitQuantizer(tensors, quantizer.settings)


def _spectra(quantizer: units.UnitQuantizer) -> tuple[np.ndarray, np.ndarray]:
    """Number of the spectrum of each unit (units,), and the spectra (spectra, cepstra + 1), voicing last."""
    voiced, unvoiced = quantizer.tensors["voiced"], quantizer.tensors["unvoiced"]
    own = np.repeat(np.arange(len(voiced)), quantizer.settings.pitch_levels)
    is_voiced = np.repeat([1.0, 0.0], [len(voiced), len(unvoiced)])
    points = np.column_stack([np.concatenate([voiced, unvoiced]), is_voiced])
    return np.concatenate([own, len(voiced) + np.arange(len(unvoiced))]), points
