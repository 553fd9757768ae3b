import datetime
import json

from taste_speech.training.evaluation.table import Part, Row, as_markdown, measured, write
from taste_speech.training.model_card import MEASURED_END, MEASURED_START

DATE = datetime.date(2026, 1, 31)
ROWS = [
    Row("clear", 4.0, "%", 5.0, False, 10),
    Row("right", 80.0, "%", 85.0, True, 20),
    Row("context", 1.5, "s"),
]
COMMAND = "python -m taste_speech.training evaluate --sentences 3"
VOICE = Part("voice", ROWS, DATE, COMMAND)
ORDER = ("size", "voice")


def test_a_bound_is_reached_from_its_own_side():
    assert [row.reached for row in ROWS] == [True, False, None]


def test_the_table_names_figure_target_and_outcome():
    text = as_markdown([VOICE])
    assert "2026-01-31" in text
    assert f"`{COMMAND}`" in text
    assert "| clear | 4 % | <= 5 % | yes | 10 |" in text
    assert "| right | 80 % | >= 85 % | no | 20 |" in text


def test_measuring_again_replaces_a_part_and_keeps_the_others_and_the_card(tmp_path):
    card = tmp_path / "README.md"
    card.write_text(f"# Name\n{MEASURED_START}\nNot measured yet.\n{MEASURED_END}\nEnd\n")
    write([VOICE], tmp_path, ORDER)
    write([Part("size", [Row("bytes", 3.0, "MB")], DATE, "other")], tmp_path, ORDER)
    write([Part("voice", ROWS[:1], DATE, COMMAND)], tmp_path, ORDER)
    text = card.read_text()
    assert text.startswith("# Name\n")
    assert text.endswith("End\n")
    assert text.count("| clear |") == 1
    assert "| right |" not in text
    assert text.index("| bytes |") < text.index("| clear |")
    written = json.loads((tmp_path / "evaluation.json").read_text())
    assert written["parts"][1]["rows"][0]["reached"] is True
    assert written["parts"][1]["command"] == COMMAND
    assert [part.name for part in measured(tmp_path)] == ["size", "voice"]


def test_figures_of_other_weights_are_dropped(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"one")
    write([VOICE], tmp_path, ORDER)
    (tmp_path / "model.safetensors").write_bytes(b"two")
    assert measured(tmp_path) == []
    parts = write([Part("size", [], DATE, COMMAND)], tmp_path, ORDER)
    assert [part.name for part in parts] == ["size"]


def test_a_part_belongs_to_the_files_that_it_hangs_on(tmp_path):
    acoustic = tmp_path / "recognition" / "acoustic.safetensors"
    acoustic.parent.mkdir()
    acoustic.write_bytes(b"one")
    order = (*ORDER, "recognition", "dialogue")
    write([VOICE, *(Part(name, ROWS, DATE, COMMAND) for name in order[2:])], tmp_path, order)
    acoustic.write_bytes(b"two")
    assert [part.name for part in measured(tmp_path)] == ["voice"]
    acoustic.write_bytes(b"one")
    (tmp_path / "model.safetensors").write_bytes(b"two")
    assert [part.name for part in measured(tmp_path)] == ["recognition"]


def test_a_card_without_a_place_gets_one(tmp_path):
    (tmp_path / "README.md").write_text("# Name\n")
    write([VOICE], tmp_path, ORDER)
    assert "| right |" in (tmp_path / "README.md").read_text()
