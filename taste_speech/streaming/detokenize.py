"""Text and taste tokens -> sound, chunk after chunk: `taste_detokenize` and `StreamingDetokenizer`."""

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
from taste_speech.streaming.detokenize_inputs import (
    SaidTokens,
    check_ms,
    check_previous,
    check_rate,
    check_speaker,
    check_tokens,
)
from taste_speech.streaming.resampling import ChunkResampler, ResamplerState
from taste_speech.streaming.synthesis import SynthesisState, Synthesizer
from taste_speech.streaming.unit_stream import UnitStream, UnitStreamState, asr_words, read_words
from taste_speech.vocoder.phone_timing import PACE_OF_UNITS
from taste_speech.words import Word

_SEED_LIMIT = 2**31


@dataclass(frozen=True)
class SpeechChunk:
    """Sound of a chunk.

    Attributes:
        samples: (T,) float32, starts exactly where the previous chunk ended.
        sampling_rate_hz: of `samples`.
        speech_ids: (1, U) int64 units of the chunk's words.
        word_ends: for each word of the chunk, the sample of the reply (counted from its start) where it
            ends; the last words may end after the samples that are out so far.
    """

    samples: NDArray[np.float32]
    sampling_rate_hz: int
    speech_ids: Tensor
    word_ends: tuple[int, ...]


@dataclass(frozen=True)
class DetokenizerState:
    """Where a reply is: window of words and units, context of the synthesis, resampler.

    Nothing in it is changed in place, so that a copy is free.
    """

    units: UnitStreamState
    synthesis: SynthesisState
    resampler: ResamplerState

    def clone(self) -> "DetokenizerState":
        """A state that goes on by itself."""
        return replace(self, resampler=self.resampler.clone())

    @property
    def n_units(self) -> int:
        """Units of the reply so far."""
        return self.synthesis.n_units

    @property
    def n_samples(self) -> int:
        """Samples that are out so far."""
        return self.resampler.n_out


class DetokenizedSpeech(TypedDict):
    """Result of `taste_detokenize`; see there."""

    audio_waveform: Tensor
    sampling_rate: int
    chunk_duration_ms: int
    speech_ids: Tensor
    state: DetokenizerState


class StreamingDetokenizer:
    """Speaks one reply chunk by chunk; each chunk costs the same however long the reply is.

    The model holds weights only; `state` is all there is of the reply. Assign a saved clone to go back.

    Args:
        model: `TasteForCausalLM`.
        processor: `TasteProcessor` of the same checkpoint.
        speaker_embeds: (1, speaker width).
        out_sampling_rate: Hz.
        generator: random generator of the units; None: torch's global one.
        greedy: the most probable units instead of drawn ones.
        noise_seed: of the synthesis; None: drawn from `generator`, 0 where there is none.

    Raises:
        ValueError: a speaker embedding or rate that does not fit.
    """

    pace_of_units = PACE_OF_UNITS

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
        check_speaker(speaker_embeds, model.config.speech_decoder_config.spk_embed_dim)
        check_rate(out_sampling_rate)
        self._model, self._processor = model, processor
        self._generator, self._greedy = generator, greedy
        config = model.config.streaming.detokenizer
        voice_generator = model.voice
        if noise_seed is None:
            noise_seed = 0 if generator is None else _draw_seed(generator)
        self._units = UnitStream(model, speaker_embeds, config.max_prev_words)
        self._synthesizer = Synthesizer(voice_generator, config, speaker_embeds, noise_seed)
        self._resampler = ChunkResampler(voice_generator.sampling_rate_hz, out_sampling_rate)
        self._units_per_second = voice_generator.config.units_per_second
        self.state = self._start()

    @property
    def sampling_rate_hz(self) -> int:
        """Rate of the samples that come out."""
        return self._resampler.out_rate_hz

    @property
    def duration_ms(self) -> int:
        """Rounded length of the sound that is out so far."""
        return round(1000 * self.state.n_samples / self.sampling_rate_hz)

    def _start(self) -> DetokenizerState:
        return DetokenizerState(UnitStreamState(), self._synthesizer.start(), ResamplerState())

    def reset(self) -> None:
        """Begin another reply by the same voice."""
        self.state = self._start()

    def feed(
        self, text_ids: Tensor | None = None, taste_ids: Tensor | None = None, final: bool = False
    ) -> SpeechChunk:
        """Sound of the next whole words, given as tensors; see `speak`.

        Args:
            text_ids: (1, S) LLM ids; None or S = 0: no new words (with `final`: what was held back).
            taste_ids: (1, S, L) taste ids: codes on the first token of each word, -1 elsewhere.
            final: no more words will come.

        Raises:
            ValueError: shapes, dtypes or codes that do not fit; TextError: special ids.
        """
        text_ids, taste_ids = check_tokens(self._model, text_ids, taste_ids)
        return self.speak(read_words(self._processor, text_ids, taste_ids), final)

    def speak(self, words: Sequence[Word], final: bool = False) -> SpeechChunk:
        """Sound of the next whole words, each with its taste token.

        The last sound of the chunk waits for the next one, unless no more words will come (`final`).
        """
        state = self.state.clone()
        spoken = asr_words(self._processor, words)
        chunk, units = self._units.extend(spoken, state.units, self._generator, self._greedy)
        before = state.n_units
        phones, units_before = self._phones(spoken), state.synthesis.units
        said = self._model.voice.timed(chunk.ids, phones, units_before, self.pace_of_units)
        sound, synthesis = self._synthesizer.extend(said.ids, state.synthesis, not final, said.phones)
        both = torch.cat([sound.samples, sound.following]).cpu().numpy()
        played = len(sound.samples)
        samples = self._resampler.push(both[:played], both[played:], state.resampler)
        self.state = DetokenizerState(units, synthesis, state.resampler)
        total = self._resampler.position(self._model_samples(synthesis.n_units))
        ends = [min(total, self._sample_of_unit(before + end)) for end in said.word_ends or chunk.word_ends]
        return SpeechChunk(samples, self.sampling_rate_hz, torch.tensor([said.ids]).long(), tuple(ends))

    def resume(self, text_ids: Tensor, taste_ids: Tensor, speech_ids: Tensor) -> None:
        """Set the state to what it is, as far as can be told, after the given words took the given units.

        Bounded in cost: only the context of the next chunk is synthesized again.
        """
        ids = speech_ids[0].tolist()
        words = asr_words(self._processor, read_words(self._processor, text_ids, taste_ids))
        begin = self._synthesizer.context_start(len(ids))
        phones = self._model.voice.timed(ids, self._phones(words), pace_of_units=1.0).phones
        sound, synthesis = self._synthesizer.extend(
            ids[begin:], self._synthesizer.start(begin), False, phones[begin:]
        )
        before = self._model_samples(begin)
        resampler = ResamplerState(before, self._resampler.position(before))
        self._resampler.push(sound.samples.cpu().numpy(), sound.following.cpu().numpy(), resampler)
        self.state = DetokenizerState(self._units.recall(words, ids), synthesis, resampler)

    def _phones(self, words: Sequence[Word]) -> list[list[int]] | None:
        return self._processor.phones([word.text for word in words])

    def _model_samples(self, units: int) -> int:
        voice = self._synthesizer.generator.config
        return voice.mel_frames(units) * voice.hop_samples

    def _sample_of_unit(self, unit: int) -> int:
        return unit * self.sampling_rate_hz // self._units_per_second


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
    """Sound of the next words of a reply.

    The whole sound of the words comes out, and it starts exactly where the previous chunk ended. Lengths
    come from units; rounded milliseconds add up to the rounded length of the reply, whatever the chunks.

    Args:
        model, processor, speaker_embeds: of one checkpoint; (1, speaker width).
        prev_text_ids, prev_taste_ids, prev_speech_ids, prev_audio_ms: (1, P), (1, P, L), (1, U) of the chunks
            before, concatenated, and the sum of their `chunk_duration_ms`; None or empty for the first chunk.
        text_ids, taste_ids, out_sampling_rate: (1, S), (1, S, L) the new whole words; Hz.
        state: that the call before returned; with it the `prev_` arguments are not needed. Without it the
            model remembers its last calls by what was said, for ids tell neither the phase of the voice nor
            the end of the sound. Of a reply that it has forgotten only the end is synthesized again.
        generator, greedy: see `StreamingDetokenizer`.

    Returns:
        `audio_waveform` (1, T) float32 on the CPU, `sampling_rate`, `chunk_duration_ms` (int),
        `speech_ids` (1, U) int64, to be appended to `prev_speech_ids`, and `state`, for the next call.

    Raises:
        ValueError: inputs that do not fit together; TextError: special ids.
    """
    text_ids, taste_ids = check_tokens(model, text_ids, taste_ids)
    before = check_previous(model, prev_text_ids, prev_taste_ids, prev_speech_ids)
    # The same noise at every call, so that the chunks join without a seam.
    stream = StreamingDetokenizer(model, processor, speaker_embeds, out_sampling_rate, generator, greedy, 0)
    voice = (speaker_embeds, out_sampling_rate)
    if state is None:
        _recall(model, stream, voice, before)
    else:
        stream.state = state.clone()
    before_ms = stream.duration_ms
    if state is None or prev_audio_ms is not None:
        check_ms(prev_audio_ms, before_ms)
    chunk = stream.feed(text_ids, taste_ids, final=True)
    if state is None:
        _remember(model, stream, voice, before, (text_ids, taste_ids, chunk.speech_ids))
    return {
        "audio_waveform": torch.from_numpy(np.ascontiguousarray(chunk.samples))[None],
        "sampling_rate": stream.sampling_rate_hz,
        "chunk_duration_ms": stream.duration_ms - before_ms,
        "speech_ids": chunk.speech_ids,
        "state": stream.state,
    }


def _recall(
    model: TasteForCausalLM, detokenizer: StreamingDetokenizer, voice: tuple[Tensor, int], before: SaidTokens
) -> None:
    """Set the state to that of an earlier call, or to what can be told of it."""
    if before[2].shape[1]:
        key = _key_of(*voice, *before)
        state = next((known for said, known in model.recent_replies.copy() if said == key), None)
        if state is None:
            detokenizer.resume(*before)
        else:
            detokenizer.state = state.clone()


def _remember(
    model: TasteForCausalLM,
    detokenizer: StreamingDetokenizer,
    voice: tuple[Tensor, int],
    before: SaidTokens,
    new: SaidTokens,
) -> None:
    said = [torch.cat([old, part.to(old)], dim=1) for old, part in zip(before, new, strict=True)]
    model.recent_replies.appendleft((_key_of(*voice, *said), detokenizer.state))


def _key_of(
    speaker_embeds: Tensor, rate: int, text_ids: Tensor, taste_ids: Tensor, speech_ids: Tensor
) -> bytes:
    """Digest of a voice, a rate, and what it has said."""
    digest = hashlib.sha256(str(rate).encode())
    digest.update(speaker_embeds.detach().float().cpu().numpy().tobytes())
    for ids in (text_ids, taste_ids, speech_ids):
        digest.update(str(tuple(ids.shape)).encode() + ids.long().cpu().numpy().tobytes())
    return digest.digest()


def _draw_seed(generator: torch.Generator) -> int:
    return int(torch.randint(_SEED_LIMIT, (), generator=generator, device=generator.device))
