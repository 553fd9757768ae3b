"""`taste-agent tokens`: lists the words of a recording with their taste tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from taste_agent.clock import ENGINE_RATE_HZ
from taste_agent.config import AgentSettings
from taste_agent.dialog.brain_loader import announce_first_use, check_names
from taste_agent.dialog.loading import device_of, load_model
from taste_agent.errors import AgentError
from taste_agent.ui.tables import fitting_table
from taste_speech import AudioError, TasteProcessor
from taste_speech.audio_io import Samples, resample
from taste_speech.recognition.base import RecognizedWord
from taste_speech.recognition.english_recognizer import timed_words
from taste_speech.recognition.english_whisper import tiny_en
from taste_speech.recognition.voicing import HOP_SAMPLES, WINDOW_SAMPLES, pitch_hz
from taste_speech.sound_file import SoundFile
from taste_speech.streaming import taste_tokenize
from taste_speech.words import split_words


def show_tokens(path: Path, settings: AgentSettings, text: str | None, as_json: bool) -> None:
    """Print a row for each word: its time, pitch, text tokens and taste token.

    Args:
        path: a recording of at most 30 s.
        settings: settings of the agent, of which the model is used.
        text: what is said; by default, it is recognized.
        as_json: print a JSON list instead of a table.

    Raises:
        AudioError: the file cannot be read, or is too long.
        TextError: `text` has no words.
        AgentError: no words were recognized in the file.
    """
    if text is not None:
        split_words(text)
    check_names(settings)
    device_of(settings.model)
    sound = SoundFile(path)
    errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    for notice in sound.notices:
        errors.print(f"info: {notice}")
    announce_first_use(settings.model)
    limit_s = TasteProcessor.from_pretrained(settings.model.checkpoint).features.max_duration_s
    if sound.duration_s > limit_s:
        raise AudioError(
            f"{path} lasts {sound.duration_s:.1f} s; at most {limit_s:g} s are allowed: split it into parts"
        )
    samples = resample(sound.samples(), sound.rate_hz, ENGINE_RATE_HZ)
    rows = _rows(samples, settings, text)
    if not rows:
        raise AgentError(f"no words were recognized in {path}; give the words with --text")
    if as_json:
        Console(soft_wrap=True, highlight=False, markup=False).print(json.dumps(rows, ensure_ascii=False))
    else:
        console = Console(highlight=False, emoji=False)
        console.print(_table(sound.name, rows, console.width))


def _rows(samples: Samples, settings: AgentSettings, text: str | None) -> list[dict[str, Any]]:
    """Return the figures of each word, or an empty list if no words were recognized."""
    model, processor = load_model(settings.model, speaks=False)
    if text is None:
        recognizer = processor.recognizer()
        recognizer.start()
        recognizer.accept(samples)
        text = recognizer.finish().text
    if not text.strip():
        return []
    text_ids = processor.process_text(text)["llm_token_ids"]
    taste_ids = taste_tokenize(model, processor, torch.from_numpy(samples)[None], text_ids, ENGINE_RATE_HZ)
    words = processor.llm_ids_to_words(text_ids)
    times = timed_words(tiny_en(), samples, [word.text for word in words])
    pitch = pitch_hz(samples, ENGINE_RATE_HZ)
    return [
        {
            "word": word.text,
            "start_s": timed.start_s,
            "end_s": timed.end_s,
            "pitch_hz": _pitch_of(timed, pitch),
            "text_ids": list(word.ids),
            "taste": taste_ids[0, word.start].tolist(),
        }
        for word, timed in zip(words, times, strict=True)
    ]


def _pitch_of(word: RecognizedWord, pitch: np.ndarray) -> float | None:
    """Return the median pitch of a word's voiced frames in Hz, or None if there are none."""
    if word.start_s is None or word.end_s is None:
        return None
    middles_s = (np.arange(len(pitch)) * HOP_SAMPLES + WINDOW_SAMPLES / 2) / ENGINE_RATE_HZ
    voiced = pitch[(middles_s >= word.start_s) & (middles_s < word.end_s) & (pitch > 0)]
    return round(float(np.median(voiced)), 1) if len(voiced) else None


def _table(title: str, rows: list[dict[str, Any]], width: int) -> Table:
    columns: dict[str, list[str]] = {
        "Word": [row["word"] for row in rows],
        "Text tokens": [" ".join(map(str, row["text_ids"])) for row in rows],
        "Taste token": [" ".join(map(str, row["taste"])) for row in rows],
        "Start": [_figure(row["start_s"], "s", 2) for row in rows],
        "Length": [
            _figure(None if row["start_s"] is None else 1000 * (row["end_s"] - row["start_s"]), "ms")
            for row in rows
        ],
        "Pitch": [_figure(row["pitch_hz"], "Hz") for row in rows],
    }
    return fitting_table(
        title, columns, width, spare=("Text tokens", "Length"), words=("Text tokens", "Taste token")
    )


def _figure(value: float | None, unit: str, digits: int = 0) -> str:
    return "-" if value is None else f"{value:.{digits}f} {unit}"
