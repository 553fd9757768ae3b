from pathlib import Path

import pytest

from taste_speech.errors import TasteError
from taste_speech.training.corpus import reply_texts
from taste_speech.training.corpus.reply_texts import (
    entries,
    is_for_training,
    is_held_out,
    sentences,
    split_of,
    words_of,
)

NOUNS = """  1 This software and database is being provided to you
00592652 04 n 02 generalship 0 field_work 0 001 @ 00586262 n 0000 | the office (and authority) of a \
general; "he lost his generalship"; "the 3rd man"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data.noun").write_text(NOUNS)
    for part in ("verb", "adj", "adv"):
        (tmp_path / f"data.{part}").write_text("")
    return tmp_path


def test_a_sense_has_its_words_its_definition_and_its_examples(folder: Path) -> None:
    [entry] = entries(folder)
    assert entry.lemmas == ("generalship", "field work")
    assert entry.definition == "the office of a general"
    assert entry.examples == ("he lost his generalship", "the 3rd man")


def test_sentences_have_a_capital_and_an_end_and_no_digit(folder: Path) -> None:
    examples, definitions = sentences(folder)
    assert examples == ["He lost his generalship."]
    assert definitions == ["Generalship, the office of a general."]


def test_a_missing_wordnet_is_told(tmp_path: Path) -> None:
    with pytest.raises(TasteError, match="install the Debian package wordnet-base"):
        list(entries(tmp_path))


def test_words_that_begin_like_a_held_out_one_are_kept_from_training(monkeypatch) -> None:
    monkeypatch.setattr(reply_texts, "_stems", lambda: frozenset({"polon", "squint"}))
    assert is_held_out("polonium")
    assert is_held_out("squinting")
    assert not is_held_out("polite")
    assert not is_for_training("He squinted at it.")
    assert is_for_training("He looked at it.")


def test_definitions_are_taken_as_long_as_they_bring_new_words() -> None:
    counts = reply_texts.Counter({"a": 9, "cat": 9})
    chosen = reply_texts._bringing_words(
        ["A cat.", "A dog.", "A dog.", "A cat, dog.", "A cow."], 3, counts, 2
    )
    assert chosen == ["A dog.", "A dog.", "A cow."]


def test_a_split_hangs_on_the_letters_alone() -> None:
    texts = [f"sentence {number}" for number in "abcdefghijklmnopqrstuvwxyz" * 20]
    assert {split_of(text.upper() + "!") == split_of(text) for text in texts} == {True}
    assert words_of("It's A Test.") == ["it's", "a", "test"]
