"""Folders in the layout of Full-Duplex-Bench, and what is said about others."""

import json

import pytest

from taste_agent.duplex.items import Item, Task, find_items, write_words
from taste_agent.errors import AgentError
from taste_agent.session.transcript import TranscriptWord


def item(folder, name="", note=None):
    folder.mkdir(parents=True)
    (folder / "input.wav").touch()
    if name:
        (folder / name).write_text(json.dumps(note))
    return folder


def test_the_note_beside_an_input_tells_its_task(tmp_path):
    stamp = [{"text": "[PAUSE]", "timestamp": [3.5, 4.0]}]
    pause = item(tmp_path / "a" / "1", "pause.json", stamp)
    turn = item(tmp_path / "b" / "1", "turn_taking.json", stamp)
    interruption = item(tmp_path / "c" / "1", "interrupt.json", stamp)
    overlap = item(tmp_path / "d" / "1", "metadata.json", {"timestamps": [3.5, 4.0]})
    other = item(tmp_path / "e" / "1")
    window = (3.5, 4.0)
    assert find_items(tmp_path) == [
        Item(pause, Task.PAUSE, window),
        Item(turn, Task.TURN, window),
        Item(interruption, Task.INTERRUPTION, window),
        Item(overlap, Task.OVERLAP, window),
        Item(other, Task.OTHER),
    ]


def test_a_folder_without_inputs_is_refused(tmp_path):
    with pytest.raises(AgentError, match=r"holds no input\.wav; give a folder in the layout"):
        find_items(tmp_path)


@pytest.mark.parametrize("note", [{}, [], [{"timestamp": [1]}], [{"timestamp": ["a", "b"]}], 5])
def test_a_note_without_times_is_refused_with_its_name(tmp_path, note):
    item(tmp_path / "1", "pause.json", note)
    with pytest.raises(AgentError, match=r"pause\.json does not tell when it happens"):
        find_items(tmp_path)


def test_words_are_written_as_the_benchmark_reads_them(tmp_path):
    write_words(
        tmp_path / "output.json", [TranscriptWord("Rome ", 1.0, 1.5), TranscriptWord("is", 1.5, 1.75)]
    )
    assert json.loads((tmp_path / "output.json").read_text()) == {
        "text": "Rome is",
        "chunks": [
            {"text": "Rome", "timestamp": [1.0, 1.5]},
            {"text": "is", "timestamp": [1.5, 1.75]},
        ],
    }
