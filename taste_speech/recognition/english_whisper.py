"""Whisper for English in one encoder pass, whose states also serve the audio tower; on the CPU."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperModel

from taste_speech.audio_tower.configuration import TowerConfig
from taste_speech.audio_tower.encoder import EncodedAudio, encode_features
from taste_speech.cpu_linear import RowLinear, quantize
from taste_speech.errors import CheckpointError
from taste_speech.features import LogMelFeatures
from taste_speech.recognition.base import RECOGNITION_RATE_HZ
from taste_speech.recognition.decoder_rows import DecoderRows, DecodingState
from taste_speech.recognition.loops import loop_start
from taste_speech.recognition.token_times import token_frames

WINDOWS_S = (10, 20, 30)
"""What the encoder is given: speech and zeros behind it. It is trained with 30 s and errs as little with 10;
with 5, or without zeros, the decoder does not notice the end and repeats what was said."""
QUIET_BEHIND_S = 0.5
"""At least so much of a window is zeros."""
MURMURS = (
    "Mm-hmm.",
    "Mhm.",
    "Mm.",
    "Hmm.",
    "Uh-huh.",
    "Ah.",
    "Aha.",
    "Oh.",
    "Wow.",
    "Okay.",
    "Yeah.",
    "Yep.",
)
HESITATIONS = ("Uh", "Um")
"""As Whisper writes them."""
MURMUR_MARGIN, MURMUR_MOST_TOKENS = 4.5, 6
"""Nats by which other words, if so few, may be likelier than a murmur and it is taken for one nevertheless:
Whisper finds words in everything. Chosen on synthetic voices; what single words lost was misheard anyhow."""
LONGEST_S = WINDOWS_S[-1] - QUIET_BEHIND_S
LONGEST_FIRST_WORD_S = 0.6
"""The attention does not tell where the first word begins."""
_TOKENS_PER_S, _MORE_TOKENS = 8, 10
"""Faster nobody speaks."""


@dataclass(frozen=True, eq=False)
class Transcript:
    """What the decoder wrote.

    Attributes:
        token_ids: without the end of the text.
        log_probs: natural logarithm of each token's probability, then of the end's.
        attention: (aligning heads, tokens + 1, frames).
        no_speech: probability that nothing is said.
    """

    token_ids: tuple[int, ...]
    log_probs: tuple[float, ...]
    attention: Tensor
    no_speech: float


def has_letters(text: str) -> bool:
    """Whether there is anything to say in a token's text."""
    return any(letter.isalnum() for letter in text)


def load_whisper(folder: Path) -> WhisperModel:
    """Encoder and decoder in float32, of weights in any number type, for use only."""
    config = WhisperConfig.from_pretrained(folder)
    config._attn_implementation = "sdpa"
    with torch.device("meta"):
        model = WhisperModel(config)
    stored = load_file(folder / "model.safetensors").items()
    model.load_state_dict({name.removeprefix("model."): w.float() for name, w in stored}, assign=True)
    return model.eval().requires_grad_(False)


class EnglishWhisper:
    """A Whisper model for English only; holds weights and no utterance.

    Args:
        folder: with the files that `pretrained.whisper` writes.
        value_layer: index of the encoder's layer whose input becomes `EncodedAudio.values`; None: its output.
        encoder_type: of the encoder's linear layers. int8 takes less than half the time and errs as little.
    """

    def __init__(
        self,
        folder: Path,
        value_layer: int | None = None,
        encoder_type: Literal["float32", "int8"] = "int8",
    ) -> None:
        model = load_whisper(folder)
        generation = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.encoder = model.encoder
        self.value_layer = len(self.encoder.layers) if value_layer is None else value_layer
        if encoder_type == "int8":
            for layer in self.encoder.layers:
                quantize(layer, each_output=True)
        self._features = LogMelFeatures(
            TowerConfig(num_mel_bins=model.config.num_mel_bins, pad_to_max_source=False)
        )
        self.end_id = self._id("<|endoftext|>")
        self._no_speech_id = self._id("<|nocaptions|>")
        self._prefix = [self._id("<|startoftranscript|>"), self._id("<|notimestamps|>")]
        size = max(*self._prefix, self._no_speech_id) + 1  # behind it are only the ids of points in time
        heads = [tuple(pair) for pair in generation["alignment_heads"]]
        self._decoder = DecoderRows(model.decoder, RowLinear, heads, size)
        never = torch.zeros(size)
        never[[token for token in generation["suppress_tokens"] if token < size]] = -torch.inf
        never[self.end_id + 1 :] = -torch.inf
        self._murmurs = [
            self.tokenizer.encode(f" {text}", add_special_tokens=False).ids
            for text in (*MURMURS, *HESITATIONS)
        ]
        first = never.clone()
        first[generation["begin_suppress_tokens"]] = -torch.inf
        self._unlikely = (first, never)

    def _id(self, token: str) -> int:
        found = self.tokenizer.token_to_id(token)
        if found is None:
            raise CheckpointError(f"the tokenizer has no {token}; it is none of Whisper's for English")
        return int(found)

    @torch.inference_mode()
    def encode(self, samples: NDArray[np.float32]) -> EncodedAudio:
        """Encoder states of the shortest window that holds (T,) samples at 16 kHz, `LONGEST_S` at most."""
        least_s = samples.size / RECOGNITION_RATE_HZ + QUIET_BEHIND_S
        window_s = next(window_s for window_s in WINDOWS_S if window_s >= least_s)
        padded = np.pad(samples, (0, window_s * RECOGNITION_RATE_HZ - samples.size))
        return encode_features(self.encoder, self._features(padded), self.value_layer)

    @torch.inference_mode()
    def transcribe(self, encoded: EncodedAudio, seconds: float, draft: Sequence[int] = ()) -> Transcript:
        """Write what was said: the likeliest token after token.

        Args:
            encoded: one utterance.
            seconds: that it lasts, without the zeros.
            draft: tokens that are expected, such as those of the utterance's beginning. They only save time:
                all are looked at together, and the first that is not the likeliest ends them.
        """
        state = self._decoder.begin(encoded.keys[0])
        given = [*self._prefix, *draft]
        rows = self._decoder(state, given)
        no_speech = float(rows.logits[0].softmax(-1)[self._no_speech_id])
        row = len(self._prefix) - 1
        most = min(math.ceil(_MORE_TOKENS + _TOKENS_PER_S * seconds), self.most_tokens)
        token_ids: list[int] = []
        log_probs, attention = [], []
        begin = scores = (rows.logits[row] + self._unlikely[0]).log_softmax(-1)
        while True:
            log_prob, best = (value.item() for value in scores.max(-1))
            log_probs.append(log_prob)
            attention.append(rows.attention[:, row])
            if best == self.end_id or len(token_ids) == most:
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
            scores = (rows.logits[row] + self._unlikely[1]).log_softmax(-1)
        if len(token_ids) <= MURMUR_MOST_TOKENS:
            least = sum(log_probs[: len(token_ids) + 1]) - MURMUR_MARGIN
            murmur = self._murmur(state, begin, attention[0], least, no_speech)
            if murmur is not None:
                return murmur
        kept = len(token_ids) + 1
        return Transcript(
            tuple(token_ids), tuple(log_probs[:kept]), torch.stack(attention[:kept], 1), no_speech
        )

    @torch.inference_mode()
    def align(self, encoded: EncodedAudio, token_ids: Sequence[int]) -> Transcript:
        """What `transcribe` would return if it wrote these tokens.

        Args:
            encoded: one utterance.
            token_ids: as many as `most_tokens` at most.
        """
        rows = self._decoder(self._decoder.begin(encoded.keys[0]), [*self._prefix, *token_ids])
        first = len(self._prefix) - 1
        log_probs = rows.logits[first:].log_softmax(-1)[range(len(token_ids) + 1), [*token_ids, self.end_id]]
        no_speech = float(rows.logits[0].softmax(-1)[self._no_speech_id])
        return Transcript(tuple(token_ids), tuple(log_probs.tolist()), rows.attention[:, first:], no_speech)

    @property
    def most_tokens(self) -> int:
        """Tokens that one utterance may have."""
        return self._decoder.most_tokens - len(self._prefix)

    def _murmur(
        self, state: DecodingState, begin: Tensor, looked: Tensor, least: float, no_speech: float
    ) -> Transcript | None:
        """The likeliest murmur; None where none has at least the logarithm `least` of a probability.

        Args:
            state: of the decoder; it is changed.
            begin: (vocabulary,) log-probabilities of the first token.
            looked: (aligning heads, frames), the attention that they come from.
            least: of all tokens and the end.
            no_speech: for the transcript.
        """
        found = None
        for token_ids in self._murmurs:
            if float(begin[token_ids[0]]) < least:
                continue
            state.length = len(self._prefix)
            rows = self._decoder(state, token_ids)
            after = rows.logits.log_softmax(-1)[range(len(token_ids)), [*token_ids[1:], self.end_id]]
            log_probs = (float(begin[token_ids[0]]), *after.tolist())
            if sum(log_probs) >= least:
                least = sum(log_probs)
                attention = torch.cat([looked[:, None], rows.attention], 1)
                found = Transcript(tuple(token_ids), log_probs, attention, no_speech)
        return found

    def times_s(
        self, transcript: Transcript, spans: Sequence[tuple[int, int]], seconds: float
    ) -> list[tuple[float, float]]:
        """When words were said: start and end of each, in seconds.

        Args:
            transcript: of one utterance.
            spans: of each word, in order: number of its first token, and of the first one after it.
            seconds: that the utterance lasts.
        """
        frames = min(math.ceil(seconds / self.frame_s), transcript.attention.shape[2])
        ends_s = [end * self.frame_s for end in token_frames(transcript.attention[:, :, :frames])]
        times = []
        for first, after in spans:
            # What the mark after a word is laid on is silence, and so is what comes before the first word.
            texts = [self.tokenizer.decode([token]) for token in transcript.token_ids[first:after]]
            last = max((i for i, text in enumerate(texts) if has_letters(text)), default=len(texts) - 1)
            end_s = min(ends_s[first + last], seconds)
            times.append((ends_s[first - 1] if first else max(0.0, end_s - LONGEST_FIRST_WORD_S), end_s))
        return times

    @cached_property
    def frame_s(self) -> float:
        """Length of an encoder frame."""
        config = self._features.config
        return 2 * config.hop_samples / config.sampling_rate_hz
