"""Stand-ins for what a preset has no files for: tokenizers, and where the voice generator comes from."""

import re
import zlib
from pathlib import Path
from typing import Any

import torch

from taste_speech.checkpoint_files import CheckpointFiles
from taste_speech.configuration_taste import TasteConfig
from taste_speech.vocoder.voice_generator import VoiceGenerator

_LINE_BREAK = 0
_PIECES = 4  # one id in so many continues a word
_LONG_WORD = 6
_OWN_WORD = re.compile(r"(?:[wx]\d+)+")


class SyntheticTokenizer:
    """Any text to ids and back: " w17" is id 17 and starts a word, "x3" is id 3 and goes on.

    Words that are none of these become one or two ids that depend on the word alone.

    Args:
        size: number of ids.
        first_special_id: ids from here on are special tokens.
    """

    unk_token_id = None

    def __init__(self, size: int, first_special_id: int) -> None:
        self._size = size
        self._words = first_special_id
        self.all_special_ids = list(range(first_special_id, size))

    def __len__(self) -> int:
        return self._size

    def encode(self, text: str, add_special_tokens: bool = False) -> list[int]:
        """Ids of the words and line breaks of a text."""
        ids: list[int] = []
        for part in re.findall(r"\n|\S+", text):
            ids += [_LINE_BREAK] if part == "\n" else self._encode_word(part)
        return ids

    def decode(self, ids: Any, **_: Any) -> str:
        """Text of ids."""
        return "".join(self._text(int(i)) for i in ids)

    def batch_decode(self, batch: Any, **_: Any) -> list[str]:
        """Text of each list of ids."""
        return [self.decode(ids) for ids in batch]

    def convert_ids_to_tokens(self, token_id: int) -> str:
        """Name of an id."""
        return self._text(token_id)

    def _text(self, token_id: int) -> str:
        if token_id == _LINE_BREAK:
            return "\n"
        return f"x{token_id}" if token_id % _PIECES == 0 else f" w{token_id}"

    def _encode_word(self, word: str) -> list[int]:
        if _OWN_WORD.fullmatch(word):
            return [int(number) % self._words for number in re.findall(r"\d+", word)]
        number = zlib.crc32(word.encode()) % (self._words - 2 * _PIECES) + _PIECES
        start = number + 1 if number % _PIECES == 0 else number
        return [start, number // _PIECES * _PIECES] if len(word) > _LONG_WORD else [start]


class PresetFiles(CheckpointFiles):
    """Files of a checkpoint that has none: its voice generator is random, on the device from the start."""

    def __init__(self, name: str, device: torch.device) -> None:
        super().__init__(name)
        self._device = device

    def path(self, name: str) -> Path:
        """A path where nothing is."""
        return Path("/nonexistent") / name

    def voice_generator(self, config: TasteConfig) -> VoiceGenerator:
        """Random weights."""
        with self._device:
            return VoiceGenerator(config.voice_generator).to(self._device).eval().fold_weight_norm()
