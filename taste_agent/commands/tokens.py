"""`taste-agent tokens`: the words of a recording with their taste tokens."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from taste_agent.audio.files import FileSource
from taste_agent.audio.ports import Samples
from taste_agent.clock import ENGINE_RATE_HZ
from taste_agent.config import AgentSettings
from taste_agent.dialog.first_use import announce_first_use
from taste_agent.dialog.loading import load_model
from taste_agent.errors import AudioFileError
from taste_speech.streaming import taste_tokenize


def show_tokens(path: Path, settings: AgentSettings, text: str | None, as_json: bool) -> None:
    """Print one row for each word: its text, its text tokens and the levels of its taste token.

    Args:
        path: a recording of at most 48 s with the shipped checkpoint, 30 s with V0.
        settings: of the agent; the model and the recogniser are used.
        text: what is said, where it is known; None lets the recogniser find out.
        as_json: a JSON list instead of a table.

    Raises:
        AudioFileError: the file cannot be read, or no words were recognised in it.
    """
    samples = _read(path)
    announce_first_use(settings.model)
    model, processor = load_model(settings.model, speaks=False)
    if text is None:
        recognizer = processor.recognizer(settings.recognition.own_backend)
        recognizer.start()
        recognizer.accept(samples)
        text = recognizer.finish().text
    if not text.strip():
        raise AudioFileError(f"no words were recognised in {path}; give them with --text")
    text_ids = processor.process_text(text)["llm_token_ids"]
    taste_ids = taste_tokenize(model, processor, torch.from_numpy(samples)[None], text_ids, ENGINE_RATE_HZ)
    words = [
        {"word": word.text, "text_ids": list(word.token_ids), "taste": taste_ids[0, word.start].tolist()}
        for word in processor.llm_ids_to_words(text_ids)
    ]
    if as_json:
        Console(soft_wrap=True, highlight=False, markup=False).print(json.dumps(words, ensure_ascii=False))
        return
    table = Table(title=escape(path.name))
    for name in ("Word", "Text tokens", "Taste token"):
        table.add_column(name)
    for row in words:
        ids = (" ".join(map(str, row[name])) for name in ("text_ids", "taste"))
        table.add_row(escape(str(row["word"])), *ids)
    Console(highlight=False).print(table)


def _read(path: Path) -> Samples:
    source = FileSource(path)
    try:
        blocks = []
        while (block := source.read()) is not None:
            blocks.append(block)
    finally:
        source.close()
    return np.concatenate(blocks)
