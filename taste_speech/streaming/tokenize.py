"""Audio and its words -> taste tokens: in one call, or as the audio arrives."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import soxr
import torch
from torch import Tensor

from taste_speech.audio_io import Samples, check_rate, prepare_audio
from taste_speech.audio_tower.encoder import EncodedAudio
from taste_speech.audio_tower.quantizer import NO_TASTE
from taste_speech.audio_tower.windows import EncoderWindows
from taste_speech.errors import AudioError, TextError
from taste_speech.modeling_taste import TasteForCausalLM
from taste_speech.processing_taste import TasteProcessor
from taste_speech.spoken_lm.arrangement import word_start_codes
from taste_speech.streaming.encode_ahead import EncodeAhead

PREVIEW_WINDOW_S = 2.0
"""Window of provisional tokens of a checkpoint that has no trained window."""


def taste_tokenize(
    model: TasteForCausalLM,
    processor: TasteProcessor,
    audio: Tensor,
    text_ids: Tensor,
    sampling_rate: int = 16000,
) -> Tensor:
    """Taste tokens of an utterance whose words are known; the same as `model.extract_vq` for these words.

    Args:
        audio: (1, samples) mono, float in [-1, 1] or int16, at most as long as the tower takes (30 s).
        text_ids: (1, S) LLM ids of the words, without special tokens.
        sampling_rate: of `audio` in Hz; resampled where the model needs another.

    Returns:
        taste_ids (1, S, L) int64 on the model's device: the word's codes on the first token of each word, -1
        on the others.

    Raises:
        AudioError: not one utterance, empty, not finite, too long, or at an impossible rate.
        TextError: not one text, empty, or with special tokens.
    """
    if audio.ndim != 2 or audio.shape[0] != 1:
        raise AudioError(
            f"audio has shape {tuple(audio.shape)}; expected (1, samples), one mono utterance at a time"
        )
    samples = _whole_utterance(processor, audio[0], sampling_rate)
    inputs = _text_fields(processor, text_ids) | processor.audio_fields(samples)
    return model.extract_vq(**inputs)[1]


@dataclass(frozen=True)
class ProvisionalTokens:
    """Taste tokens of what has been heard so far; they may change until the utterance is finished.

    Attributes:
        taste_ids: (1, S, L), as `taste_tokenize` gives them.
        frozen_s: seconds from the start whose encoding no longer changes.
        heard_s: seconds heard.
    """

    taste_ids: Tensor
    frozen_s: float
    heard_s: float


class StreamingTokenizer:
    """Taste tokens of one utterance that arrives in pieces.

    Where the checkpoint is trained with encoder windows (`encoder_window_s`), `append` encodes them ahead and
    `finish` only the rest. Otherwise `finish` runs the encoder over the whole utterance, because that is what
    the checkpoint knows, and windows only serve `provisional`. Either way `finish` equals `taste_tokenize`.

    Args:
        preview_window_s: window of provisional tokens where the checkpoint has none of its own.
    """

    def __init__(
        self, model: TasteForCausalLM, processor: TasteProcessor, preview_window_s: float = PREVIEW_WINDOW_S
    ):
        self._model = model
        self._processor = processor
        tower = model.audio_tower
        self._encode_as_it_comes = tower.windows is not None
        self._windows = tower.windows or EncoderWindows.of_length(
            preview_window_s, tower.config, model.config.streaming
        )
        self.windows_reused = 0
        """Windows that the last `finish` did not have to encode."""
        self.reset()

    def reset(self) -> None:
        """Forget the utterance; the next one may have another sampling rate."""
        self._pieces: list[Samples] = []
        self._rate_hz: int | None = None
        self._resampler: Any = None
        self._ahead = EncodeAhead(self._model.audio_tower, self._processor.features, self._windows)

    @property
    def heard_s(self) -> float:
        """Seconds of audio appended."""
        return sum(piece.size for piece in self._pieces) / self._rate_hz if self._rate_hz else 0.0

    @torch.inference_mode()
    def append(self, samples: Samples | Tensor, sampling_rate: int = 16000) -> None:
        """Take more audio: (samples,) mono; an empty piece is allowed.

        Raises:
            AudioError: unusable audio, another rate than before, or more than the tower takes in all.
        """
        rate = check_rate(sampling_rate)
        if self._rate_hz not in (None, rate):
            raise AudioError(
                f"the utterance began at {self._rate_hz} Hz and goes on at {rate} Hz; keep to one rate, "
                "or call reset() for a new utterance"
            )
        if len(samples) == 0:
            return
        piece = prepare_audio(samples, rate, rate)
        limit_s = self._processor.features.max_duration_s
        if self.heard_s + piece.size / rate > limit_s:
            raise AudioError(
                f"the utterance is longer than {limit_s:g} s; finish it and start a new one with reset()"
            )
        self._rate_hz = rate
        self._pieces.append(piece)
        self._ahead.append(self._resample(piece))
        if self._encode_as_it_comes:
            self._ahead.advance()

    @torch.inference_mode()
    def provisional(self, text_ids: Tensor) -> ProvisionalTokens:
        """Tokens of what has been heard so far, for the words `text_ids` (1, S) recognised so far.

        Raises:
            AudioError: less than one frame has been heard; TextError: see `taste_tokenize`.
        """
        fields = _text_fields(self._processor, text_ids)
        encoded = self._ahead.preview()
        if encoded is None:
            raise AudioError(
                f"only {self.heard_s:.3f} s of audio so far; append more before asking for tokens"
            )
        return ProvisionalTokens(self._taste_ids(encoded, fields), self._ahead.frozen_s, self.heard_s)

    @torch.inference_mode()
    def finish(self, text_ids: Tensor) -> Tensor:
        """Taste tokens (1, S, L) of the whole utterance, for its words `text_ids` (1, S).

        The utterance is kept: `finish` can be called again with corrected words. `reset` begins a new one.

        Raises:
            AudioError: no audio; TextError: see `taste_tokenize`.
        """
        fields = _text_fields(self._processor, text_ids)
        audio = np.concatenate([np.zeros(0, np.float32), *self._pieces])
        samples = _whole_utterance(self._processor, audio, self._rate_hz or self._processor.sampling_rate_hz)
        inputs = self._processor.audio_fields(samples)
        features, n_frames = inputs["audio_features"], inputs["audio_feature_lengths"]
        if self._encode_as_it_comes:
            encoded, self.windows_reused = self._ahead.finish(features[:, : int(n_frames)])
        else:
            encoded = self._model.audio_tower.encode(features, n_frames)
        return self._taste_ids(encoded, fields)

    def _resample(self, piece: Samples) -> Samples:
        target = self._processor.sampling_rate_hz
        if self._rate_hz == target:
            return piece
        if self._resampler is None:
            self._resampler = soxr.ResampleStream(self._rate_hz, target, 1, dtype="float32", quality="HQ")
        return self._resampler.resample_chunk(piece)

    def _taste_ids(self, encoded: EncodedAudio, fields: dict[str, Tensor]) -> Tensor:
        fields = {name: field.to(encoded.keys.device) for name, field in fields.items()}
        asr = [fields[f"asr_{name}"] for name in ("token_ids", "token_lengths", "word_ids")]
        indices = self._model.audio_tower.tokenize(encoded, *asr).indices
        return word_start_codes(indices, asr[2], asr[1], fields["llm_word_ids"], fields["llm_token_lengths"])


@dataclass(frozen=True)
class Agreement:
    """How far two tokenizations of the same words agree.

    Attributes:
        words: share of words whose taste tokens are equal on all levels.
        levels: share of words with equal codes, for each level.
    """

    words: float
    levels: tuple[float, ...]


def taste_agreement(taste_ids: Tensor, reference: Tensor) -> Agreement:
    """Compare (1, S, L) taste ids, such as provisional ones, with those of the full pass.

    Raises:
        ValueError: their words are not the same.
    """
    starts = reference[..., 0] != NO_TASTE
    if taste_ids.shape != reference.shape or not torch.equal(taste_ids[..., 0] != NO_TASTE, starts):
        raise ValueError(
            f"taste ids {tuple(taste_ids.shape)} and {tuple(reference.shape)} are not of the same words; "
            "tokenize both with the same text_ids"
        )
    if not bool(starts.any()):
        return Agreement(1.0, (1.0,) * reference.shape[-1])
    equal = (taste_ids == reference)[starts]
    return Agreement(equal.all(-1).float().mean().item(), tuple(equal.float().mean(0).tolist()))


def _whole_utterance(processor: TasteProcessor, audio: Any, sampling_rate: int) -> Samples:
    return prepare_audio(audio, sampling_rate, processor.sampling_rate_hz, processor.features.max_duration_s)


def _text_fields(processor: TasteProcessor, text_ids: Tensor) -> dict[str, Tensor]:
    if text_ids.ndim != 2 or text_ids.shape[0] != 1 or text_ids.is_floating_point():
        raise TextError(
            f"text_ids have shape {tuple(text_ids.shape)} and type {text_ids.dtype}; "
            "expected (1, S) integer ids of one text"
        )
    return processor.align_text_ids(text_ids)
