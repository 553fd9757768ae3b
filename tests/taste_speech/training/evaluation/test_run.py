from pathlib import Path

import pytest
from typer.testing import CliRunner

from taste_speech.training.__main__ import app
from taste_speech.training.evaluation import run, speed
from taste_speech.training.evaluation.bench import Bench
from taste_speech.training.evaluation.results import Row
from taste_speech.training.evaluation.run import evaluate
from taste_speech.training.evaluation.subjects import TasteMind


def test_the_command_names_what_the_figures_depend_on():
    bench = Bench(Path("x"), Path("work"), texts=5, linear="int8", people=Path("people"))
    assert bench.command == (
        "python -m taste_speech.training evaluate --texts 5 --questions 200 --linear int8 --threads 2"
        " --people FOLDER"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--only", "pace"], "unknown part 'pace'"), (["--split", "train"], "split is 'train'")],
)
def test_what_cannot_be_measured_is_refused(arguments, message):
    result = CliRunner().invoke(app, ["evaluate", *arguments])
    assert result.exit_code == 2
    assert message in result.output


def test_parts_are_measured_and_written_but_for_a_trial(tmp_path, monkeypatch):
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    monkeypatch.setitem(run.PARTS, "size", lambda _: [Row("bytes", 1.0, "MB", 45, False, 1)])
    monkeypatch.setitem(run.PARTS, "people", lambda bench: [Row("people", bench.texts, "%")])
    (part,) = evaluate(Bench(folder, tmp_path, at_most=1, threads=1), ["size"])
    assert part.rows[0].value == 1
    assert not (folder / "evaluation.json").exists()
    bench = Bench(folder, tmp_path, texts=7, threads=1)
    evaluate(bench, ["size"])
    assert [part.name for part in evaluate(bench, ["people"])] == ["people", "size"]
    assert "| people | 7 % |" in (folder / "README.md").read_text()


def test_a_step_of_the_lm_and_a_start_are_timed(tiny_model, tiny_processor, tiny_checkpoint):
    assert speed.step_s(TasteMind(tiny_model, tiny_processor), 40) > 0
    ready_s, resident, peak = speed._start(tiny_checkpoint, {})
    assert ready_s > 0
    assert 0 < resident <= peak
