import pytest
from typer.testing import CliRunner

from taste_speech.training.__main__ import app
from taste_speech.training.evaluation import run
from taste_speech.training.evaluation.run import command_line
from taste_speech.training.evaluation.table import Row


def test_the_command_names_defaults_and_whether_there_was_a_run_folder():
    plain = "python -m taste_speech.training evaluate --sentences 100 --questions 200 --threads 2"
    assert command_line(100, 200, 2, has_run_folder=False) == plain
    assert command_line(100, 200, 2, has_run_folder=True) == plain.replace(
        "--sentences", "--run-folder RUN_FOLDER --sentences"
    )
    assert command_line(100, 200, 2, False, ["voice", "size"]).endswith("--only voice --only size")


def test_unknown_parts_are_refused():
    result = CliRunner().invoke(app, ["evaluate", "--only", "speed"])
    assert result.exit_code == 2
    assert "unknown part 'speed'" in result.output


def test_the_size_is_measured_without_the_model(tmp_path, monkeypatch):
    class Refused:
        def from_pretrained(self, *_):
            pytest.fail("the model was loaded")

    monkeypatch.setattr(run, "TasteForCausalLM", Refused())
    monkeypatch.setattr(run, "_size_rows", lambda folder: [Row("size", 1.0, "MB")])
    (part,) = run.evaluate(tmp_path, None, 1, 1, 1, ["size"])
    assert (part.name, part.rows[0].value) == ("size", 1.0)
