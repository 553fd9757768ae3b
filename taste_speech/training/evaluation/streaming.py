"""Speech in chunks compared with speech in one piece, and the accuracy of the reported word ends."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from taste_speech.streaming import EmitContext, TASTESegment, growing_chunks
from taste_speech.streaming.synthesis import Synthesizer
from taste_speech.training.evaluation import held_out
from taste_speech.training.evaluation.bench import Bench, HeardWord
from taste_speech.training.evaluation.results import Result, Row, at_least, at_most, share
from taste_speech.training.evaluation.scoring import norm
from taste_speech.training.evaluation.sounds import RATE_HZ, Audio, Clip
from taste_speech.training.evaluation.subjects import Mouth
from taste_speech.vocoder.spectra import log_mel

STREAMED = 50
"""Number of sentences."""
SMALL_CHUNK_WORDS = 2
_DB = 20 / np.log(10)
"""Decibels of a difference of 1 in natural logarithms of magnitudes."""
NEAR_FRAMES = 2
"""Number of mel frames on either side of a seam that count as near it."""
CLOSE_S = 0.1
"""A word end counts as right if it is at most this far from the judge's."""
EDGE_SAMPLES, EDGE_RMS = RATE_HZ // 100, 10 ** (-50 / 20)
"""Length of the edges of an utterance that are checked, and the level from which a cut is audible."""
_LAGS = 6
"""Largest displacement of sound that is searched for, in mel frames."""
_CLEARLY = 0.8
"""A displaced copy must have less than this share of the distance in place."""


class Streamed(NamedTuple):
    """A sentence as the agent would say it: (T,) samples at 16 kHz, word ends, and units of each chunk."""

    samples: Audio
    word_ends_s: list[float]
    chunks: list[list[int]]


class Pieces(NamedTuple):
    """The same units and noise, synthesized in one piece and in chunks, at the voice's own rate.

    Attributes:
        seams: positions in `joined` where a later chunk begins, in samples.
    """

    whole: Audio
    joined: Audio
    seams: list[int]


def chunk_sizes(words: int) -> Iterator[int]:
    """Yield the number of words in each chunk with the default emit timing."""
    emit, pending, emitted, chunks = growing_chunks(), 0, 0, 0
    for _ in range(words):
        pending += 1
        if emit(EmitContext(("",) * pending, emitted, chunks, 1.0)):
            yield pending
            emitted, pending, chunks = emitted + pending, 0, chunks + 1
    if pending:
        yield pending


def small_chunk_sizes(words: int) -> Iterator[int]:
    """Yield two words for each chunk, which makes many more seams than the agent's chunks have."""
    for begin in range(0, words, SMALL_CHUNK_WORDS):
        yield min(SMALL_CHUNK_WORDS, words - begin)


def speak_in_chunks(
    mouth: Mouth, clip: Clip, sizes: Callable[[int], Iterator[int]] = chunk_sizes
) -> Streamed:
    """Return a recording said again from its taste tokens, in the agent's chunks or those of `sizes`."""
    words = mouth.mind.spoken_segment(clip.samples, clip.text, "assistant").words
    speech = mouth.speech()
    pieces, ends, chunks, said = [], [], [], 0
    for size in sizes(len(words)):
        part = TASTESegment.from_words("assistant", words[said : said + size], mouth.model.num_quantizers)
        said += size
        chunk = speech.feed(part.text_ids, part.taste_ids, final=said == len(words))
        pieces.append(chunk.samples)
        ends += [end / RATE_HZ for end in chunk.word_ends]
        chunks.append(chunk.speech_ids[0].tolist())
    return Streamed(np.concatenate(pieces), ends, chunks)


def synthesize_both_ways(mouth: Mouth, chunks: Sequence[list[int]]) -> Pieces:
    """Return the sound of units in one piece and in chunks."""
    config = mouth.model.config.streaming.detokenizer
    synthesizer = Synthesizer(mouth.generator, config, mouth.speaker, seed=0)
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


def compare(pieces: Pieces, mels: tuple[Audio, Audio], hop_samples: int) -> Result:
    """Compare one utterance in chunks with the same utterance in one piece.

    Args:
        mels: (bins, frames) of `pieces.whole` and `pieces.joined`; frame f is centered at sample
            (f + 0.5) * `hop_samples`.
    """
    steps = np.abs(np.diff(pieces.joined))
    at_seam = np.isin(np.arange(len(steps)) + 1, pieces.seams)
    frames = min(mels[0].shape[1], mels[1].shape[1])
    whole, joined = mels[0][:, :frames], mels[1][:, :frames]
    distance = np.abs(whole - joined).mean(0)
    middles = (np.arange(frames) + 0.5) * hop_samples
    seams = np.array(pieces.seams, int)
    near = (np.abs(middles[:, None] - seams) < NEAR_FRAMES * hop_samples).any(axis=1)
    edges = [*(round(seam / hop_samples) for seam in pieces.seams), frames]
    jumps, inside = steps[at_seam], steps[~at_seam]
    return {
        "seams": len(jumps),
        "high": int((jumps > np.percentile(inside, 99.9)).sum()),
        "largest": float(jumps.max(initial=0) / max(float(inside.max()), 1e-9)),
        "near": distance[near].tolist(),
        "elsewhere": float(distance[~near].mean()),
        "length": abs(len(pieces.joined) - len(pieces.whole)) / len(pieces.whole),
        "moved": sum(is_displaced(whole, joined, *span) for span in itertools.pairwise(edges)),
    }


def is_displaced(whole: Audio, joined: Audio, begin: int, end: int) -> bool:
    """Return whether frames [begin, end) of `joined` fit `whole` clearly better some frames earlier or later.

    Sound that was dropped or doubled at a seam moves everything after it.
    """
    begin, end = max(begin, _LAGS), min(end, whole.shape[1] - _LAGS)
    if end - begin < _LAGS:
        return False
    part = joined[:, begin:end]
    lags = range(-_LAGS, _LAGS + 1)
    distances = {lag: float(np.abs(whole[:, begin + lag : end + lag] - part).mean()) for lag in lags}
    best = min(lags, key=lambda lag: distances[lag])
    return best != 0 and distances[best] < _CLEARLY * distances[0]


def seam_rows(found: Sequence[Result]) -> list[Row]:
    """Return the rows on seams from the results of `compare`."""
    n = sum(one["seams"] for one in found)
    if not n:
        return []
    high = 100 * sum(one["high"] for one in found) / n
    near = np.concatenate([one["near"] for one in found]).mean()
    ratio = float(near / max(np.mean([one["elsewhere"] for one in found]), 1e-9))
    longest = 100 * max(one["length"] for one in found)
    moved = sum(one["moved"] for one in found)
    return [
        at_most("seams: jump above 99.9 % of those inside chunks", high, "%", 1, n),
        at_most("seams: largest jump over the largest inside", max(r["largest"] for r in found), "", 1, n),
        at_most("seams: log-mel distance to one piece, near over elsewhere", ratio, "", 1.5, n),
        at_most("seams: the same distance near them", float(near) * _DB, "dB", None, n),
        at_most("seams: length against one piece", longest, "%", 3, len(found)),
        at_most("seams: chunks with sound doubled or dropped before them", moved, "", 0, n),
    ]


def edges(samples: Audio) -> list[float]:
    """Return the levels at which an utterance begins and ends."""
    return [float(np.sqrt(np.mean(edge**2))) for edge in (samples[:EDGE_SAMPLES], samples[-EDGE_SAMPLES:])]


def word_end_errors(text: str, heard: Sequence[HeardWord], ends_s: Sequence[float]) -> list[float] | None:
    """Return how much later each reported word end is than the judge's, in seconds, except for the last one.

    The last word ends with the utterance, silence included. None if the judge heard other words.
    """
    words = [norm(word) for word in text.split()]
    if words != [norm(word.text) for word in heard] or len(words) != len(ends_s):
        return None
    return [end - word.end_s for end, word in zip(ends_s[:-1], heard[:-1], strict=True)]


def word_end_rows(errors: Sequence[list[float] | None], natural: Sequence[list[float] | None]) -> list[Row]:
    """Return the rows on word ends.

    Args:
        errors: of each streamed sentence.
        natural: of recordings whose word ends are known; they show how late the judge itself is.
    """
    late, own = (np.array([x for sentence in of if sentence for x in sentence]) for of in (errors, natural))
    rows = [share("streamed sentences that the judge hears exactly", [one is not None for one in errors])]
    if len(late) and len(own):
        close, natural_close = (
            100 * float((np.abs(x - np.median(own)) <= CLOSE_S).mean()) for x in (late, own)
        )
        name = "word ends while streaming: within 100 ms of the judge's"
        # The target is no higher than what the judge reaches with known word ends.
        rows.append(at_least(name, close, "%", min(90, natural_close), len(late), natural_close))
        median = 1000 * float(np.median(late) - np.median(own))
        rows.append(Row("the same: median of what they are late", median, "ms", count=len(late)))
    return rows


@torch.no_grad()
def rows(bench: Bench) -> list[Row]:
    """Return all rows on speech in chunks."""
    mouth = bench.mouth

    def seams(chunks: Sequence[list[int]]) -> Result:
        config, pieces = mouth.generator.config, synthesize_both_ways(mouth, chunks)
        whole, joined = (log_mel(torch.from_numpy(x)[None], config)[0].numpy() for x in pieces[:2])
        return compare(pieces, (whole, joined), config.hop_samples)

    def measured(clip: Clip) -> Result:
        streamed = speak_in_chunks(mouth, clip)
        small = speak_in_chunks(mouth, clip, small_chunk_sizes)
        return {
            "seams": [seams(one.chunks) for one in (streamed, small)],
            "late": word_end_errors(clip.text, bench.judge.words(streamed.samples), streamed.word_ends_s),
            "natural": word_end_errors(clip.text, bench.judge.words(clip.samples), clip.word_ends_s),
            "edges": edges(streamed.samples),
        }

    sentences = held_out.sentences(bench.split, min(bench.texts, STREAMED))
    found = bench.of_clips("streaming", sentences, bench.voices.natural, measured)
    quiet = [max(result["edges"]) < EDGE_RMS for result in found]
    return [
        *seam_rows([one for result in found for one in result["seams"]]),
        share("utterances that begin and end below -50 dBFS, before the agent fades them", quiet, 95),
        *word_end_rows([result["late"] for result in found], [result["natural"] for result in found]),
    ]
