"""Recognition by the checkpoint's own acoustic model, its dictionary and its language model."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import ctc_loss

from taste_speech.audio_tower.configuration import TowerConfig
from taste_speech.errors import AudioError
from taste_speech.features import LogMelFeatures
from taste_speech.recognition.acoustic import AcousticConfig, AcousticModel, load_acoustic_model
from taste_speech.recognition.base import RECOGNITION_RATE_HZ, Recognition, RecognizedWord
from taste_speech.recognition.ngrams import read_dictionary, read_ngrams
from taste_speech.recognition.splitting import split_at_quiet
from taste_speech.recognition.voicing import LEAST_VOICED_S, voiced_seconds
from taste_speech.recognition.word_search import BLANK, History, WordSearch

LONGEST_PART_S = 12.0
"""Longer utterances are cut at quiet moments: the acoustic model was trained on shorter ones."""
PARTIAL_EVERY_S = 0.3
QUIET_S = 0.4
"""Quiet before and after the words that counts as part of an utterance, as in the corpus. Who waits longer
before it is over has not heard more."""
LOG_BASE = 1.0001
"""Base of PocketSphinx's integer logarithms."""


@dataclass(frozen=True)
class Hearing:
    """What was recognised, the (frames, phones + 1) log-probabilities that it was read from, and their fit.

    `fit` is that of the worst part; see `Transcript`. A frame lasts `frame_s` seconds.
    """

    recognition: Recognition
    log_probs: NDArray[np.float32]
    fit: float = 0.0
    frame_s: float = 0.032

    @property
    def speech(self) -> slice:
        """Frames from the first phone to the last and at most `QUIET_S` around them; without phones all."""
        said = np.flatnonzero(self.log_probs.argmax(axis=1) != BLANK)
        if not len(said):
            return slice(0, len(self.log_probs))
        quiet = round(QUIET_S / self.frame_s)
        return slice(max(0, int(said[0]) - quiet), min(len(self.log_probs), int(said[-1]) + 1 + quiet))


class CtcRecognizer:
    """A `Recognizer` of phones and words; the whole utterance is heard anew for each result."""

    def __init__(
        self,
        acoustic_model: str | Path,
        language_model: str | Path,
        dictionary: str | Path,
        config: AcousticConfig,
        tower: TowerConfig,
    ) -> None:
        """Prepare the recogniser; files are read at the first utterance.

        Args:
            acoustic_model: weights, as `save_acoustic_model` writes them.
            language_model: n-grams in a format of PocketSphinx, as they are or compressed (`.xz`).
            dictionary: lines of a word and its phones; words with several end in (2), (3) and so on.
            config: sizes of the acoustic model.
            tower: settings of the log-mel features.
        """
        self._paths = (Path(acoustic_model), Path(language_model), Path(dictionary))
        self._config, self._tower = config, tower
        self._features = LogMelFeatures(tower)
        self.start()

    def start(self) -> None:
        """Begin an utterance; whatever was accepted before is forgotten."""
        self._heard: list[NDArray[np.float32]] = []
        self._partial, self._partial_samples = "", 0

    def accept(self, samples: NDArray[np.float32]) -> None:
        """Take more audio: 1-D float32, 16 kHz mono, in [-1, 1].

        Errors: `AudioError` for another shape or NaN.
        """
        if samples.ndim != 1 or not np.isfinite(samples).all():
            raise AudioError(
                f"the recogniser takes one channel of finite samples, got shape {samples.shape}; "
                "mix to mono and remove NaN first"
            )
        self._heard.append(samples.astype(np.float32))

    def partial(self) -> str:
        """The text so far, at most a third of a second old; empty while only noise was heard."""
        total = sum(map(len, self._heard))
        if total - self._partial_samples >= PARTIAL_EVERY_S * RECOGNITION_RATE_HZ:
            self._partial = self._recognise().text
            self._partial_samples = total
        return self._partial

    def finish(self) -> Recognition:
        """The transcript of everything accepted since `start`; empty where no words were heard."""
        found = self._recognise()
        self.start()
        return found

    def _recognise(self) -> Recognition:
        audio = np.concatenate([np.zeros(0, np.float32), *self._heard])
        if voiced_seconds(audio, RECOGNITION_RATE_HZ) < LEAST_VOICED_S:
            return Recognition()
        return self.hear(audio).recognition

    def hear(self, audio: NDArray[np.float32]) -> "Hearing":
        """Recognise (T,) float32 samples of a whole utterance."""
        seconds_per_frame = 2 * self._tower.hop_samples / self._tower.sampling_rate_hz
        words: list[RecognizedWord] = []
        rows: list[NDArray[np.float32]] = []
        fit = 0.0
        for part in split_at_quiet(audio, int(LONGEST_PART_S * RECOGNITION_RATE_HZ), RECOGNITION_RATE_HZ):
            start_s = sum(map(len, rows)) * seconds_per_frame
            rows.append(self._log_probs(part))
            found = self._search(rows[-1], seconds_per_frame)
            words += [word.later_by(start_s) for word in found.words]
            fit = min(fit, found.fit)
        text = " ".join(word.text for word in words)
        return Hearing(Recognition(text, tuple(words)), np.concatenate(rows), fit, seconds_per_frame)

    def log_likelihood(self, log_probs: NDArray[np.float32], text: str) -> float:
        """Natural logarithm of the probability that (frames, phones + 1) `log_probs` are of `text`.

        Of words with several pronunciations the first counts; unknown words are taken to be silent.
        """
        columns = [column for word in text.split() for column in self._pronunciations.get(word, ())]
        if not columns:
            return float(log_probs[:, BLANK].sum())
        lengths = torch.tensor([len(log_probs)]), torch.tensor([len(columns)])
        rows = torch.from_numpy(log_probs)[:, None]
        return -float(ctc_loss(rows, torch.tensor([columns]), *lengths, blank=BLANK, reduction="sum"))

    @torch.inference_mode()
    def _log_probs(self, audio: NDArray[np.float32]) -> NDArray[np.float32]:
        """(frames, phones + 1) log-probabilities of (T,) float32 samples."""
        log_probs, _ = self._model(self._features(audio))
        return log_probs[0].numpy()

    @cached_property
    def _model(self) -> AcousticModel:
        return load_acoustic_model(self._paths[0], self._config, self._tower.num_mel_bins)

    @cached_property
    def _search(self) -> WordSearch:
        ngrams = read_ngrams(self._paths[1])
        scale = float(np.log(LOG_BASE))

        def score(word: str, history: History) -> float:
            return ngrams.prob([word, *history]) * scale

        return WordSearch(self._entries, score)

    @cached_property
    def _entries(self) -> list[tuple[str, list[int]]]:
        return read_dictionary(self._paths[2])

    @cached_property
    def _pronunciations(self) -> dict[str, list[int]]:
        # Later entries are rarer pronunciations.
        return dict(reversed(self._entries))
