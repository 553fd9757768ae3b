"""How the voice sounds beside the natural one on the same texts, and which prosody taste tokens carry."""

import random
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from taste_speech.errors import TextError
from taste_speech.spoken_text import spoken_text
from taste_speech.training.corpus.audio_store import pitch_hz
from taste_speech.training.corpus.dialogues.kinds import CONTROL
from taste_speech.training.corpus.reply_texts import carriers, held_out_words
from taste_speech.training.corpus.reply_voice import Manner, random_manner
from taste_speech.training.evaluation import held_out, scoring
from taste_speech.training.evaluation.bench import Bench
from taste_speech.training.evaluation.results import Result, Row, at_least, at_most, share
from taste_speech.training.evaluation.scoring import percent, word_errors
from taste_speech.training.evaluation.sounds import RATE_HZ, Audio, Clip
from taste_speech.training.evaluation.subjects import Mouth, TasteMind, text_only

SLOW, FAST = Manner(rate=0.75), Manner(rate=1.35)
PITCHED, PACED = 100, 40
"""Texts on which pitch and pace are measured."""


def _recording(bench: Bench, text: str) -> Clip | None:
    """Return `text` by the natural voice in a manner that the text determines."""
    return bench.voices.natural(text, random_manner(text, random.Random(text)))


def _heard(bench: Bench, sound: Audio, clip: Clip) -> list[str]:
    """Return what the judge hears in our sound and in that of the natural voice."""
    return [bench.judge.transcribe(samples) for samples in (sound, clip.samples)]


def rows(bench: Bench) -> list[Row]:
    """Return the rows on the voice."""
    mouth, sentences = bench.mouth, held_out.sentences(bench.split, bench.texts)
    return [
        *_way_rows(bench, "vocoder alone", sentences, mouth.vocode, 1.5),
        *_way_rows(bench, "a recording said again", sentences, lambda clip: mouth.say_again(clip)[0], 3),
        *_reply_rows(bench, sentences),
        *_rare_rows(bench),
        *_pitch_rows(bench, sentences[:PITCHED]),
        *_pace_rows(bench, sentences[:PACED]),
        *_slower_rows(bench),
        *say_rows(),
    ]


def _way_rows(
    bench: Bench, name: str, texts: Sequence[str], make: Callable[[Clip], Audio], target: float
) -> list[Row]:
    def measure(clip: Clip) -> Result:
        return {"text": clip.text, "heard": _heard(bench, make(clip), clip)}

    found = bench.of_clips(f"voice, {name}", texts, partial(_recording, bench), measure)
    return difference_rows(f"{name}: word errors above the natural voice", found, target)


def difference_rows(name: str, found: Sequence[Result], target: float) -> list[Row]:
    """Return the row on word errors beside the natural voice's, from texts and both transcripts."""
    if not found:
        return []
    ours, natural = ([word_errors(r["text"], r["heard"][i]) for r in found] for i in range(2))
    difference = scoring.paired_difference(
        [100 * e.wrong for e in ours], [100 * e.wrong for e in natural], [e.words for e in ours]
    )
    own = scoring.error_rate(natural)
    return [at_most(name, difference.value, "points", target, len(found), own, difference.upper)]


def _reply_rows(bench: Bench, questions: Sequence[str]) -> list[Row]:
    def replied(question: str) -> Result:
        text, sound = bench.mouth.reply(bench.mouth.mind.talk(), question)
        clip = bench.voices.natural(text) if text else None
        if clip is None:
            return {}
        quality = [bench.judge.quality(samples) for samples in (sound, clip.samples)]
        return {"text": text, "heard": _heard(bench, sound, clip), "quality": quality}

    found = bench.kept.found("voice, replies", questions, replied)
    rows = difference_rows("replies aloud: word errors above the natural voice", found, 3)
    if found:
        ours, natural = ([result["quality"][i] for result in found] for i in range(2))
        below, own = scoring.paired_difference(natural, ours), float(np.mean(natural))
        name = "replies aloud: DNSMOS below the natural voice, with the same silence around both"
        rows.append(at_most(name, below.value, "", 0.15, len(found), own, below.upper))
    return rows


def _rare_rows(bench: Bench) -> list[Row]:
    words = dict(zip(carriers(bench.split), held_out_words()[bench.split], strict=True))

    def understood(clip: Clip) -> Result:
        return {"word": words[clip.text], "heard": _heard(bench, bench.mouth.read(clip.text), clip)}

    found = bench.of_clips("rare words", words, bench.voices.natural, understood)
    ours, natural = (
        percent([r["word"] in scoring.norm(r["heard"][i]).replace(" ", "") for r in found]) for i in range(2)
    )
    name = "rare words understood, as a share of the natural voice's"
    return [
        at_least("rare words understood", ours, "%", None, len(found), natural),
        at_least(name, 100 * ours / natural if natural else 0.0, "%", 85, len(found)),
    ]


def word_pitch(samples: Audio, ends_s: Sequence[float]) -> list[float]:
    """Return the mean log F0 of each word between word ends; nan where unvoiced."""
    centers_s = np.arange(0, len(samples) / RATE_HZ, 0.01)
    f0 = pitch_hz(samples, RATE_HZ, centers_s)
    means = []
    for start, end in zip((0.0, *ends_s[:-1]), ends_s, strict=True):
        voiced = f0[(centers_s >= start) & (centers_s < end) & (f0 > 0)]
        means.append(float(np.log(voiced).mean()) if len(voiced) else float("nan"))
    return means


def correlation(pairs: Sequence[tuple[Sequence[float], Sequence[float]]]) -> float:
    """Return the correlation over the values of all pairs of lists, except where one is nan."""
    first, second = (np.array([x for pair in pairs for x in pair[i]], float) for i in range(2))
    known = ~np.isnan(first) & ~np.isnan(second)
    return float(np.corrcoef(first[known], second[known])[0, 1]) if known.sum() > 1 else 0.0


def _pitch_rows(bench: Bench, sentences: Sequence[str]) -> list[Row]:
    mouth = bench.mouth
    bare = Mouth(TasteMind(text_only(mouth.model), mouth.processor))

    def pitched(clip: Clip) -> Result:
        again, alone = (word_pitch(*speaker.say_again(clip)) for speaker in (mouth, bare))
        recorded = word_pitch(clip.samples, clip.word_ends_s)
        same = len(recorded) == len(again) == len(alone)
        return {"recording": recorded, "again": again, "text only": alone} if same else {}

    found = bench.of_clips("pitch", sentences, partial(_recording, bench), pitched)
    carried, alone = (
        correlation([(r["recording"], r[name]) for r in found]) for name in ("again", "text only")
    )
    count = sum(len(result["recording"]) for result in found)
    return [
        at_least("word pitch: correlation with the recording", carried, "", 0.85, count),
        at_least("word pitch: above the same from text alone", carried - alone, "", 0.15, count),
    ]


def _pace_rows(bench: Bench, sentences: Sequence[str]) -> list[Row]:
    def paced(text: str) -> Result:
        slow, fast = (bench.voices.natural(text, manner) for manner in (SLOW, FAST))
        if slow is None or fast is None:
            return {}
        again = [len(bench.mouth.say_again(clip)[0]) for clip in (slow, fast)]
        return {"recorded": [len(slow.samples), len(fast.samples)], "again": again}

    found = bench.kept.found("pace", sentences, paced)
    spread = [sum(float(np.log(r[name][0] / r[name][1])) for r in found) for name in ("again", "recorded")]
    share_said = 100 * spread[0] / spread[1] if found else 0.0
    return [at_least("pace: share of a recording's that is said again", share_said, "%", 60, len(found))]


def _slower_rows(bench: Bench) -> list[Row]:
    requests = CONTROL["slower"].paraphrases(bench.split)

    def slower(question: str) -> Result:
        talk = bench.mouth.mind.talk()
        usual = bench.mouth.reply(talk, question)
        slow = bench.mouth.reply(talk, requests[len(question) % len(requests)])
        same = scoring.norm(usual[0]) == scoring.norm(slow[0]) and len(usual[1])
        return {"times": len(slow[1]) / len(usual[1]) if same else None}

    asked = [turn.text for turn in held_out.our_kinds(bench.split, PACED)] if requests else []
    times = [result["times"] for result in bench.kept.found("slower", asked, slower)]
    said = [x for x in times if x is not None]
    longer = float(np.median(said)) if said else 0.0
    return [
        share('"slower please": says the same again', [x is not None for x in times]),
        at_least('"slower please": time against the first (median)', longer, "x", 1.15, len(said)),
    ]


def say_rows() -> list[Row]:
    """Return the row on numbers, times, money and abbreviations, which text alone decides."""

    def said(text: str) -> str:
        try:
            return spoken_text(text)
        except TextError:
            return ""

    hits = [scoring.is_said_as(said(text), accepted) for text, accepted in held_out.spoken_forms()]
    return [share("numbers, times, money, abbreviations: said as a person would", hits, 95)]
