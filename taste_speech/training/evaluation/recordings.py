"""Recordings of people who talk to the assistant: for `make demo`, and in the layout of Full-Duplex-Bench."""

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile
import soxr

from taste_speech.phones import PAUSE
from taste_speech.training.corpus.listeners import Listeners
from taste_speech.training.corpus.reply_voice import SAMPLE_RATE_HZ, Spoken
from taste_speech.training.evaluation.held_out import VOICES, Split, everyday, our_kinds
from taste_speech.training.evaluation.sounds import RATE_HZ, Audio

ONE_WORD_ANSWERS = ("Yes.", "No.", "Seven.", "Anna.", "Sure.", "Tomorrow.", "Never.", "Blue.")
SHARES = {"pause_handling": 0.4, "smooth_turn_taking": 0.3, "one_word_answers": 0.1, "user_interruption": 0.2}
"""Share of each task in a set."""
DEMO: dict[str, tuple[str, tuple[tuple[float, str], ...]]] = {
    "question": ("am_michael", ((0.5, "What is the capital of Italy?"),)),
    "anything": ("af_bella", ((0.5, "My tomato plants have yellow leaves. What should I do?"),)),
    "interruption": (
        "af_sarah",
        ((0.5, "Tell me a story about a lighthouse."), (3.0, "Wait, stop. What do pandas eat?")),
    ),
}
"""By file name: the voice, and what it says after how many seconds of silence."""
_AFTER_DEMO_S = 1.5
_BEFORE_S, _ANSWER_S, _INTERRUPTED_AFTER_S = 0.5, 8.0, 3.0
_PAUSES_S = (0.3, 1.5)
_SHORT_S = 0.3
"""Silence at the end of a recording with a pause: the only question is whether the pause is respected."""
_SPEECH_DBFS, _LEVEL_DB = -26.0, (-8.0, 6.0)
"""Level of speech in a set, and the range by which it differs from recording to recording. As they come, the
voices say a single word up to 30 dB softer than a sentence, which people do not."""
_FRAME, _SPEECH_RANGE_DB = 320, 25.0
"""Samples of a frame; speech are the frames that are at most this far below the loudest."""
_NOISE_RMS = 3e-4
"""Level of the room's noise, as no room is digitally silent."""


def write_demo(folder: Path, voices: Path, target: Path) -> Iterator[Path]:
    """Write the recordings that `make demo` replays, 16 kHz mono, and yield their paths.

    Args:
        folder: where the modified copies of the voices' networks are kept.
        voices: folder of the voices in the npm package `kokoro-js`.
        target: folder of the recordings.
    """
    target.mkdir(parents=True, exist_ok=True)
    speaker = Listeners(folder, voices)
    rng = np.random.default_rng(0)
    for name, (voice, parts) in DEMO.items():
        pieces = [
            piece
            for before_s, text in parts
            for piece in (_silence(before_s), _resampled(speaker.speak(text, voice)))
        ]
        path = target / f"{name}.wav"
        _write(path, [*pieces, _silence(_AFTER_DEMO_S)], rng)
        yield path


def write_duplex_set(
    folder: Path, speaker: Listeners, seed: int, count: int = 200, split: Split = "test"
) -> Iterator[Path]:
    """Write `count` recordings, and yield their folders.

    Args:
        folder: gets `TASK/ID/input.wav`, 16 kHz mono, with the note of the task beside it.
        speaker: speaks in all voices.
        seed: decides texts, voices and pauses.
        count: number of recordings, divided among the tasks by `SHARES`.
        split: source of texts and voices; `valid` is for choices in development.
    """
    questions = [asked.text for asked in (*our_kinds(split, count), *everyday(split))]
    long_ones = [text for text in questions if len(text.split()) >= 5]
    for task, share in SHARES.items():
        texts = ONE_WORD_ANSWERS if task == "one_word_answers" else long_ones
        for number in range(1, round(share * count) + 1):
            target = folder / task / str(number)
            target.mkdir(parents=True, exist_ok=True)
            _write_item(target, task, speaker, random.Random(f"{seed} {task} {number}"), texts, VOICES[split])
            yield target


def _write_item(
    target: Path,
    task: str,
    speaker: Listeners,
    rng: random.Random,
    texts: Sequence[str],
    voices: Sequence[str],
) -> None:
    voice = rng.choice(voices)
    spoken = speaker.speak(rng.choice(texts), voice)
    audio, ends_s = leveled(_resampled(spoken)), spoken.timing.word_ends
    if task == "pause_handling":
        cut_s, pause_s = rng.choice(ends_s[:-1]), _PAUSES_S[0] * (_PAUSES_S[1] / _PAUSES_S[0]) ** rng.random()
        cut = round(cut_s * RATE_HZ)
        pieces = [_silence(_BEFORE_S), audio[:cut], _silence(pause_s), audio[cut:], _silence(_SHORT_S)]
        start_s = _BEFORE_S + cut_s
        _note(target / "pause.json", "[PAUSE]", start_s, start_s + pause_s)
    elif task == "user_interruption":
        interruption = speaker.speak(rng.choice(texts), voice)
        second, wait_s = leveled(_resampled(interruption)), _INTERRUPTED_AFTER_S + rng.random()
        pieces = [_silence(_BEFORE_S), audio, _silence(wait_s), second, _silence(_ANSWER_S)]
        start_s = _BEFORE_S + len(audio) / RATE_HZ + wait_s
        _note(target / "interrupt.json", "[INTERRUPT]", start_s, start_s + _end_s(interruption))
    else:
        pieces = [_silence(_BEFORE_S), audio, _silence(_ANSWER_S)]
        end_s = _BEFORE_S + _end_s(spoken)
        _note(target / "turn_taking.json", "[TURN-TAKING]", end_s, end_s + 0.4)
    noise, gain = np.random.default_rng(rng.randrange(2**31)), 10 ** (rng.uniform(*_LEVEL_DB) / 20)
    _write(target / "input.wav", [gain * piece for piece in pieces], noise)


def leveled(audio: Audio) -> Audio:
    """Return the sound with its speech at `_SPEECH_DBFS`, or lower where peaks would come near full scale."""
    frames = audio[: len(audio) // _FRAME * _FRAME].reshape(-1, _FRAME)
    powers = np.square(frames, dtype=np.float64).mean(1)
    speech = powers[powers >= powers.max() * 10 ** (-_SPEECH_RANGE_DB / 10)]
    gain = 10 ** (_SPEECH_DBFS / 20) / np.sqrt(speech.mean())
    return audio * np.float32(min(gain, 0.45 / np.abs(audio).max()))


def _end_s(spoken: Spoken) -> float:
    """Return when the last phone ends; the last word also has the silence after it."""
    return max(end for phone, end in spoken.timing.phones if phone != PAUSE)


def _resampled(spoken: Spoken) -> Audio:
    return soxr.resample(spoken.samples.astype(np.float32) / 32768, SAMPLE_RATE_HZ, RATE_HZ)


def _silence(seconds: float) -> Audio:
    return np.zeros(round(seconds * RATE_HZ), np.float32)


def _note(path: Path, text: str, start_s: float, end_s: float) -> None:
    path.write_text(json.dumps([{"text": text, "timestamp": [start_s, end_s]}]), encoding="utf-8")


def _write(path: Path, pieces: Sequence[Audio], rng: np.random.Generator) -> None:
    samples = np.concatenate(pieces)
    samples += rng.normal(0, _NOISE_RMS, len(samples)).astype(np.float32)
    soundfile.write(path, samples, RATE_HZ, subtype="PCM_16")
