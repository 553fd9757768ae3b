"""An English Whisper model on the CPU, with one encoder pass per utterance."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperModel

from taste_speech.audio_tower.encoder import EncodedAudio, encode_features
from taste_speech.configuration_sections import TowerConfig
from taste_speech.cpu import quantize
from taste_speech.errors import CheckpointError
from taste_speech.features import LogMelFeatures
from taste_speech.pretrained.whisper import tiny_en_folder
from taste_speech.recognition.base import RECOGNITION_RATE_HZ
from taste_speech.recognition.decoding import DecoderRows, DecodingState, loop_start, token_frames

WINDOWS_S = (10, 20, 30)
"""Input lengths of the encoder: speech, then zeros. It was trained with 30 s, and 10 s are as accurate; with
5 s, or without zeros, the decoder misses the end and repeats itself."""
VALUE_LAYER = 0
"""Layer of the encoder whose input an audio tower can take from here instead of encoding the audio again."""
MIN_SILENCE_S = 0.5
"""Minimum duration of the zeros at the end of a window."""
MURMURS = (
    *("Mm-hmm.", "Mhm.", "Mm.", "Hmm.", "Uh-huh.", "Ah."),
    *("Aha.", "Oh.", "Wow.", "Okay.", "Yeah.", "Yep."),
)
HESITATIONS = ("Uh", "Um")
"""Hesitations as Whisper writes them, without a period."""
MURMUR_MARGIN, MURMUR_MAX_TOKENS = 4.5, 6
"""A transcript of at most this many tokens is replaced by a murmur whose log probability is lower by at most
this margin, in nats, because Whisper hears words in everything. Chosen on synthetic voices; the few single
words that this loses were misheard anyway."""
LONGEST_S = WINDOWS_S[-1] - MIN_SILENCE_S
LONGEST_FIRST_WORD_S = 0.6
"""Maximum duration of the first word, because the attention does not show where it starts."""
_TOKENS_PER_S, _EXTRA_TOKENS = 8, 10
"""Limit on the number of tokens; nobody speaks faster."""


@dataclass(frozen=True, eq=False)
class Transcript:
    """Output of the decoder.

    Attributes:
        token_ids: tokens without the end of the text.
        log_probs: natural log probability of each token, then of the end of the text.
        attention: (alignment heads, tokens + 1, frames).
        no_speech: probability that nothing is said.
        confidence: of a murmur, the mean probability of the tokens that it replaces; None: of these tokens.
    """

    token_ids: tuple[int, ...]
    log_probs: tuple[float, ...]
    attention: Tensor
    no_speech: float
    confidence: float | None = None


def has_letters(text: str) -> bool:
    """Return whether a text contains letters or digits."""
    return any(letter.isalnum() for letter in text)


def _load(folder: Path) -> WhisperModel:
    """Load encoder and decoder in float32, for inference only."""
    config = WhisperConfig.from_pretrained(folder)
    config._attn_implementation = "sdpa"
    with torch.device("meta"):
        model = WhisperModel(config)
    stored = load_file(folder / "model.safetensors").items()
    model.load_state_dict({name.removeprefix("model."): w.float() for name, w in stored}, assign=True)
    return model.eval().requires_grad_(False)


@cache
def tiny_en() -> "EnglishWhisper":
    """Return Whisper tiny.en, loaded at the first call.

    Raises:
        CheckpointError: the package that holds it is missing.
    """
    return EnglishWhisper(tiny_en_folder())


class EnglishWhisper:
    """An English-only Whisper model; it holds weights, but no state of an utterance.

    The encoder's linear layers are int8, which takes less than half the time and is as accurate.

    Args:
        folder: folder with the files that `pretrained.whisper` writes.
    """

    def __init__(self, folder: Path) -> None:
        model = _load(folder)
        generation = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.encoder = model.encoder
        for layer in self.encoder.layers:
            quantize(layer, each_output=True)
        config = TowerConfig(num_mel_bins=model.config.num_mel_bins, pad_to_max_source=False)
        self._features = LogMelFeatures(config)
        self.frame_s = 2 * config.hop_samples / config.sampling_rate_hz
        self.end_id = self._id("<|endoftext|>")
        self._no_speech_id = self._id("<|nocaptions|>")
        self._prefix = [self._id("<|startoftranscript|>"), self._id("<|notimestamps|>")]
        size = max(*self._prefix, self._no_speech_id) + 1  # the ids after it are all timestamps
        heads = [tuple(pair) for pair in generation["alignment_heads"]]
        self._decoder = DecoderRows(model.decoder, heads, size)
        self.max_tokens = self._decoder.max_tokens - len(self._prefix)
        self._murmurs = [self.encode_text(text) for text in (*MURMURS, *HESITATIONS)]
        self._suppressed = torch.zeros(size)
        self._suppressed[[token for token in generation["suppress_tokens"] if token < size]] = -torch.inf
        self._suppressed[self.end_id + 1 :] = -torch.inf
        self._suppressed_first = self._suppressed.clone()
        self._suppressed_first[generation["begin_suppress_tokens"]] = -torch.inf

    def _id(self, token: str) -> int:
        found = self.tokenizer.token_to_id(token)
        if found is None:
            raise CheckpointError(f"the tokenizer has no {token}; it is not Whisper's tokenizer for English")
        return int(found)

    def encode_text(self, text: str) -> list[int]:
        """Return the tokens of words inside a sentence."""
        return self.tokenizer.encode(f" {text}", add_special_tokens=False).ids

    def frame_count(self, n_samples: int) -> int:
        """Return the number of mel frames of so many samples without padding."""
        return self._features.frame_count(n_samples)

    @torch.inference_mode()
    def encode(self, samples: NDArray[np.float32]) -> EncodedAudio:
        """Return the encoder states (1, frames, d) of samples (T,) at 16 kHz, at most `LONGEST_S` long.

        The input is padded to the shortest window that holds it. The values are the input of layer
        `VALUE_LAYER`.
        """
        least_s = samples.size / RECOGNITION_RATE_HZ + MIN_SILENCE_S
        window_s = next(window_s for window_s in WINDOWS_S if window_s >= least_s)
        padded = np.pad(samples, (0, window_s * RECOGNITION_RATE_HZ - samples.size))
        return encode_features(self.encoder, self._features(padded), VALUE_LAYER)

    @torch.inference_mode()
    def transcribe(self, encoded: Tensor, seconds: float, draft: Sequence[int] = ()) -> Transcript:
        """Return the transcript of one utterance, decoded greedily.

        Args:
            encoded: (frames, d) encoder states.
            seconds: duration without the padding.
            draft: expected tokens, such as those of an earlier transcript. They only save time: one pass
                checks them all, up to the first that is not the most likely.
        """
        state = self._decoder.begin(encoded)
        given = [*self._prefix, *draft]
        rows = self._decoder(state, given)
        no_speech = self._no_speech(rows.logits)
        row = len(self._prefix) - 1
        limit = min(math.ceil(_EXTRA_TOKENS + _TOKENS_PER_S * seconds), self.max_tokens)
        token_ids: list[int] = []
        log_probs, attention = [], []
        first = scores = (rows.logits[row] + self._suppressed_first).log_softmax(-1)
        while True:
            log_prob, best = (value.item() for value in scores.max(-1))
            log_probs.append(log_prob)
            attention.append(rows.attention[:, row])
            if best == self.end_id or len(token_ids) == limit:
                break
            token_ids.append(int(best))
            if (kept := loop_start(token_ids)) is not None:
                token_ids = token_ids[:kept]
                break
            row += 1
            if row >= len(given) or given[row] != best:
                state.length = len(self._prefix) + len(token_ids) - 1
                row, given = 0, [int(best)]
                rows = self._decoder(state, given)
            scores = (rows.logits[row] + self._suppressed).log_softmax(-1)
        count = len(token_ids) + 1
        if len(token_ids) <= MURMUR_MAX_TOKENS:
            threshold = sum(log_probs[:count]) - MURMUR_MARGIN
            murmur = self._murmur(state, first, attention[0], threshold, no_speech)
            if murmur is not None:  # that something was said is as certain as before
                return replace(murmur, confidence=math.exp(sum(log_probs[:count]) / count))
        stacked = torch.stack(attention[:count], 1)
        return Transcript(tuple(token_ids), tuple(log_probs[:count]), stacked, no_speech)

    @torch.inference_mode()
    def align(self, encoded: Tensor, token_ids: Sequence[int]) -> Transcript:
        """Return the transcript with the given tokens, at most `max_tokens`, as if they were decoded."""
        rows = self._decoder(self._decoder.begin(encoded), [*self._prefix, *token_ids])
        first = len(self._prefix) - 1
        log_probs = rows.logits[first:].log_softmax(-1)[range(len(token_ids) + 1), [*token_ids, self.end_id]]
        no_speech = self._no_speech(rows.logits)
        return Transcript(tuple(token_ids), tuple(log_probs.tolist()), rows.attention[:, first:], no_speech)

    def _no_speech(self, logits: Tensor) -> float:
        return float(logits[0].softmax(-1)[self._no_speech_id])

    def _murmur(
        self, state: DecodingState, first: Tensor, attention: Tensor, threshold: float, no_speech: float
    ) -> Transcript | None:
        """Return the most likely murmur, or None if no murmur has a log probability of at least `threshold`.

        Args:
            state: state of the decoder; changed in place.
            first: (vocabulary,) log probabilities of the first token.
            attention: (alignment heads, frames) attention of that prediction.
            threshold: minimum log probability of all tokens and the end of the text.
            no_speech: probability that nothing is said, for the transcript.
        """
        found = None
        for token_ids in self._murmurs:
            if float(first[token_ids[0]]) < threshold:
                continue
            state.length = len(self._prefix)
            rows = self._decoder(state, token_ids)
            after = rows.logits.log_softmax(-1)[range(len(token_ids)), [*token_ids[1:], self.end_id]]
            log_probs = (float(first[token_ids[0]]), *after.tolist())
            if sum(log_probs) >= threshold:
                threshold = sum(log_probs)
                both = torch.cat([attention[:, None], rows.attention], 1)
                found = Transcript(tuple(token_ids), log_probs, both, no_speech)
        return found

    def times_s(
        self, transcript: Transcript, spans: Sequence[tuple[int, int]], seconds: float
    ) -> list[tuple[float, float]]:
        """Return the start and end of each word in seconds.

        Args:
            transcript: transcript of one utterance.
            spans: for each word, in order, the index of its first token and the index after its last token.
            seconds: duration of the utterance.
        """
        frames = min(math.ceil(seconds / self.frame_s), transcript.attention.shape[2])
        ends_s = [end * self.frame_s for end in token_frames(transcript.attention[:, :, :frames])]
        times = []
        for first, after in spans:
            # Punctuation is aligned with silence, and so is the time before the first word.
            texts = [self.tokenizer.decode([token]) for token in transcript.token_ids[first:after]]
            last = max((i for i, text in enumerate(texts) if has_letters(text)), default=len(texts) - 1)
            end_s = min(ends_s[first + last], seconds)
            times.append((ends_s[first - 1] if first else max(0.0, end_s - LONGEST_FIRST_WORD_S), end_s))
        return times
