"""Language model and dictionary of the PocketSphinx recogniser, made from the dialogue text."""

import lzma
import subprocess
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import pocketsphinx

from taste_speech.errors import TasteError
from taste_speech.recognition.language_model import estimate
from taste_speech.training.corpus.dialogues import all_kinds, as_heard, make_talks
from taste_speech.training.corpus.dialogues.murmurs import HESITATIONS, murmur_sentences

LANGUAGE_MODEL_NAME = "dialogue.lm.bin.xz"
DICTIONARY_NAME = "dialogue.dict"
# Phones of flite's US English that CMU's dictionary writes differently.
FLITE_TO_CMU = {
    "ax": "AH",
    "axr": "ER",
    "ix": "IH",
    "el": "AH L",
    "em": "AH M",
    "en": "AH N",
    "dx": "D",
    "nx": "N",
}


MURMUR_TIMES = 400
"""How often each murmur is said; some 165,000 sentences stand beside them."""


@cache
def recognition_sentences(n_talks: int = 20_000, seed: int = 31) -> tuple[str, ...]:
    """What users say in training talks, cut-off turns too, every training paraphrase once, and murmurs.

    Of a cut-off turn it stands there with each hesitation once more: else a word is heard in its place.
    """
    talks = make_talks(n_talks, seed, "train")
    turns = [turn for talk in talks for turn in talk.turns if turn.role == "user"]
    said = [as_heard(turn.text) for turn in turns]
    hesitated = [
        f"{without_hesitation(as_heard(turn.text))} {hesitation}"
        for turn in turns
        if not turn.finished
        for hesitation in HESITATIONS
    ]
    asked = [
        as_heard(kind.question(template, row))
        for kind in all_kinds()
        for follow in (False, True)
        for template in kind.paraphrases("train", follow)
        for row in kind.rows
    ]
    return (*said, *hesitated, *asked, *murmur_sentences(MURMUR_TIMES))


def without_hesitation(text: str) -> str:
    """A turn as it is heard without the "um" at its end."""
    words = text.split()
    while len(words) > 1 and words[-1] in HESITATIONS:
        words.pop()
    return " ".join(words)


def first_pronunciations(words: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the phones of each word, by its first pronunciation."""
    return {entry: tuple(phones.split()) for entry, phones in pronunciations(words) if "(" not in entry}


def pronunciations(words: Iterable[str]) -> list[tuple[str, str]]:
    """Return (entry, phones) pairs: all variants of CMU's dictionary, flite's opinion for words it lacks."""
    wanted = set(words)
    found: dict[str, list[str]] = {}
    with Path(pocketsphinx.get_model_path("en-us/cmudict-en-us.dict")).open(encoding="utf-8") as lines:
        for line in lines:
            entry, _, phones = line.strip().partition(" ")
            word = entry.partition("(")[0]
            if word in wanted:
                found.setdefault(word, []).append(phones)
    for word in wanted - set(found):
        found[word] = [_spoken_by_flite(word)]
    return [
        (word if i == 0 else f"{word}({i + 1})", phones)
        for word in sorted(found)
        for i, phones in enumerate(found[word])
    ]


def _spoken_by_flite(word: str) -> str:
    try:
        command = ["flite", "-voice", "rms", "-ps", "-t", word, "none"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        raise TasteError(f"flite could not pronounce {word!r}: {error}; install flite") from error
    phones = [phone for phone in done.stdout.split() if phone != "pau"]
    return " ".join(FLITE_TO_CMU.get(phone, phone.upper()) for phone in phones)


def write_recognition_model(
    folder: str | Path, sentences: Sequence[str], min_trigram_count: int = 2
) -> tuple[Path, Path]:
    """Write the language model (compressed) and the dictionary under `folder` and return their paths."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    arpa, binary, compressed = (
        folder / name for name in ("dialogue.arpa", "dialogue.lm.bin", LANGUAGE_MODEL_NAME)
    )
    estimate(sentences, min_trigram_count).write(arpa)
    config = pocketsphinx.Config(loglevel="FATAL")
    pocketsphinx.NGramModel(config, pocketsphinx.LogMath(), str(arpa)).write(str(binary))
    compressed.write_bytes(lzma.compress(binary.read_bytes()))
    arpa.unlink()
    binary.unlink()
    dictionary = folder / DICTIONARY_NAME
    entries = pronunciations({word for sentence in sentences for word in sentence.split()})
    dictionary.write_text("".join(f"{entry} {phones}\n" for entry, phones in entries), encoding="utf-8")
    return compressed, dictionary
