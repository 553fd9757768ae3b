"""Stages from words with taste tokens to sound, each by itself."""

from collections.abc import Callable

import numpy as np
import torch

from taste_agent.bench.baseline import naive_forms
from taste_agent.bench.material import AUDIO_RATE_HZ, UNITS_PER_WORD, FixedRateUnits, reply_words
from taste_agent.bench.report import Figure
from taste_agent.bench.subject import Subject
from taste_agent.bench.timing import Times, measure
from taste_speech.streaming import TASTESegment
from taste_speech.streaming.resampling import ResamplerState, StreamResampler
from taste_speech.streaming.unit_stream import UnitStreamState, read_words

ONE_UNIT = "one unit"
FIRST_FLOW, FIRST_VOCODER = "flow, first chunk", "vocoder, first chunk"
FIRST_WORDS, LATER_WORDS = 2, 8
_NAIVE_REPEATS = 3


def speaking_figures(subject: Subject, repeats: int, baseline: bool) -> list[Figure]:
    """Units, flow and vocoder of a first and a later chunk, resampler."""
    config = subject.model.config.streaming.detokenizer
    context, later = config.flow_context_units, LATER_WORDS * UNITS_PER_WORD
    first = FIRST_WORDS * UNITS_PER_WORD
    return [
        _units(subject, repeats, baseline),
        _flow(subject, FIRST_FLOW, 0, first, repeats, baseline),
        _flow(subject, "flow, later chunk", context, later, repeats, baseline),
        _vocoder(subject, FIRST_VOCODER, first, repeats, baseline),
        _vocoder(subject, "vocoder, later chunk", later, repeats, baseline),
        _resampler(subject, repeats),
    ]


def _compared(subject: Subject, run: Callable[[], object], repeats: int, baseline: bool) -> list[Times]:
    """Times of the fast form and, where wanted, of the naive one."""
    both = [measure(run, subject.device, repeats)]
    if baseline:
        with naive_forms(subject):
            both.append(measure(run, subject.device, min(repeats, _NAIVE_REPEATS), warm_ups=1))
    return both


def _units(subject: Subject, repeats: int, baseline: bool) -> Figure:
    """One unit, from a chunk of four words after a full window of words."""
    model = subject.model
    window = model.config.streaming.detokenizer.max_prev_words
    words = reply_words(subject)[: window + 4]
    segment = TASTESegment.from_words("assistant", words, model.num_quantizers)
    if segment.taste_ids is None:
        raise ValueError("the reply has no taste tokens")
    spoken = read_words(subject.processor, segment.text_ids, segment.taste_ids)
    stream = FixedRateUnits(model, subject.speaker, window)
    state = UnitStreamState()
    if window:
        _, state = stream.extend(spoken[:window], state)
    count = UNITS_PER_WORD * len(spoken[window:])
    both = _compared(subject, lambda: stream.extend(spoken[window:], state), repeats, baseline)
    parts = [times.divided(count) for times in both]
    note = f"mean of {count} after {len(state.units)} forced ones; naive: the plain steps, with their cache"
    return Figure.of(ONE_UNIT, parts[0], parts[1] if baseline else None, note)


def _flow(subject: Subject, name: str, context: int, new: int, repeats: int, baseline: bool) -> Figure:
    """Mel frames of `new` units after `context` units whose frames are known."""
    voice, device = subject.voice, subject.device
    flow, config = voice.flow, voice.config
    generator = torch.Generator().manual_seed(0)
    units = torch.randint(config.unit_vocab_size, (1, context + new), generator=generator).to(device)
    frames, known_frames = config.mel_frames(context + new), config.mel_frames(context)
    dtype = flow.encoder_proj.weight.dtype
    noise = torch.randn(1, config.mel_bins, frames, generator=generator).to(device, dtype)
    known = noise[:, :, :known_frames] if known_frames else None
    steps = torch.arange(frames, device=device) * (context + new) // max(frames, 1)

    def run() -> object:
        speaker = flow.speaker_vector(subject.speaker.to(device, dtype))
        return flow.decoder(noise, flow.condition(units, steps[None]), speaker, known)

    both = _compared(subject, run, repeats, baseline)
    note = f"{frames - known_frames} new frames after {known_frames}, {config.flow.num_steps} steps"
    return Figure.of(name, both[0], both[1] if baseline else None, note)


def _vocoder(subject: Subject, name: str, new_units: int, repeats: int, baseline: bool) -> Figure:
    voice = subject.voice
    config = voice.config
    frames = config.mel_frames(new_units) + subject.model.config.streaming.detokenizer.vocoder_context_frames
    generator = torch.Generator().manual_seed(0)
    mel = torch.randn(1, config.mel_bins, frames, generator=generator)
    mel = mel.to(subject.device, voice.flow.encoder_proj.weight.dtype)
    both = _compared(subject, lambda: voice.hift(mel), repeats, baseline)
    return Figure.of(name, both[0], both[1] if baseline else None, f"{frames} frames")


def _resampler(subject: Subject, repeats: int) -> Figure:
    """Half a second from the voice's rate to the agent's, or to a sound card's where they agree."""
    rate = subject.voice.sampling_rate_hz
    target = AUDIO_RATE_HZ if rate != AUDIO_RATE_HZ else 3 * AUDIO_RATE_HZ
    samples = np.random.default_rng(0).standard_normal(rate // 2).astype(np.float32)
    resampler, following = StreamResampler(rate, target), samples[: rate // 50]
    times = measure(lambda: resampler.push(samples, following, ResamplerState()), subject.device, repeats)
    return Figure.of("resampler", times, note=f"0.5 s from {rate} to {target} Hz")
