"""Recognition of people and held-out voices, answers to them, and reactions to sounds without words."""

import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, zip_longest

import numpy as np

from taste_speech.pretrained.whisper import TINY_EN_FILES
from taste_speech.recognition.base import Recognizer
from taste_speech.training.evaluation import held_out
from taste_speech.training.evaluation.bench import Bench
from taste_speech.training.evaluation.held_out import Asked
from taste_speech.training.evaluation.results import Result, Row, at_least, at_most, share
from taste_speech.training.evaluation.scoring import accepts, error_rate, word_errors
from taste_speech.training.evaluation.sounds import (
    NOISE_DB,
    RATE_HZ,
    Audio,
    Clip,
    disturbances,
    prompts,
    recordings,
    with_noise,
)
from taste_speech.training.evaluation.subjects import TasteMind

BLOCK_SAMPLES = 1600
DISTURBED_S = 600.0
OURS, OTHERS, CUT = "ours", "others", "cut off"
_TIMED_S = 3.0
_SILENCE_S = 0.3
"""After a question, as the turn detector leaves it."""


def people_rows(bench: Bench) -> list[Row]:
    """Return the rows on word errors in recordings of people."""
    recognizer = bench.mind.processor.recognizer()

    def row(name: str, clips: Iterable[Clip], target: float | None) -> Row:
        def heard(clip: Clip) -> Result:
            return {"text": clip.text, "heard": hear(recognizer, clip.samples)}

        found = bench.kept.each(name, {clip.voice: clip for clip in clips}, heard)
        return _error_row(f"people: {name}, word errors", found.values(), target)

    rows = [row("telephone prompts", prompts(), 6)]
    if bench.people is not None:
        rows.append(row(f"recordings ({bench.people.name})", recordings(bench.people), None))
    return rows


def hear(recognizer: Recognizer, samples: Audio) -> str:
    """Return the transcript of a sound that arrives block by block."""
    feed(recognizer, samples)
    return recognizer.finish().text


def feed(recognizer: Recognizer, samples: Audio) -> None:
    """Pass a sound to a recognizer block by block."""
    recognizer.start()
    for start in range(0, len(samples), BLOCK_SAMPLES):
        recognizer.accept(samples[start : start + BLOCK_SAMPLES])


def _error_row(name: str, found: Iterable[Result], target: float | None = None) -> Row:
    errors = [word_errors(result["text"], result["heard"]) for result in found]
    return at_most(name, error_rate(errors), "%", target, len(errors))


def rows(bench: Bench) -> list[Row]:
    """Return the rows on questions of held-out voices, clean and noisy, and on sounds without words."""
    asked = questions(bench)
    result: list[Row] = []
    for noisy, suffix in ((False, ""), (True, f", noise at {NOISE_DB:.0f} dB")):
        result += heard_rows(asked, _heard(bench, asked, noisy, suffix), suffix, noisy)
    complete = [text for text, turn in asked.items() if turn.block != CUT]
    return [*result, *_cost_rows(bench, complete), *_disturbance_rows(bench)]


def questions(bench: Bench) -> dict[str, Asked]:
    """Return turns of our kinds, outside them, and cut off, alternating, by their text."""
    half = bench.questions // 2
    ours = [replace(turn, block=OURS) for turn in held_out.our_kinds(bench.split, bench.questions)]
    others = [Asked(text, block=OTHERS) for text in held_out.unheard(bench.split)[:half]]
    cut = [
        # A comma keeps the pitch up, as when somebody goes on.
        replace(turn, text=turn.text.rstrip(".,?!") + ",", block=CUT)
        for turn in held_out.cut_off_turns(bench.split, half)
    ]
    return {turn.text: turn for turn in chain.from_iterable(zip_longest(ours, others, cut)) if turn}


def _spoken(bench: Bench, noisy: bool, text: str) -> Clip | None:
    clip = bench.voices.asked(text)
    if clip is None:
        return None
    samples = np.concatenate([clip.samples, np.zeros(round(_SILENCE_S * RATE_HZ), np.float32)])
    return replace(clip, samples=with_noise(samples, text) if noisy else samples)


def _heard(bench: Bench, asked: Mapping[str, Asked], noisy: bool, suffix: str) -> list[Result]:
    recognizer = bench.mind.processor.recognizer()

    def answered(clip: Clip) -> Result:
        feed(recognizer, clip.samples)
        partial, heard = recognizer.partial(), recognizer.finish().text
        answer = answer_to_sound(bench.mind, clip.samples, heard)
        return {"text": clip.text, "partial": partial, "heard": heard, "answer": answer}

    return bench.of_clips(f"heard{suffix}", asked, partial(_spoken, bench, noisy), answered)


def answer_to_sound(mind: TasteMind, samples: Audio, heard: str) -> str:
    """Return the answer to a turn with transcript `heard`; empty without a transcript."""
    return mind.talk().answer(mind.spoken_segment(samples, heard)) if heard.strip() else ""


def heard_rows(asked: Mapping[str, Asked], found: Sequence[Result], suffix: str, noisy: bool) -> list[Row]:
    """Return the rows on how turns were recognized and answered."""
    ours, others, cut = (
        [r for r in found if asked[r["text"]].block == block] for block in (OURS, OTHERS, CUT)
    )
    right = [accepts(asked[result["text"]].accept or "", result["answer"]) for result in ours]
    targets = (10, 90, 93) if noisy else (3, 95, 97)
    half = [*ours[: len(others)], *others]
    final, last = ([word_errors(r["text"], r[name]) for r in half] for name in ("heard", "partial"))
    later, name = error_rate(final) - error_rate(last), "the same: final words against the last partial ones"
    answered = [bool(r["answer"]) for r in (*ours, *others)]
    return [
        _error_row(f"questions in held-out voices: word errors{suffix}", half, targets[0]),
        _error_row(f"the same: those outside the dialogues{suffix}", others),
        at_most(f"{name}{suffix}", later, "points", 0, len(half)),
        share(f"our kinds: heard and answered right{suffix}", right, targets[1]),
        share(f"complete turns answered{suffix}", answered, targets[2]),
        share(f"cut-off turns given no_speech{suffix}", [not r["answer"] for r in cut], 93),
    ]


def _cost_rows(bench: Bench, texts: Sequence[str]) -> list[Row]:
    """Return the rows on the compute of our recognizer and of faster-whisper with its window of 30 s."""
    from faster_whisper import WhisperModel

    folder = str(TINY_EN_FILES[0].find().parent)
    model = WhisperModel(folder, "cpu", compute_type="int8", cpu_threads=bench.threads)
    recognizer = bench.mind.processor.recognizer()
    hear(recognizer, np.zeros(RATE_HZ, np.float32))

    def both(clip: Clip) -> Result:
        begun = time.perf_counter()
        ours = hear(recognizer, clip.samples)
        between = time.perf_counter()
        segments, _ = model.transcribe(clip.samples, language="en", beam_size=1, without_timestamps=True)
        theirs = " ".join(segment.text for segment in segments)
        times_s = [between - begun, time.perf_counter() - between]
        length_s = len(clip.samples) / RATE_HZ
        return {"text": clip.text, "length_s": length_s, "heard": [ours, theirs], "times_s": times_s}

    found = bench.of_clips("recognition", texts, partial(_spoken, bench, False), both)
    timed = sorted(found, key=lambda result: abs(result["length_s"] - _TIMED_S))[: max(1, len(found) // 3)]
    ours_s, theirs_s = (statistics.median(result["times_s"][i] for result in timed) for i in range(2))
    errors = [error_rate([word_errors(r["text"], r["heard"][i]) for r in found]) for i in range(2)]
    name = "faster-whisper int8, window of 30 s"
    return [
        at_most("recognition of a question of 3 s: compute", 1000 * ours_s, "ms", 150, len(timed)),
        at_most(f"the same: {name}", 1000 * theirs_s, "ms", None, len(timed)),
        at_least("the same: times as fast", theirs_s / ours_s, "x", 3, len(timed)),
        at_most(f"word errors against {name}", errors[0] - errors[1], "points", 0.5, len(found)),
    ]


def _disturbance_rows(bench: Bench) -> list[Row]:
    recognizer = bench.mind.processor.recognizer()

    def disturbed(clip: Clip) -> Result:
        heard = hear(recognizer, clip.samples)
        return {"heard": heard, "answer": answer_to_sound(bench.mind, clip.samples, heard)}

    clips = {clip.voice: clip for clip in disturbances(DISTURBED_S)}
    found = bench.kept.each("no speech", clips, disturbed).values()
    words = sum(len(result["heard"].split()) for result in found)
    answers = sum(bool(result["answer"]) for result in found)
    name = "10 minutes of silence, noise, breath, coughs, clicks, telephone, siren, music"
    return [
        at_most(f"{name}: answers", answers, "", 0, len(found)),
        at_most(f"{name}: words heard", words, "", None, len(found)),
    ]
