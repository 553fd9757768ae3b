"""Reading n-gram models and pronunciation dictionaries in PocketSphinx's formats."""

import lzma
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pocketsphinx

from taste_speech.errors import CheckpointError
from taste_speech.recognition.phones import PHONES

COMPRESSED = ".xz"


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """The file itself, or a decompressed copy of it for as long as the context lasts.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    if path.suffix != COMPRESSED:
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.stem
        try:
            copy.write_bytes(lzma.decompress(path.read_bytes()))
        except (OSError, lzma.LZMAError) as error:
            raise CheckpointError(
                f"cannot read the language model {path} ({error}); fetch the checkpoint again"
            ) from error
        yield copy


def read_ngrams(path: Path) -> pocketsphinx.NGramModel:
    """Read an n-gram model that PocketSphinx can read, compressed if its name ends in `.xz`.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    with unpacked(path) as file:
        try:
            return pocketsphinx.NGramModel.readfile(str(file))
        except (OSError, ValueError, RuntimeError) as error:
            raise CheckpointError(
                f"cannot read the language model {path} ({error}); fetch the checkpoint again"
            ) from error


def read_dictionary(path: Path) -> list[tuple[str, list[int]]]:
    """Read pairs of a word and the columns of its phones; a word may have several pronunciations.

    Raises:
        CheckpointError: the file is missing, or has a phone that is none of `PHONES`.
    """
    column = {phone: i + 1 for i, phone in enumerate(PHONES)}
    try:
        entries = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
        return [(entry.partition("(")[0], [column[phone] for phone in phones]) for entry, *phones in entries]
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"cannot read the dictionary {path} ({error}); fetch the checkpoint again"
        ) from error
