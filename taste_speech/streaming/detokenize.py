"""Text and taste tokens -> sound, chunk by chunk: `taste_detokenize` and `StreamingDetokenizer`."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from taste_speech.modeling_taste import TasteForCausalLM
from taste_speech.processing_taste import TasteProcessor
from taste_speech.streaming.segment import check_tokens
from taste_speech.streaming.synthesis import ChunkResampler, ResamplerState, SynthesisState, Synthesizer
from taste_speech.streaming.unit_stream import UnitStreamState, asr_words, read_words, word_units
from taste_speech.words import Word

_MS_TOLERANCE = 100
_SpokenTokens = tuple[Tensor, Tensor, Tensor]
"""Text tokens (1, S), taste tokens (1, S, L) and units (1, U) of words that were spoken."""


@dataclass(frozen=True)
class SpeechChunk:
    """Sound of a chunk of words.

    Attributes:
        samples: (T,) float32, starting exactly where the previous chunk ended.
        sampling_rate_hz: sampling rate of `samples`.
        speech_ids: (1, U) int64 units of the chunk's words.
        word_ends: for each word of the chunk, the sample at which it ends, counted from the start of the
            reply. The last words may end after the samples returned so far.
    """

    samples: NDArray[np.float32]
    sampling_rate_hz: int
    speech_ids: Tensor
    word_ends: tuple[int, ...]


@dataclass(frozen=True)
class DetokenizerState:
    """Everything needed to go on with a reply: recent words and units, synthesis context, resampler."""

    units: UnitStreamState
    synthesis: SynthesisState
    resampler: ResamplerState

    def clone(self) -> "DetokenizerState":
        """Return an independent copy."""
        return replace(self, resampler=self.resampler.clone())

    @property
    def n_units(self) -> int:
        """Number of units in the reply so far."""
        return self.synthesis.n_units

    @property
    def n_samples(self) -> int:
        """Number of samples returned so far."""
        return self.resampler.n_out


class DetokenizedSpeech(TypedDict):
    """Result of `taste_detokenize`; see there."""

    audio_waveform: Tensor
    sampling_rate: int
    chunk_duration_ms: int
    speech_ids: Tensor
    state: DetokenizerState


class StreamingDetokenizer:
    """Speaks one reply chunk by chunk. The cost of a chunk does not grow with the length of the reply.

    The model holds only weights; `state` holds the whole reply. To go back, assign a clone saved earlier.

    Args:
        model: the model.
        processor: the processor of the same checkpoint.
        speaker_embeds: (1, speaker width).
        out_sampling_rate: sampling rate of the sound in Hz.
        generator: random generator for the units; None uses PyTorch's global generator.
        greedy: take the most probable units instead of drawing them.
        noise_seed: seed of the synthesis noise; None draws it from `generator`, or uses 0 without one.

    Raises:
        ValueError: the speaker embedding or the rate is not usable.
    """

    def __init__(
        self,
        model: TasteForCausalLM,
        processor: TasteProcessor,
        speaker_embeds: Tensor,
        out_sampling_rate: int = 16000,
        generator: torch.Generator | None = None,
        greedy: bool = False,
        noise_seed: int | None = None,
    ) -> None:
        _check_speaker(speaker_embeds, model.config.speech_decoder_config.spk_embed_dim)
        if not 4000 <= out_sampling_rate <= 192000:
            raise ValueError(f"out_sampling_rate is {out_sampling_rate} Hz; give 4000 to 192000")
        self._model, self._processor = model, processor
        self._generator, self._greedy = generator, greedy
        config, voice = model.config.streaming.detokenizer, model.voice
        if noise_seed is None:
            noise_seed = 0 if generator is None else _draw_seed(generator)
        self._units = word_units(model, speaker_embeds, config.max_prev_words)
        self._synthesizer = Synthesizer(voice, config, speaker_embeds, noise_seed)
        self._resampler = ChunkResampler(voice.sampling_rate_hz, out_sampling_rate)
        self.reset()

    @property
    def sampling_rate_hz(self) -> int:
        """Sampling rate of the returned samples."""
        return self._resampler.out_rate_hz

    @property
    def duration_ms(self) -> int:
        """Rounded duration of the sound returned so far."""
        return round(1000 * self.state.n_samples / self.sampling_rate_hz)

    def reset(self) -> None:
        """Start another reply in the same voice."""
        self.state = DetokenizerState(UnitStreamState(), self._synthesizer.start(), ResamplerState())

    def feed(
        self, text_ids: Tensor | None = None, taste_ids: Tensor | None = None, final: bool = False
    ) -> SpeechChunk:
        """Return the sound of the next whole words, given as tensors; see `speak`.

        Args:
            text_ids: (1, S) LLM token ids; None or S = 0 adds no words (with `final`, to get the held-back
                sound).
            taste_ids: (1, S, L) taste tokens: codes on the first token of each word, -1 elsewhere.
            final: whether these are the last words of the reply.

        Raises:
            ValueError: a shape, type or code is wrong.
            TextError: `text_ids` contains a special token.
        """
        text_ids, taste_ids = _checked_tokens(self._model, text_ids, taste_ids)
        return self.speak(read_words(self._processor, text_ids, taste_ids), final)

    def speak(self, words: Sequence[Word], final: bool = False, held_back: bool | None = None) -> SpeechChunk:
        """Return the sound of the next whole words, each with its taste token.

        Args:
            words: with LLM tokens and taste tokens.
            final: whether these are the last words of the reply.
            held_back: whether the end of the chunk's sound is held back until the next call, to be joined to
                what follows; None: unless `final`.
        """
        held_back = not final if held_back is None else held_back
        state = self.state.clone()
        spoken = asr_words(self._processor, words, state.units.words)
        chunk, units = self._units.extend(spoken, state.units, self._generator, self._greedy, final)
        sound, synthesis = self._synthesizer.extend(chunk.ids, state.synthesis, held_back)
        both = torch.cat([sound.samples, sound.following]).cpu().numpy()
        played = len(sound.samples)
        samples = self._resampler.push(both[:played], both[played:], state.resampler)
        self.state = DetokenizerState(units, synthesis, state.resampler)
        total = self._resampler.position(self._model_samples(synthesis.n_units))
        per_second = self._model.voice.config.units_per_second
        ends = [
            min(total, (state.n_units + end) * self.sampling_rate_hz // per_second) for end in chunk.word_ends
        ]
        return SpeechChunk(samples, self.sampling_rate_hz, torch.tensor([chunk.ids]).long(), tuple(ends))

    def resume(self, text_ids: Tensor, taste_ids: Tensor, speech_ids: Tensor) -> None:
        """Set the state to approximately what it was after the given words were spoken with these units.

        Only the context of the next chunk is synthesized again, so the cost is bounded.
        """
        ids = speech_ids[0].tolist()
        words = asr_words(self._processor, read_words(self._processor, text_ids, taste_ids))
        begin = self._synthesizer.context_start(len(ids))
        sound, synthesis = self._synthesizer.extend(ids[begin:], self._synthesizer.start(begin), False)
        before = self._model_samples(begin)
        resampler = ResamplerState(before, self._resampler.position(before))
        self._resampler.push(sound.samples.cpu().numpy(), sound.following.cpu().numpy(), resampler)
        self.state = DetokenizerState(self._units.recall(words, ids), synthesis, resampler)

    def _model_samples(self, units: int) -> int:
        voice = self._model.voice.config
        return voice.mel_frames(units) * voice.hop_samples


def taste_detokenize(
    model: TasteForCausalLM,
    processor: TasteProcessor,
    speaker_embeds: Tensor,
    prev_text_ids: Tensor | None,
    prev_taste_ids: Tensor | None,
    prev_speech_ids: Tensor | None,
    prev_audio_ms: float | None,
    text_ids: Tensor,
    taste_ids: Tensor,
    out_sampling_rate: int = 16000,
    *,
    state: DetokenizerState | None = None,
    generator: torch.Generator | None = None,
    greedy: bool = False,
) -> DetokenizedSpeech:
    """Return the sound of the next words of a reply.

    The sound starts where the previous chunk ended and holds the words completely, without a silence after
    them, as more words may follow. Rounded durations of chunks add up to that of the reply.

    Args:
        model, processor, speaker_embeds: of one checkpoint; the embedding has shape (1, speaker width).
        prev_text_ids, prev_taste_ids, prev_speech_ids, prev_audio_ms: (1, P), (1, P, L), (1, U) of the
            previous chunks and the sum of their `chunk_duration_ms`; None or empty for the first chunk.
        text_ids, taste_ids, out_sampling_rate: (1, S), (1, S, L) of the new whole words; rate in Hz.
        state: as returned by the previous call; the `prev_` arguments are then not needed. Without it, the
            model finds the reply among its last calls, or synthesizes the end of it again.
        generator, greedy: see `StreamingDetokenizer`.

    Returns:
        `audio_waveform` (1, T) float32 on the CPU, `sampling_rate`, `chunk_duration_ms`, `speech_ids`
        (1, U) int64, to be appended to `prev_speech_ids`, and `state` for the next call.

    Raises:
        ValueError: the arguments do not fit together.
        TextError: the text contains a special token.
    """
    text_ids, taste_ids = _checked_tokens(model, text_ids, taste_ids)
    prev_text_ids, prev_taste_ids = _checked_tokens(model, prev_text_ids, prev_taste_ids, "prev_")
    before = prev_text_ids, prev_taste_ids, _checked_units(model, prev_text_ids, prev_speech_ids)
    # The same noise at every call, so that the chunks join without a seam.
    stream = StreamingDetokenizer(model, processor, speaker_embeds, out_sampling_rate, generator, greedy, 0)
    if state is not None:
        stream.state = state.clone()
    elif before[2].shape[1]:
        _recall(model, stream, _key_of(speaker_embeds, out_sampling_rate, before), before)
    before_ms = stream.duration_ms
    if state is None or prev_audio_ms is not None:
        _check_ms(prev_audio_ms, before_ms)
    chunk = stream.speak(read_words(processor, text_ids, taste_ids), held_back=False)
    if state is None:
        _remember(model, stream, speaker_embeds, before, (text_ids, taste_ids, chunk.speech_ids))
    return {
        "audio_waveform": torch.from_numpy(np.ascontiguousarray(chunk.samples))[None],
        "sampling_rate": stream.sampling_rate_hz,
        "chunk_duration_ms": stream.duration_ms - before_ms,
        "speech_ids": chunk.speech_ids,
        "state": stream.state,
    }


def _recall(model: TasteForCausalLM, stream: StreamingDetokenizer, key: bytes, before: _SpokenTokens) -> None:
    """Set the state to that of an earlier call, or to what can be told of it."""
    known = next((known for said, known in model.recent_replies.copy() if said == key), None)
    if known is None:
        stream.resume(*before)
    else:
        stream.state = known.clone()


def _remember(
    model: TasteForCausalLM,
    stream: StreamingDetokenizer,
    speaker_embeds: Tensor,
    before: _SpokenTokens,
    new: _SpokenTokens,
) -> None:
    """Keep the state for a call that gives all of these tokens as its previous ones."""
    texts, tastes, units = (torch.cat(parts, dim=1) for parts in zip(before, new, strict=True))
    key = _key_of(speaker_embeds, stream.sampling_rate_hz, (texts, tastes, units))
    model.recent_replies.appendleft((key, stream.state))


def _key_of(speaker_embeds: Tensor, rate_hz: int, spoken: _SpokenTokens) -> bytes:
    digest = hashlib.sha256(str(rate_hz).encode())
    digest.update(speaker_embeds.detach().float().cpu().numpy().tobytes())
    for ids in spoken:
        digest.update(str(tuple(ids.shape)).encode() + ids.numpy().tobytes())
    return digest.digest()


def _draw_seed(generator: torch.Generator) -> int:
    return int(torch.randint(2**31, (), generator=generator, device=generator.device))


def _check_speaker(speaker_embeds: Tensor, width: int) -> None:
    if tuple(speaker_embeds.shape) != (1, width):
        raise ValueError(f"speaker_embeds have shape {tuple(speaker_embeds.shape)}; expected (1, {width})")
    if not torch.isfinite(speaker_embeds).all() or not speaker_embeds.any():
        raise ValueError("speaker_embeds are zero or not finite; compute them from a reference recording")


def _checked_tokens(
    model: TasteForCausalLM, text_ids: Tensor | None, taste_ids: Tensor | None, prefix: str = ""
) -> tuple[Tensor, Tensor]:
    """Return both tensors on the CPU, empty ones for None."""
    levels, codes = model.num_quantizers, model.audio_tower.quantizer.codebooks.shape[1]
    if text_ids is None or text_ids.numel() == 0:
        if taste_ids is not None and taste_ids.numel():
            raise ValueError(f"{prefix}taste_ids without {prefix}text_ids; give both or neither")
        return torch.zeros(1, 0, dtype=torch.long), torch.zeros(1, 0, levels, dtype=torch.long)
    if taste_ids is None:
        raise ValueError(f"{prefix}taste_ids are missing; give (1, S, {levels}) codes for {prefix}text_ids")
    check_tokens(text_ids, taste_ids, prefix)
    if taste_ids.shape[2] != levels:
        raise ValueError(f"{prefix}taste_ids has {taste_ids.shape[2]} levels; the checkpoint has {levels}")
    if (most := int(taste_ids.max())) >= codes:
        raise ValueError(f"{prefix}taste_ids holds {most}; codes are 0 to {codes - 1}, or -1 for none")
    return text_ids.cpu().long(), taste_ids.cpu().long()


def _checked_units(model: TasteForCausalLM, prev_text_ids: Tensor, prev_speech_ids: Tensor | None) -> Tensor:
    """Return the units on the CPU, or an empty tensor if there are neither units nor words."""
    if prev_speech_ids is None or prev_speech_ids.numel() == 0:
        if prev_text_ids.shape[1]:
            raise ValueError("prev_text_ids without prev_speech_ids; pass the speech_ids of earlier chunks")
        return torch.zeros(1, 0, dtype=torch.long)
    if prev_text_ids.shape[1] == 0:
        raise ValueError("prev_speech_ids without prev_text_ids; pass the words that they belong to")
    if prev_speech_ids.ndim != 2 or len(prev_speech_ids) != 1:
        raise ValueError(f"prev_speech_ids have shape {tuple(prev_speech_ids.shape)}; expected (1, U)")
    size = model.config.speech_decoder_config.speech_token_size
    least, most = int(prev_speech_ids.min()), int(prev_speech_ids.max())
    if least < 0 or most >= size:
        raise ValueError(f"prev_speech_ids range from {least} to {most}; units are 0 to {size - 1}")
    return prev_speech_ids.cpu().long()


def _check_ms(prev_audio_ms: float | None, expected_ms: int) -> None:
    given = prev_audio_ms or 0
    if abs(given - expected_ms) > _MS_TOLERANCE:
        raise ValueError(
            f"prev_audio_ms is {given:g}, but prev_speech_ids last {expected_ms} ms; "
            "give the sum of the chunk_duration_ms of the previous chunks"
        )
