"""Whether speech in chunks is as good as speech in one piece, and when it says that its words end."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from taste_speech.modeling_taste import TasteForCausalLM
from taste_speech.processing_taste import TasteProcessor
from taste_speech.streaming import EmitContext, StreamingDetokenizer, TASTESegment, growing_chunks
from taste_speech.streaming.synthesis import Synthesizer
from taste_speech.training.evaluation.judge import Judge
from taste_speech.training.evaluation.material import RATE_HZ, Spoken
from taste_speech.training.evaluation.segments import as_segment
from taste_speech.training.evaluation.table import Row
from taste_speech.training.word_errors import spoken_words
from taste_speech.vocoder.mel import log_mel

SMALL_CHUNK_WORDS = 2
NEAR_FRAMES = 2
"""Mel frames on either side of a seam that count as near it."""
CLOSE_S = 0.1
"""A word end counts as right within so much of the judge's."""
EDGE_SAMPLES, EDGE_RMS = RATE_HZ // 100, 10 ** (-50 / 20)
"""What is looked at where an utterance begins and ends, and the level from which a cut would be heard."""
_LAGS = 6  # mel frames by which displaced sound is looked for
_CLEARLY = 0.8  # of the distance in place: a displaced copy must fit so much better

Audio = NDArray[np.float32]


@dataclass(frozen=True)
class Streamed:
    """A sentence as the agent would say it: chunk after chunk."""

    samples: Audio
    """(T,) 16 kHz."""
    word_ends_s: list[float]
    chunks: list[list[int]]
    """Units of each chunk."""


class Pieces(NamedTuple):
    """The same units and noise, synthesised in one piece and in chunks, at the voice's own rate."""

    whole: Audio
    joined: Audio
    seams: list[int]
    """Samples of `joined` where a later chunk begins."""


class Seams(NamedTuple):
    """What was found at the seams of one utterance."""

    jumps: Audio
    """(seams,) step from the last sample of a chunk to the first of the next."""
    steps: Audio
    """(T - 1 - seams,) all other steps from sample to sample."""
    near: Audio
    """(frames,) log-mel distance to the one-piece synthesis near seams."""
    elsewhere: Audio
    """(frames,) the same of all other frames."""
    displaced: int
    """Chunks that fit the one-piece synthesis better when they are moved."""


def chunk_sizes(words: int) -> Iterator[int]:
    """How many words are in each chunk when they come out as by default."""
    emit, pending, emitted, chunks = growing_chunks(), 0, 0, 0
    for _ in range(words):
        pending += 1
        if emit(EmitContext(("",) * pending, emitted, chunks, 1.0)):
            yield pending
            emitted, pending, chunks = emitted + pending, 0, chunks + 1
    if pending:
        yield pending


def small_chunk_sizes(words: int) -> Iterator[int]:
    """Two words in each chunk: many more seams of the same kind, where the agent's chunks have but few."""
    for begin in range(0, words, SMALL_CHUNK_WORDS):
        yield min(SMALL_CHUNK_WORDS, words - begin)


def speak_in_chunks(
    model: TasteForCausalLM,
    processor: TasteProcessor,
    speaker: torch.Tensor,
    sentence: Spoken,
    seed: int = 0,
    sizes: Callable[[int], Iterator[int]] = chunk_sizes,
) -> Streamed:
    """Sound and text -> taste tokens -> sound, in the chunks that the agent makes or those of `sizes`."""
    words = as_segment(model, processor, "assistant", sentence).words
    generator = torch.Generator().manual_seed(seed)
    speech = StreamingDetokenizer(model, processor, speaker, RATE_HZ, generator)
    pieces, ends, chunks, said = [], [], [], 0
    for size in sizes(len(words)):
        part = TASTESegment.from_words("assistant", words[said : said + size], model.num_quantizers)
        said += size
        chunk = speech.feed(part.text_ids, part.taste_ids, final=said == len(words))
        pieces.append(chunk.samples)
        ends += [end / RATE_HZ for end in chunk.word_ends]
        chunks.append(chunk.speech_ids[0].tolist())
    return Streamed(np.concatenate(pieces), ends, chunks)


def synthesise_both_ways(
    model: TasteForCausalLM,
    processor: TasteProcessor,
    speaker: torch.Tensor,
    chunks: Sequence[list[int]],
    seed: int = 0,
) -> Pieces:
    """The units in one piece and in chunks."""
    voice = processor.get_generator("cpu")
    synthesizer = Synthesizer(voice, model.config.streaming.detokenizer, speaker, seed)
    units = list(itertools.chain.from_iterable(chunks))
    whole, _ = synthesizer.extend(units, synthesizer.start(), hold_back=False)
    state, pieces = synthesizer.start(), []
    for number, chunk in enumerate(chunks, 1):
        sound, state = synthesizer.extend(chunk, state, hold_back=number < len(chunks))
        pieces.append(sound.samples.numpy())
    ends = np.cumsum([len(piece) for piece in pieces])
    # A chunk that is shorter than what is held back makes no sound and no seam.
    seams = sorted({int(end) for end in ends[:-1]} - {0, int(ends[-1])})
    return Pieces(whole.samples.numpy(), np.concatenate(pieces), seams)


def compare(pieces: Pieces, mels: tuple[Audio, Audio], hop_samples: int) -> Seams:
    """Look at the seams of one utterance.

    Args:
        pieces: the sound.
        mels: (bins, frames) of `pieces.whole` and `pieces.joined`; frame f is around the sample
            (f + 0.5) * `hop_samples`.
        hop_samples: samples of a frame.
    """
    steps = np.abs(np.diff(pieces.joined))
    at_seam = np.zeros(len(steps), bool)
    at_seam[[seam - 1 for seam in pieces.seams]] = True
    frames = min(mels[0].shape[1], mels[1].shape[1])
    whole, joined = mels[0][:, :frames], mels[1][:, :frames]
    distance = np.abs(whole - joined).mean(0)
    middles = (np.arange(frames) + 0.5) * hop_samples
    near = np.zeros(frames, bool)
    for seam in pieces.seams:
        near |= np.abs(middles - seam) < NEAR_FRAMES * hop_samples
    edges = [*(round(seam / hop_samples) for seam in pieces.seams), frames]
    moved = sum(is_displaced(whole, joined, *span) for span in itertools.pairwise(edges))
    return Seams(steps[at_seam], steps[~at_seam], distance[near], distance[~near], moved)


def is_displaced(whole: Audio, joined: Audio, begin: int, end: int) -> bool:
    """Whether frames [begin, end) of `joined` clearly fit `whole` better some frames earlier or later.

    Sound that was dropped or doubled at a seam moves all that follows.
    """
    begin, end = max(begin, _LAGS), min(end, whole.shape[1] - _LAGS)
    if end - begin < _LAGS:
        return False
    part = joined[:, begin:end]
    distances = {
        lag: float(np.abs(whole[:, begin + lag : end + lag] - part).mean())
        for lag in range(-_LAGS, _LAGS + 1)
    }
    best = min(distances, key=lambda lag: distances[lag])
    return best != 0 and distances[best] < _CLEARLY * distances[0]


def seam_rows(found: Sequence[Seams], lengths: Sequence[tuple[int, int]]) -> list[Row]:
    """The rows on seams.

    Args:
        found: of each utterance.
        lengths: samples of each, in one piece and in chunks.
    """
    jumps, steps, near, elsewhere = (
        np.concatenate([getattr(seams, name) for seams in found])
        for name in ("jumps", "steps", "near", "elsewhere")
    )
    n = len(jumps)
    if not n:
        return []
    high = 100 * float((jumps > np.percentile(steps, 99.9)).mean())
    ratio = float(near.mean() / max(float(elsewhere.mean()), 1e-9))
    longest = 100 * max(abs(chunks - whole) / whole for whole, chunks in lengths)
    moved = sum(seams.displaced for seams in found)
    return [
        Row("seams: jump above 99.9 % of those inside chunks", high, "%", 1, False, n),
        Row("seams: largest jump over the largest inside", float(jumps.max() / steps.max()), "", 1, False, n),
        Row("seams: log-mel distance to one piece, near over elsewhere", ratio, "", 1.5, False, n),
        Row("seams: length against one piece", longest, "%", 3, False, len(lengths)),
        Row("seams: chunks with sound doubled or dropped before them", moved, "", 0, False, n),
    ]


def edge_rows(sounds: Sequence[Audio]) -> list[Row]:
    """How many utterances begin or end in the middle of a sound, before the agent fades them."""
    begins, ends = (
        [float(np.sqrt(np.mean(np.square(edge)))) > EDGE_RMS for edge in edges]
        for edges in ([x[:EDGE_SAMPLES] for x in sounds], [x[-EDGE_SAMPLES:] for x in sounds])
    )
    return [
        Row(f"edges: {name} 10 ms above -50 dBFS", 100 * float(np.mean(loud)), "%", 5, False, len(loud))
        for name, loud in (("first", begins), ("last", ends))
    ]


def word_end_errors(judge: Judge, sentence: Spoken, streamed: Streamed) -> list[float] | None:
    """Seconds by which each reported word end is later than the judge's; None: the two cannot be matched."""
    words = sentence.text.split()
    counts = [len(spoken_words(word)) for word in words]
    aligned = judge.align(streamed.samples, sentence.text)
    if aligned is None or len(aligned) != sum(counts) or len(words) != len(streamed.word_ends_s):
        return None
    errors: list[float] = []
    for reported, count, last in zip(streamed.word_ends_s, counts, np.cumsum(counts), strict=True):
        end = aligned[last - 1].end_s if count else None
        if end is not None:
            errors.append(reported - end)
    return errors


def word_end_rows(errors: Sequence[list[float] | None]) -> list[Row]:
    """The rows on word ends, from the errors of each sentence."""
    known = [sentence for sentence in errors if sentence is not None]
    late = np.array(list(itertools.chain.from_iterable(known)))
    rows = [
        Row(
            "streamed sentences that the judge can align",
            100 * len(known) / len(errors),
            "%",
            count=len(errors),
        )
    ]
    if len(late):
        close = 100 * float((np.abs(late) <= CLOSE_S).mean())
        name = "word ends while streaming: within 100 ms of the judge's"
        rows += [
            Row(name, close, "%", 90, True, len(late)),
            Row(
                "the same: median of what they are late", 1000 * float(np.median(late)), "ms", count=len(late)
            ),
        ]
    return rows


@torch.no_grad()
def rows(
    judge: Judge,
    model: TasteForCausalLM,
    processor: TasteProcessor,
    speaker: torch.Tensor,
    sentences: Sequence[Spoken],
) -> list[Row]:
    """All rows on speech in chunks."""
    found, lengths, errors, sounds = [], [], [], []
    for sentence in sentences:
        streamed = speak_in_chunks(model, processor, speaker, sentence)
        sounds.append(streamed.samples)
        errors.append(word_end_errors(judge, sentence, streamed))
        small = speak_in_chunks(model, processor, speaker, sentence, sizes=small_chunk_sizes)
        for spoken in (streamed, small):
            seams, samples = _seams(model, processor, speaker, spoken.chunks)
            found.append(seams)
            lengths.append(samples)
    return [*seam_rows(found, lengths), *edge_rows(sounds), *word_end_rows(errors)]


def _seams(
    model: TasteForCausalLM, processor: TasteProcessor, speaker: torch.Tensor, chunks: Sequence[list[int]]
) -> tuple[Seams, tuple[int, int]]:
    """The seams between chunks of units; samples in one piece and in chunks."""
    voice = processor.get_generator("cpu").config
    pieces = synthesise_both_ways(model, processor, speaker, chunks)
    whole, joined = (log_mel(torch.from_numpy(x)[None], voice)[0].numpy() for x in pieces[:2])
    return compare(pieces, (whole, joined), voice.hop_samples), (len(pieces.whole), len(pieces.joined))
