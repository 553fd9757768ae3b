from typer.testing import CliRunner

from taste_speech.training.__main__ import app
from taste_speech.training.evaluation.run import command_line


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
