"""The measured model, and a turn of a conversation from the end of the user's speech to the last sample.

Lengths are fixed: whatever the model would say, the reply has 40 words, each of which is one text token in
the spoken LM and 20 units (0.4 s) in the unit decoder. So the speed does not depend on the weights. The naive
form reads the whole history at every step, builds the sampler's tables for each reply, calls the estimator
twice for guidance, computes weight norm at each call, and speaks the reply from the start for each chunk.
"""

import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from taste_agent.bench import BenchOptions
from taste_agent.dialog import loading
from taste_agent.dialog.taste_brain import speaker_embedding
from taste_speech import TasteConfig, TasteForCausalLM, TasteProcessor
from taste_speech.acceleration import accelerate, plain_steps
from taste_speech.audio_io import Samples, load_audio
from taste_speech.checkpoint_files import CheckpointFiles
from taste_speech.speech_decoder.unit_decoder import UnitDecoder
from taste_speech.spoken_lm.sampling import build_vocabulary
from taste_speech.streaming import Conversation, TASTESegment, Word, streaming_generate, taste_tokenize
from taste_speech.streaming.detokenize import StreamingDetokenizer
from taste_speech.streaming.emit_timing import EmitTiming
from taste_speech.streaming.layout import Row
from taste_speech.streaming.row_cache import RowCache
from taste_speech.streaming.unit_stream import ChunkUnits, UnitStream, UnitStreamState, word_units
from taste_speech.vocoder.voice_generator import VoiceGenerator
from taste_speech.vocoder.weight_norm import WeightNormConv
from taste_speech.words import tokenize_words

Span = NDArray[np.float64]  # (2,) ms of wall-clock time, which includes waiting, and of CPU time
REPLY_WORDS, UNITS_PER_WORD, AUDIO_RATE_HZ = 40, 20, 16000
QUESTION = "please tell me what a day at sea is like"
REPLY = (
    "you get up before the sun and walk down to the water where the boat is ready then you ride out for "
    "an hour or two and look for a cloud of breath over the waves until you see one"
)


class Stopwatch:
    """Measures laps, each of which ends when the device has finished its work."""

    def __init__(self, device: torch.device) -> None:
        self._wait, self._last = torch.get_device_module(device).synchronize, np.zeros(2)
        self.lap()

    def lap(self) -> Span:
        """Return the time since the last lap."""
        self._wait()
        before, self._last = self._last, 1000 * np.array((time.perf_counter(), time.process_time()))
        return self._last - before


@dataclass(frozen=True, eq=False)
class Subject:
    """A model with its processor and a voice to speak with."""

    name: str
    model: TasteForCausalLM
    processor: TasteProcessor
    voice: VoiceGenerator
    speaker: Tensor  # (1, speaker width)
    dtype: str  # of the large parts
    compiled: bool
    load_s: float
    is_preset: bool


def load_subject(options: BenchOptions) -> Subject:
    """Load a checkpoint as the agent does, or build a preset, and turn on its fast paths.

    Raises:
        TasteError, AgentError, ValueError: the checkpoint or device does not exist, or lacks int8.
    """
    device, begin_s, preset = loading.choose_device(options.device), time.perf_counter(), options.preset
    dtype = loading.number_type(options.dtype, device)
    if preset is None:
        model, processor = loading.load_checkpoint(
            options.checkpoint, device, options.dtype, options.compiled
        )
        speaker = speaker_embedding(processor, "")
    else:
        model, processor = _build_preset(preset, device, dtype)
        accelerate(model, model.voice, loading.fast_paths(dtype, device, options.compiled))
        speaker = torch.ones(1, model.config.speech_decoder_config.spk_embed_dim)
    loading.use_threads(model, options.threads)
    model.vocabulary(processor.llm_tokenizer)
    name, load_s, is_preset = preset or options.checkpoint, time.perf_counter() - begin_s, preset is not None
    return Subject(name, model, processor, model.voice, speaker, dtype, options.compiled, load_s, is_preset)


def _build_preset(name: str, device: torch.device, dtype: str) -> tuple[TasteForCausalLM, TasteProcessor]:
    """Build a model with random weights. V0's tokenizers are not shipped; it gets those of `small`."""
    files = CheckpointFiles("small")
    config = files.config() if name == "small" else TasteConfig()
    with torch.random.fork_rng(devices=[]), device:
        torch.manual_seed(0)
        model = TasteForCausalLM(config).eval()
        model.set_voice(VoiceGenerator(config.voice_generator).eval())
    for part in (model.spoken_lm.language_model, model.audio_tower.encoder, model.audio_tower.aggregator):
        part.to(getattr(torch, loading.loaded_type(dtype, device)))
    model.spoken_lm.reset_rotary()
    processor = TasteProcessor(config, files)
    if name != "small":
        processor = TasteProcessor(config, files, audio_tokenizer=processor.llm_tokenizer)
    return model, processor


def question_audio() -> Samples:
    """Return a question of 3.5 s, (samples,) at 16 kHz."""
    return load_audio(Path(__file__).parents[1] / "demo" / "question.wav", AUDIO_RATE_HZ)


def audio_segment(subject: Subject, role: str, text: str) -> TASTESegment:
    """Return a segment of a text. Its taste tokens are made up, and depend only on the words."""
    model, words = subject.model, []
    for word in text.split():
        code = zlib.crc32(word.encode()) % model.audio_tower.quantizer.codebooks.shape[1]
        ids = tokenize_words(subject.processor.llm_tokenizer, [word]).token_ids
        words.append(Word(word, tuple(ids), (code,) * model.num_quantizers))
    return TASTESegment.from_words(role, words, model.num_quantizers)


def conversation_before(subject: Subject, turn: int = 10) -> Conversation:
    """Return the exchanges before a turn (counted from 1), read by the LM.

    It can draw only word starts, and nothing ends a reply: n tokens are n words.
    """
    conversation = Conversation(subject.model, subject.processor)
    known = conversation.vocabulary
    speakable = known.word_start & ~known.special & ~known.banned
    conversation.vocabulary = replace(known, banned=~speakable, ends=(False,) * len(known.starts))
    conversation.stop_ids = frozenset()
    conversation.config = conversation.config.model_copy(update={"extra_words": 10**6})
    answer = " ".join(REPLY.split()[:14])
    exchange = [audio_segment(subject, "user", QUESTION), audio_segment(subject, "assistant", answer)]
    conversation.extend(exchange * (turn - 1))
    conversation.prefill()
    return conversation


class FixedRateUnits(UnitStream):
    """Gives every word the same number of units."""

    def extend(
        self, words: Sequence[Word], state: UnitStreamState, *drawing: Any
    ) -> tuple[ChunkUnits, UnitStreamState]:
        """Extend as `UnitStream` does."""
        self._count = UNITS_PER_WORD * len(words)
        return super().extend(words, state, *drawing)

    def remember(
        self, words: Sequence[Word], ids: list[int], ends: list[int], state: UnitStreamState
    ) -> UnitStreamState:
        """Share the units evenly, so that the window always has the same length."""
        return super().remember(words, ids, [UNITS_PER_WORD * (i + 1) for i in range(len(words))], state)

    def _limits(self, own_tokens: int, has_context: bool) -> tuple[int, int]:
        return self._count, self._count


class FixedRateDetokenizer(StreamingDetokenizer):
    """The detokenizer of the measured reply, with a fixed number of units per word if they are drawn."""

    def __init__(self, subject: Subject, window: int | None = None) -> None:
        super().__init__(subject.model, subject.processor, subject.speaker, AUDIO_RATE_HZ)
        model = subject.model
        window = model.config.streaming.detokenizer.max_prev_words if window is None else window
        self._units = word_units(model, subject.speaker, window)
        if isinstance(model.speech_decoder, UnitDecoder):
            quantizer = model.audio_tower.quantizer
            self._units = FixedRateUnits(model.speech_decoder, quantizer, subject.speaker, window)

    def say(self, words: Sequence[Word], final: bool = False) -> int:
        """Synthesize the next words and return the number of new samples."""
        return len(self.speak(words, final).samples)


class UncachedRows(RowCache):
    """A row cache without keys and values, which runs every row at each call."""

    def _forward(self, rows: Sequence[Row]) -> None:
        every = [*self.rows, *rows]
        self.reset()
        super()._forward(every)


class _OneByOne(nn.Module):
    """Runs an estimator on the two halves of the guidance batch separately."""

    def __init__(self, estimator: nn.Module) -> None:
        super().__init__()
        self.estimator = estimator

    def forward(self, *inputs: Tensor) -> Tensor:
        items = zip(*([x] * 2 if x is None else x.split(1) for x in inputs), strict=True)
        return torch.cat([self.estimator(*item) for item in items])


@contextmanager
def naive_forms(subject: Subject) -> Iterator[None]:
    """Run the model without its fast paths within the context."""
    voice = subject.voice
    flow, estimator = voice.flow.decoder, voice.flow.decoder.estimator
    with plain_steps(subject.model, voice):
        flow.estimator = _OneByOne(estimator)  # type: ignore[assignment]
        for part in voice.hift.modules():
            if isinstance(part, WeightNormConv):
                part.folded = None
        try:
            yield
        finally:
            flow.estimator = estimator
            voice.fold_weight_norm()


@contextmanager
def part_times(subject: Subject) -> Iterator[dict[str, list[Span]]]:
    """Time the calls of the model's parts within the context, by name. The time of "unit" is per unit."""
    tower, voice, decoder = subject.model.audio_tower, subject.voice, subject.model.speech_decoder
    parts: dict[str, tuple[Any, str]] = {
        "features": (subject.processor, "audio_fields"),
        "encoder": (tower, "encode"),
        "aggregator": (tower, "aggregate"),
        "RVQ": (tower.quantizer, "quantize"),
        "unit": (decoder, "generate_with_alignment" if isinstance(decoder, UnitDecoder) else "say"),
        "flow": (voice.flow.decoder, "forward"),
        "vocoder": (voice.hift, "decode"),
    }
    times: dict[str, list[Span]] = {name: [] for name in parts}

    def timed(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            watch = Stopwatch(subject.model.device)
            result = method(*args, **options)
            count = 1
            if name == "unit":
                count = len(result.ids) if isinstance(result.ids, list) else result.ids.shape[1]
            times[name].append(watch.lap() / count)
            return result

        return call

    with ExitStack() as stack:
        for name, (owner, method) in parts.items():
            setattr(owner, method, timed(name, getattr(owner, method)))
            stack.callback(delattr, owner, method)
        yield times


@dataclass(slots=True)
class TurnCost:
    """The cost of a turn. Lists have an entry for each chunk, and `parts` one for each call of a part."""

    tokenize: Span
    prefill: Span
    words: list[int] = field(default_factory=list)
    generate: list[Span] = field(default_factory=list)
    speak: list[Span] = field(default_factory=list)
    samples: list[int] = field(default_factory=list)
    parts: dict[str, list[Span]] = field(default_factory=dict)
    rows_before: int = 0

    @property
    def first_audio(self) -> Span:
        """Time from the end of the user's turn to the first samples."""
        return self.tokenize + self.prefill + self.generate[0] + self.speak[0]

    @property
    def reply(self) -> Span:
        """Time of the whole reply: prefill, words and sound."""
        return sum(self.generate + self.speak, start=self.prefill)

    @property
    def steps(self) -> list[Span]:
        """Mean time of the LM's steps for each chunk. Each word is one token."""
        return [span / count for span, count in zip(self.generate, self.words, strict=True) if count]

    @property
    def audio_s(self) -> float:
        """Seconds of sound."""
        return sum(self.samples) / AUDIO_RATE_HZ


class Turn:
    """A turn of a conversation that can be repeated. Run naive turns within `naive_forms`."""

    def __init__(self, subject: Subject, emit: EmitTiming, number: int = 10, naive: bool = False) -> None:
        self._subject, self._emit, self._naive = subject, emit, naive
        self.conversation = conversation_before(subject, number)
        if naive:
            model = subject.model
            self.conversation.lm_state = UncachedRows(model.spoken_lm, model.audio_tower.quantizer)

    def run(self) -> TurnCost:
        """Answer the question once. The exchanges before it are always the same."""
        conversation = self.conversation
        before, rows = len(conversation.segments), len(conversation.lm_state.rows)
        with part_times(self._subject) as times:
            cost = self._answer()
        cost.parts, cost.rows_before = times | {"speak": cost.speak}, rows
        while len(conversation.segments) > before:
            conversation.pop()
        conversation.prefill()
        return cost

    def _answer(self) -> TurnCost:
        subject, conversation = self._subject, self.conversation
        model, processor, config = subject.model, subject.processor, subject.model.config
        question, answer = (audio_segment(subject, "user", text) for text in (QUESTION, REPLY))
        audio = torch.from_numpy(question_audio())[None, : 3 * AUDIO_RATE_HZ]
        detokenizer, watch = FixedRateDetokenizer(subject), Stopwatch(subject.model.device)
        taste_tokenize(model, processor, audio, question.text_ids, AUDIO_RATE_HZ)
        tokenized = watch.lap()
        if self._naive:
            build_vocabulary(processor.llm_tokenizer, config.text_config.vocab_size, config.vocabulary)
            conversation.lm_state.reset()  # so that the prefill reads the whole prompt
        conversation.append(question)
        conversation.prefill()
        conversation.speak_probability = 1.0  # the assistant answers, whatever the weights say
        cost = TurnCost(tokenized, watch.lap())
        for item in streaming_generate(
            model, processor, [], max_length=REPLY_WORDS, emit_timing_func=self._emit, state=conversation
        ):
            cost.generate.append(watch.lap())
            said = sum(cost.words)
            end, final = min(said + len(item["segment"].words), REPLY_WORDS), item["is_complete"]
            cost.words.append(end - said)
            if self._naive:  # says all of the reply again
                detokenizer, said = FixedRateDetokenizer(subject, window=REPLY_WORDS), 0
            new = detokenizer.say(answer.words[said:end], final)
            cost.samples.append(new - sum(cost.samples) if self._naive else new)
            cost.speak.append(watch.lap())
        return cost
