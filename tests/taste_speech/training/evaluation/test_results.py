import datetime
import json

import pytest

from taste_speech.training.evaluation.results import Kept, Part, Row, as_markdown, measured, share, write
from taste_speech.training.model_card import MEASURED_END, MEASURED_START

ORDER = ("size", "voice")
DATE = datetime.date(2026, 1, 31)
COMMAND = "python -m taste_speech.training evaluate"
ROWS = [
    Row("clear", 4.0, "%", 5, False, 10),
    share("right", [True] * 4 + [False], 85),
    Row("replies", 1.5, "points", 3, False, 300, 2.7, 3.2),
]


def part(name="voice", rows=ROWS):
    return Part(name, rows, DATE, "some CPU", COMMAND)


def test_the_table_names_figure_target_and_outcome():
    text = as_markdown([part()])
    assert f"voice: 2026-01-31, some CPU, `{COMMAND}`" in text
    assert "| clear | 4 % |  |  | ≤ 5 % | yes | 10 |" in text
    assert "| right | 80 % |  |  | ≥ 85 % | no | 5 |" in text


def test_a_difference_is_judged_by_its_upper_bound():
    assert "| replies | 1.5 points | 2.7 | 3.2 | ≤ 3 points | no | 300 |" in as_markdown([part()])


@pytest.mark.parametrize("row", [Row("x", 3.0, "s", None, True, 5), share("nothing", [], 90)])
def test_without_a_target_or_anything_measured_nothing_is_reached(row):
    assert row.reached is None


def test_measuring_again_replaces_a_part_and_keeps_the_others_and_the_card(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    card = tmp_path / "README.md"
    card.write_text(f"# Name\n{MEASURED_START}\nNot measured yet.\n{MEASURED_END}\nEnd\n")
    write([part()], tmp_path, ORDER)
    write([part("size", [Row("bytes", 3.0, "MB")])], tmp_path, ORDER)
    write([part("voice", ROWS[:1])], tmp_path, ORDER)
    text = card.read_text()
    assert text.startswith("# Name\n")
    assert text.endswith("End\n")
    assert text.count("| clear |") == 1
    assert "| right |" not in text
    assert text.index("| bytes |") < text.index("| clear |")
    written = json.loads((tmp_path / "evaluation.json").read_text())
    assert written["parts"][1]["rows"][0]["reached"] is True
    assert [one.name for one in measured(tmp_path)] == ["size", "voice"]
    assert measured(tmp_path)[1] == part("voice", ROWS[:1])


def test_figures_of_other_weights_are_dropped(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"one")
    write([part()], tmp_path, ORDER)
    (tmp_path / "model.safetensors").write_bytes(b"two")
    assert measured(tmp_path) == []
    assert [one.name for one in write([part("size", [])], tmp_path, ORDER)] == ["size"]


def test_figures_stay_where_only_weights_have_changed_on_which_they_do_not_depend(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    for name in ("model-00001-of-00002", "voice_generator", "voices", "turn_end"):
        (tmp_path / f"{name}.safetensors").write_bytes(b"one")
    order = ("people", "listening", "answers", "voice", "streaming", "speed", "size")
    write([part(name) for name in order], tmp_path, order)
    (tmp_path / "voice_generator.safetensors").write_bytes(b"two")
    assert [one.name for one in measured(tmp_path)] == ["people", "listening", "answers"]
    (tmp_path / "voice_generator.safetensors").write_bytes(b"one")
    (tmp_path / "turn_end.safetensors").write_bytes(b"two")
    assert [one.name for one in measured(tmp_path)] == list(order)
    (tmp_path / "model-00001-of-00002.safetensors").write_bytes(b"two")
    assert measured(tmp_path) == []


def test_a_card_without_a_place_gets_one(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "README.md").write_text("# Name\n")
    write([part()], tmp_path, ORDER)
    assert "| right |" in (tmp_path / "README.md").read_text()


def test_a_stopped_run_goes_on_where_it_was(tmp_path):
    asked = []

    def measure(item):
        if item == "c" and "c" not in asked:
            asked.append("c")
            raise KeyboardInterrupt
        asked.append(item)
        return {"twice": item * 2}

    items = {letter: letter for letter in "abc"}
    with pytest.raises(KeyboardInterrupt):
        Kept(tmp_path).each("x", items, measure)
    assert Kept(tmp_path).each("x", items, measure) == {key: {"twice": key * 2} for key in "abc"}
    assert asked == ["a", "b", "c", "c"]


def test_a_line_that_was_not_finished_is_measured_again(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"key": "a", "n": 1}\n{"key": "b", "n')
    found = Kept(tmp_path).each("x", {"a": 1, "b": 2}, lambda n: {"n": n})
    assert found == {"a": {"n": 1}, "b": {"n": 2}}
    assert (tmp_path / "x.jsonl").read_text().count("\n") == 2


def test_a_trial_takes_the_first_items(tmp_path):
    assert list(Kept(tmp_path, 2).each("x", {"a": 1, "b": 2, "c": 3}, lambda n: {"n": n})) == ["a", "b"]
