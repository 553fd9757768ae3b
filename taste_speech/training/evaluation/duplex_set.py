"""Recordings in the layout of Full-Duplex-Bench: held-out voices and texts, or some for choices."""

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile
import soxr

from taste_speech.training.corpus import DEVELOPMENT_VOICES, HELD_OUT_VOICES, SAMPLE_RATE_HZ, Spoken
from taste_speech.training.evaluation.held_out import Split, everyday, our_kinds
from taste_speech.vocoder.phones import PAUSE

RATE_HZ = 16_000
ONE_WORD_ANSWERS = ("Yes.", "No.", "Seven.", "Anna.", "Sure.", "Tomorrow.", "Never.", "Blue.")
SHARES = {"pause_handling": 0.4, "smooth_turn_taking": 0.3, "one_word_answers": 0.1, "user_interruption": 0.2}
"""Of all recordings; answers of one word are turns, too."""
_BEFORE_S, _ANSWER_S, _INTERRUPTED_AFTER_S = 0.5, 8.0, 3.0
_PAUSES_S = (0.3, 1.5)
_SHORT_S = 0.3
"""What follows the last word of a recording with a pause: the question is whether the pause is respected."""
_NOISE = 3e-4
"""Root mean square of the room's noise."""

VOICES: dict[Split, tuple[str, ...]] = {"valid": DEVELOPMENT_VOICES, "test": HELD_OUT_VOICES}

Audio = np.ndarray


class Speaker(Protocol):
    """Says a text in a voice and tells when its words end, as `Listeners` does."""

    def speak(self, text: str, voice: str) -> Spoken:
        """Return the text spoken."""


def write_duplex_set(
    folder: Path, speaker: Speaker, seed: int, count: int = 200, split: Split = "test"
) -> Iterator[Path]:
    """Write `count` recordings by seed, and yield their folders.

    Args:
        folder: gets `TASK/ID/input.wav`, 16 kHz mono, and the note of the task beside each.
        speaker: of all voices.
        seed: decides texts, voices and pauses.
        count: of all tasks together, in the shares of `SHARES`.
        split: whose texts and voices; `valid` is for choices in development.
    """
    questions = [asked.text for asked in our_kinds(split, count)]
    questions += [asked.text for asked in everyday(split)]
    long_ones = [text for text in questions if len(text.split()) >= 5]
    for task, share in SHARES.items():
        for number in range(1, round(share * count) + 1):
            rng = random.Random(f"{seed} {task} {number}")
            texts = ONE_WORD_ANSWERS if task == "one_word_answers" else long_ones
            target = folder / task / str(number)
            target.mkdir(parents=True, exist_ok=True)
            _write(target, task, speaker, rng, texts, VOICES[split])
            yield target


def _write(
    target: Path,
    task: str,
    speaker: Speaker,
    rng: random.Random,
    texts: Sequence[str],
    voices: Sequence[str],
) -> None:
    voice = rng.choice(voices)
    spoken = speaker.speak(rng.choice(texts), voice)
    audio, ends_s = _resampled(spoken), spoken.timing.word_ends
    if task == "pause_handling":
        cut_s, pause_s = rng.choice(ends_s[:-1]), _PAUSES_S[0] * (_PAUSES_S[1] / _PAUSES_S[0]) ** rng.random()
        cut = round(cut_s * RATE_HZ)
        parts = [_silence(_BEFORE_S), audio[:cut], _silence(pause_s), audio[cut:], _silence(_SHORT_S)]
        start_s = _BEFORE_S + cut_s
        _note(target / "pause.json", "[PAUSE]", start_s, start_s + pause_s)
    elif task == "user_interruption":
        interruption = speaker.speak(rng.choice(texts), voice)
        second, wait_s = _resampled(interruption), _INTERRUPTED_AFTER_S + rng.random()
        parts = [_silence(_BEFORE_S), audio, _silence(wait_s), second, _silence(_ANSWER_S)]
        start_s = _BEFORE_S + len(audio) / RATE_HZ + wait_s
        _note(target / "interrupt.json", "[INTERRUPT]", start_s, start_s + _end_s(interruption))
    else:
        parts = [_silence(_BEFORE_S), audio, _silence(_ANSWER_S)]
        end_s = _BEFORE_S + _end_s(spoken)
        _note(target / "turn_taking.json", "[TURN-TAKING]", end_s, end_s + 0.4)
    samples = np.concatenate(parts)
    room = np.random.default_rng(rng.randrange(2**31)).normal(0, _NOISE, len(samples))
    soundfile.write(target / "input.wav", samples + room.astype(np.float32), RATE_HZ, subtype="PCM_16")


def _end_s(spoken: Spoken) -> float:
    """When the last phone ends; the last word has the silence after it."""
    return max(end for phone, end in spoken.timing.phones if phone != PAUSE)


def _resampled(spoken: Spoken) -> Audio:
    return soxr.resample(spoken.samples.astype(np.float32) / 32768, SAMPLE_RATE_HZ, RATE_HZ)


def _silence(seconds: float) -> Audio:
    return np.zeros(round(seconds * RATE_HZ), np.float32)


def _note(path: Path, text: str, start_s: float, end_s: float) -> None:
    path.write_text(json.dumps([{"text": text, "timestamp": [start_s, end_s]}]), encoding="utf-8")
