"""The stages by themselves, chunks early and late in a reply, whole replies early and late in the talk."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from taste_agent.bench import turn as talk
from taste_agent.bench.report import Figure, Span, measure
from taste_agent.bench.subject import Subject
from taste_agent.bench.turn import (
    AUDIO_RATE_HZ,
    FixedRateDetokenizer,
    Turn,
    TurnCost,
    UncachedRows,
    naive_forms,
)
from taste_speech.errors import TasteError
from taste_speech.spoken_lm.sampling import TextSampling, sample_text
from taste_speech.spoken_lm.vocabulary import build_vocabulary
from taste_speech.streaming import Word
from taste_speech.streaming.detokenize import DetokenizerState
from taste_speech.streaming.emit_timing import EmitTiming, every_words
from taste_speech.streaming.layout import Row, row_list
from taste_speech.streaming.resampling import ChunkResampler, ResamplerState
from taste_speech.streaming.row_cache import RowCache
from taste_speech.streaming.unit_stream import UnitStreamState
from taste_speech.words import tokenize_words

HISTORIES, EARLY, LATE, LATE_TURN = (100, 2000), 2, 30, 20
_NAIVE_REPEATS, _LATE_REPEATS, _RECOGNITIONS = 2, 3, 3


class Stages:
    """Measurements of one model, also in its naive forms where `baseline` says so."""

    def __init__(self, subject: Subject, repeats: int = 1, baseline: bool = False) -> None:
        self.subject, self.repeats, self.baseline = subject, repeats, baseline

    def _alone(self, name: str, run: Callable[[], object], note: str = "") -> Figure:
        return Figure.of(name, measure(run, self.subject.device, self.repeats), note=note)

    def _both(
        self,
        name: str,
        run: Callable[[bool], object],
        note: str = "",
        before: Callable[[bool], object] = bool,
        parts: int = 1,
    ) -> Figure:
        """Time `run(naive)` after `before(naive)` in both forms; a run has `parts` equal parts."""
        device, naive = self.subject.device, []
        spans = measure(lambda: run(False), device, self.repeats, lambda: before(False))
        if self.baseline:
            with naive_forms(self.subject):
                count = min(self.repeats, _NAIVE_REPEATS)
                naive = measure(lambda: run(True), device, count, lambda: before(True), warm_ups=1)
        return Figure.of(name, [span / parts for span in spans], [span / parts for span in naive], note)

    def hearing(self) -> Iterator[Figure]:
        """From the end of the person's turn to its taste tokens, and recognition."""
        processor, tower = self.subject.processor, self.subject.model.audio_tower
        audio = talk.question_audio()[: 3 * AUDIO_RATE_HZ]
        inputs = processor(audio, AUDIO_RATE_HZ, text=talk.QUESTION).to(self.subject.device)
        features, lengths = inputs["audio_features"], inputs["audio_feature_lengths"]
        tokens, words = inputs["asr_token_ids"], inputs["asr_word_ids"]
        with torch.inference_mode():
            encoded = tower.encode(features, lengths)
            segmented = tower.aggregate(encoded, tokens, words)
        note = f"3 s of audio, {encoded.keys.shape[1]} encoder frames"
        yield self._alone("features", lambda: processor.audio_fields(audio))
        yield self._alone("encoder", lambda: tower.encode(features, lengths), note)
        note = f"{tokens.shape[1]} ASR tokens"
        yield self._alone("aggregator", lambda: tower.aggregate(encoded, tokens, words), note)
        yield self._alone("RVQ", lambda: tower.quantizer.quantize(segmented))
        if not self.subject.is_preset:
            yield from self._recognition()

    def _recognition(self) -> Iterator[Figure]:
        """Yield what is left to recognise after the last sample; nothing without a recogniser."""
        audio, piece = talk.question_audio(), AUDIO_RATE_HZ // 50
        try:
            recognizer = self.subject.processor.recognizer()

            def hear() -> None:
                recognizer.start()
                for begin in range(0, len(audio), piece):
                    recognizer.accept(audio[begin : begin + piece])

            repeats = min(self.repeats, _RECOGNITIONS)
            spans = measure(recognizer.finish, self.subject.device, repeats, hear, warm_ups=1)
        except (TasteError, OSError, RuntimeError):
            return
        note = f"apart; of the demo's question, {len(audio) / AUDIO_RATE_HZ:.1f} s"
        yield Figure.of("recognition, after the end of turn", spans, note=note)

    def thinking(self) -> Iterator[Figure]:
        """Tables of the sampler, reading a turn, and one step, after histories of some lengths."""
        model, tokenizer = self.subject.model, self.subject.processor.llm_tokenizer
        size, known = model.config.text_config.vocab_size, model.config.vocabulary

        def tables(naive: bool) -> object:
            return build_vocabulary(tokenizer, size, known) if naive else model.vocabulary(tokenizer)

        yield self._both("sampler tables", tables, f"{size} text tokens; naive: built at each reply")
        conversation, caches = talk.conversation_before(self.subject), self._caches()
        question = talk.audio_segment(self.subject, "user", talk.QUESTION)
        old = row_list(conversation.segments, conversation.format)
        every = row_list([*conversation.segments, question], conversation.format)
        every += [Row(token, None) for token in conversation.format.reply_opening]
        new = every[len(old) :]
        yield self._both(
            f"prefill of turn {talk.MEASURED_TURN}",
            lambda naive: caches[naive].advance_to(every),
            f"{len(new)} new rows after {len(old)}",
            lambda naive: caches[naive].advance_to(old),
        )
        for count in HISTORIES:
            yield from self._prefill(self._rows(count), new)
        for count in HISTORIES:
            yield self._step(self._rows(count))

    def _caches(self) -> tuple[RowCache, RowCache]:
        """Return an empty memory of the LM, and one of the naive form."""
        parts = (self.subject.model.spoken_lm, self.subject.model.audio_tower.quantizer)
        return RowCache(*parts), UncachedRows(*parts)

    def _rows(self, count: int) -> list[Row]:
        """Make up the rows of a talk."""
        model, generator = self.subject.model, torch.Generator().manual_seed(0)
        ids = torch.randint(model.config.vocabulary.first_special_id, (count,), generator=generator)
        size, levels = model.audio_tower.quantizer.codebooks.shape[1], model.num_quantizers
        codes = torch.randint(size, (count, levels), generator=generator).tolist()
        return [Row(text_id, tuple(taste)) for text_id, taste in zip(ids.tolist(), codes, strict=True)]

    def _prefill(self, rows: list[Row], new: list[Row]) -> Iterator[Figure]:
        cache, read = self._caches()[False], [0]

        def prefill() -> None:
            read[0] = cache.advance_to([*rows, *new])

        spans = measure(prefill, self.subject.device, self.repeats, lambda: cache.advance_to(rows))
        yield Figure.of(f"prefill after {len(rows)} rows", spans, note=f"{len(new)} new rows")
        yield Figure(f"rows read by it, after {len(rows)}", read[0], read[0], "rows")

    def _step(self, rows: list[Row]) -> Figure:
        caches, device = self._caches(), self.subject.device
        banned = self.subject.model.vocabulary(self.subject.processor.llm_tokenizer).banned_but().to(device)
        seen = torch.tensor(sorted({row.text_id for row in rows[:40]}), device=device)

        sampling = TextSampling(top_p=0.3, temperature=0.5, repetition_penalty=1.1)

        def step(naive: bool) -> None:
            caches[naive].append(rows[-1])
            logits = caches[naive].logits
            sample_text(logits, banned, seen, sampling)

        def fill(naive: bool) -> None:
            if not caches[naive].rows:  # later steps go on from there, as those of a reply
                caches[naive].advance_to(rows)

        return self._both(f"LM step after {len(rows)} rows", step, "with the draw of a token", fill)

    def speaking(self) -> Iterator[Figure]:
        """From words with taste tokens to sound, and chunks of it."""
        config, rate = self.subject.model.config.streaming.detokenizer, self.subject.voice.sampling_rate_hz
        first, later = 2 * talk.UNITS_PER_WORD, 8 * talk.UNITS_PER_WORD
        yield self._unit(config.max_prev_words)
        yield self._flow("flow, first chunk", 0, first)
        yield self._flow("flow, later chunk", config.flow_context_units, later)
        yield self._vocoder("vocoder, first chunk", config.vocoder_context_frames, first)
        yield self._vocoder("vocoder, later chunk", config.vocoder_context_frames, later)
        target = AUDIO_RATE_HZ if rate != AUDIO_RATE_HZ else 3 * AUDIO_RATE_HZ  # that of a sound card
        samples = np.random.default_rng(0).standard_normal(rate // 2).astype(np.float32)
        resampler, following = ChunkResampler(rate, target), samples[: rate // 50]
        note = f"0.5 s from {rate} to {target} Hz"
        yield self._alone("resampler", lambda: resampler.push(samples, following, ResamplerState()), note)
        yield from self.chunks()

    def _unit(self, window: int) -> Figure:
        """One unit, from a chunk of four words after a full window of words."""
        stream = talk.FixedRateUnits(self.subject.model, self.subject.speaker, window)
        taste, tokenizer = (0,) * self.subject.model.num_quantizers, self.subject.processor.audio_tokenizer
        words = (tokenize_words(tokenizer, [word]).token_ids for word in talk.REPLY.split()[: window + 4])
        spoken = [Word(ids=tuple(ids), taste=taste) for ids in words]
        _, state = stream.extend(spoken[:window], UnitStreamState())
        count = talk.UNITS_PER_WORD * len(spoken[window:])
        note = (
            f"mean of {count} after {len(state.units)} forced ones; naive: the plain steps, with their cache"
        )
        return self._both("one unit", lambda _: stream.extend(spoken[window:], state), note, parts=count)

    def _flow(self, name: str, context: int, new: int) -> Figure:
        """Mel frames of `new` units after `context` units whose frames are known."""
        voice, device = self.subject.voice, self.subject.device
        flow, config = voice.flow, voice.config
        units = torch.arange(context + new, device=device)[None] % config.unit_vocab_size
        frames, known_frames = config.mel_frames(context + new), config.mel_frames(context)
        noise = self._noise(frames)
        known = noise[:, :, :known_frames] if known_frames else None
        steps = torch.arange(frames, device=device)[None] * (context + new) // frames

        def run(_: bool) -> object:
            speaker = flow.speaker_vector(self.subject.speaker.to(noise))
            return flow.decoder(noise, flow.condition(units, steps), speaker, known)

        note = f"{frames - known_frames} new frames after {known_frames}, {config.flow.num_steps} steps"
        return self._both(name, run, note)

    def _vocoder(self, name: str, context_frames: int, units: int) -> Figure:
        mel = self._noise(self.subject.voice.config.mel_frames(units) + context_frames)
        return self._both(name, lambda _: self.subject.voice.hift(mel), f"{mel.shape[2]} frames")

    def _noise(self, frames: int) -> Tensor:
        """(1, mel bins, frames)."""
        generator, voice = torch.Generator().manual_seed(0), self.subject.voice
        noise = torch.randn(1, voice.config.mel_bins, frames, generator=generator)
        return noise.to(self.subject.device, voice.flow.encoder_proj.weight.dtype)

    def chunks(self) -> Iterator[Figure]:
        """The sound of one more word as an early and as a late chunk of a reply.

        The first chunk fills the window of words, so that both see the same length of context.
        """
        subject, detokenizer, states = self.subject, FixedRateDetokenizer(self.subject), []
        before = max(1, subject.model.config.streaming.detokenizer.max_prev_words)
        words = list(
            itertools.islice(
                itertools.cycle(talk.audio_segment(subject, "assistant", talk.REPLY).words), before + LATE - 1
            )
        )
        for part in (words[:before], *([word] for word in words[before:])):
            states.append(detokenizer.state.clone())
            detokenizer.say(part)
        for chunk in (EARLY, LATE):
            so_far, state = words[: before + chunk - 1], states[chunk - 1]

            def say(naive: bool, so_far: list[Word] = so_far) -> object:
                if naive:
                    return FixedRateDetokenizer(subject, talk.REPLY_WORDS).say(so_far)
                return detokenizer.say(so_far[-1:])

            def restore(_: bool, state: DetokenizerState = state) -> None:
                detokenizer.state = state.clone()

            note = f"after {before} words in the first chunk"
            yield self._both(f"chunk {chunk}, one word", say, note, restore)

    def replies(self) -> Iterator[Figure]:
        """First audio and its parts, real-time factor and all of the compute of replies at turn 10 and 20."""
        streamed, whole = self._costs(), self._costs(every_words(talk.REPLY_WORDS + 1))
        cost = streamed[0][0]
        first = _figure("first audio", streamed, lambda cost: cost.first_audio)
        late = _figure("first audio, nothing streamed", whole, lambda cost: cost.first_audio)
        times = f"{(late.naive or late.p50) / first.p50:.1f} times the streamed one"
        rtf = _figure("RTF of the reply", streamed, lambda cost: cost.reply / (1000 * cost.audio_s))
        sound = f"{cost.audio_s:.1f} s of sound in {len(cost.words)} chunks, without taste tokens"
        yield first
        yield _figure("- taste tokens", streamed, lambda cost: cost.tokenize)
        yield _figure("- prefill", streamed, lambda cost: cost.prefill)
        yield _figure("- first words", streamed, lambda cost: cost.generate[0], f"{cost.words[0]} words")
        yield _figure("- their sound", streamed, lambda cost: cost.speak[0])
        yield replace(late, note=f"naive: {times}" if late.naive else times)
        yield replace(rtf, unit="", note=sound)
        yield _figure("reply, streamed", streamed, lambda cost: cost.reply, "prefill, words and sound")
        yield _figure("reply, in one piece", whole, lambda cost: cost.reply, "the same as one chunk")
        for emit, name in ((None, ""), (every_words(1), ", word by word")):
            rows = len(talk.conversation_before(self.subject, LATE_TURN).lm_state.rows)
            costs, note = self._costs(emit, LATE_TURN, _LATE_REPEATS), f"after {rows} rows of history"
            yield _figure(f"reply at turn {LATE_TURN}{name}", costs, lambda cost: cost.reply, note)

    def _costs(
        self, emit: EmitTiming | None = None, number: int = talk.MEASURED_TURN, most: int = 10**6
    ) -> tuple[list[TurnCost], list[TurnCost]]:
        """Run a turn after a warm-up, and once in the naive form where wanted."""
        turn, naive = Turn(self.subject, emit, number), []
        costs = [turn.run() for _ in range(1 + min(self.repeats, most))][1:]
        if self.baseline:
            with naive_forms(self.subject):
                naive.append(Turn(self.subject, emit, number, naive=True).run())
        return costs, naive


def _figure(
    name: str, costs: tuple[list[TurnCost], list[TurnCost]], part: Callable[[TurnCost], Span], note: str = ""
) -> Figure:
    fast, naive = ([part(cost) for cost in runs] for runs in costs)
    return Figure.of(name, fast, naive, note)
