"""Recognition by PocketSphinx: small, on any CPU, with partial results while the person speaks."""

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pocketsphinx
from numpy.typing import NDArray

from taste_speech.errors import AudioError
from taste_speech.recognition.base import RECOGNITION_RATE_HZ, Recognition, RecognizedWord
from taste_speech.recognition.ngrams import unpacked
from taste_speech.recognition.voicing import LEAST_VOICED_S, voiced_seconds

BLOCK_SAMPLES = 1600
"""Audio is decoded in blocks of this size, so that the result does not depend on how it arrives."""
FRAMES_PER_SECOND = 100
FULL_SCALE = 32767
SPEECH_RMS = 0.1
FLOOR_RMS = 0.001
NOT_WORDS = ("<", "[", "+")


def to_pcm(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Return float samples in [-1, 1] as 16-bit integers; louder ones are clipped."""
    return (np.clip(samples, -1.0, 1.0) * FULL_SCALE).astype(np.int16)


def with_floor(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return an utterance at a fixed level with faint hiss, the same each time, in its pauses.

    Recordings have some; to an acoustic model made from them digital silence is a strange sound.
    """
    gain = SPEECH_RMS / max(float(np.sqrt(np.mean(samples**2))), FLOOR_RMS)
    hiss = np.random.default_rng(0).standard_normal(len(samples), dtype=np.float32)
    return samples * gain + FLOOR_RMS * hiss


def check_samples(samples: NDArray[np.float32]) -> None:
    """`AudioError` unless samples are finite and of one channel."""
    if samples.ndim != 1 or not np.isfinite(samples).all():
        raise AudioError(
            f"audio of shape {samples.shape} cannot be recognised; give finite samples of one channel"
        )


class PocketSphinxRecognizer:
    """A `Recognizer` with PocketSphinx's US English acoustic model.

    The text so far comes from a first pass, which has to guess level and tone (the cepstral mean) from what
    was heard before. When the utterance is over, a second pass knows them: with other voices, rooms and
    microphones each time it makes far fewer errors.
    """

    def __init__(
        self,
        language_model: str | Path | None = None,
        dictionary: str | Path | None = None,
        **options: float | bool | str,
    ):
        """Prepare the recogniser; models are loaded at the first utterance.

        Args:
            language_model: n-grams, ARPA or binary, perhaps compressed (`.xz`); None: US English in general.
            dictionary: pronunciations of its words; None: CMU's dictionary.
            options: of PocketSphinx, for example `beam=1e-60`.
        """
        self._lm, self._dictionary, self._options = language_model, dictionary, options
        self._loaded: pocketsphinx.Decoder | None = None
        self._waiting = np.zeros(0, dtype=np.float32)
        self._voiced_s = 0.0
        self._started = False
        self._heard: list[NDArray[np.float32]] = []

    @property
    def _decoder(self) -> pocketsphinx.Decoder:
        if self._loaded is None:
            given = {} if self._dictionary is None else {"dict": str(self._dictionary)}
            with nullcontext() if self._lm is None else unpacked(Path(self._lm)) as language_model:
                if language_model is not None:
                    given["lm"] = str(language_model)
                self._loaded = pocketsphinx.Decoder(
                    samprate=RECOGNITION_RATE_HZ, loglevel="FATAL", **given, **self._options
                )
        return self._loaded

    def recognize(self, samples: NDArray[np.float32]) -> Recognition:
        """Return the transcript of a whole utterance, (T,) float32 at 16 kHz, whatever was heard before.

        Errors: `AudioError` for another shape or NaN.
        """
        check_samples(samples)
        if self._started:
            self._decoder.end_utt()
            self._started = False
        if voiced_seconds(samples, RECOGNITION_RATE_HZ) < LEAST_VOICED_S:
            return Recognition()
        return self._whole(samples)

    def start(self) -> None:
        """Begin an utterance; whatever was accepted before is forgotten."""
        if self._started:
            self._decoder.end_utt()
        self._decoder.start_utt()
        self._waiting = np.zeros(0, dtype=np.float32)
        self._voiced_s = 0.0
        self._heard = []
        self._started = True

    def accept(self, samples: NDArray[np.float32]) -> None:
        """Take more audio: 1-D float32, 16 kHz mono, in [-1, 1].

        Errors: `AudioError` for another shape or NaN.
        """
        check_samples(samples)
        if not self._started:
            self.start()
        self._waiting = np.concatenate([self._waiting, samples])
        whole = len(self._waiting) // BLOCK_SAMPLES * BLOCK_SAMPLES
        for start in range(0, whole, BLOCK_SAMPLES):
            self._decode(self._waiting[start : start + BLOCK_SAMPLES])
        self._waiting = self._waiting[whole:]

    def partial(self) -> str:
        """The text so far, which later audio may change; empty while only noise was heard."""
        hypothesis = self._decoder.hyp() if self._started else None
        return hypothesis.hypstr if hypothesis is not None and self.heard_voice else ""

    def finish(self, first: int = 0, end: int | None = None) -> Recognition:
        """The transcript of what was accepted since `start`; empty where no words were heard.

        Args:
            first, end: samples for the second pass, where the rest is known to say nothing.
        """
        if not self._started:
            return Recognition()
        self._decode(self._waiting)
        self._waiting = np.zeros(0, dtype=np.float32)
        self._decoder.end_utt()
        self._started = False
        if not self.heard_voice:
            return Recognition()
        found = self._whole(np.concatenate(self._heard)[first:end])
        words = tuple(word.later_by(first / RECOGNITION_RATE_HZ) for word in found.words)
        return Recognition(found.text, words)

    def _whole(self, samples: NDArray[np.float32]) -> Recognition:
        """Decode an utterance whose end is known."""
        mean = self._decoder.get_cmn()
        # Once it was given blocks, PocketSphinx normalises whole utterances by the running mean too.
        self._decoder.reinit_feat()
        self._decoder.start_utt()
        self._decoder.process_raw(to_pcm(with_floor(samples)).tobytes(), full_utt=True)
        self._decoder.end_utt()
        self._decoder.set_cmn(mean)
        if self._decoder.hyp() is None:
            return Recognition()
        words = tuple(
            RecognizedWord(
                text=segment.word.partition("(")[0],
                start_s=segment.start_frame / FRAMES_PER_SECOND,
                end_s=(segment.end_frame + 1) / FRAMES_PER_SECOND,
                confidence=min(1.0, segment.prob),
            )
            for segment in self._decoder.seg()
            if not segment.word.startswith(NOT_WORDS)
        )
        return Recognition(" ".join(word.text for word in words), words)

    def _decode(self, samples: NDArray[np.float32]) -> None:
        if len(samples):
            self._voiced_s += voiced_seconds(samples, RECOGNITION_RATE_HZ)
            self._decoder.process_raw(to_pcm(samples).tobytes())
            self._heard.append(samples)

    @property
    def heard_voice(self) -> bool:
        """Whether anything in the last utterance was periodic as voices are."""
        return self._voiced_s >= LEAST_VOICED_S
