import os
import signal

import pytest
import yaml
from torch import nn
from typer.testing import CliRunner

from taste_speech.training.__main__ import app
from taste_speech.training.loop import LoopSettings, TrainingLoop
from taste_speech.training.stages import flow, vocoder


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({"name": "toy", "workdir": str(tmp_path / "runs")}))
    return path


@pytest.fixture
def later(monkeypatch):
    """Stages after `vocoder` that ran."""
    ran = []
    monkeypatch.setattr(flow, "run", lambda *_: ran.append("flow"))
    return ran


def run(recipe):
    return CliRunner().invoke(app, ["run", str(recipe), "--stage", "vocoder", "--stage", "flow"])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_after_a_stage_that_was_stopped_no_further_one_runs(recipe, later, monkeypatch, number, code):
    def stopped(_settings, context):
        settings = LoopSettings(steps=10, precision="no")
        loop = TrainingLoop("vocoder", context.folder("vocoder"), nn.Linear(2, 1), settings)

        def losses(_step, _generator):
            os.kill(os.getpid(), number)
            return {"sum": loop.module.weight.sum()}

        loop.run(losses)

    monkeypatch.setattr(vocoder, "run", stopped)
    result = run(recipe)
    assert result.exit_code == code
    assert later == []
    assert (recipe.parent / "runs" / "toy" / "vocoder" / "state.pt").exists()
    assert "stage vocoder was stopped at step" in result.stderr
    assert "to go on, run the same command again" in result.stderr


def test_a_stage_stopped_outside_of_training_ends_the_run_too(recipe, later, monkeypatch):
    monkeypatch.setattr(vocoder, "run", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    result = run(recipe)
    assert result.exit_code == 130
    assert later == []
    assert result.stderr.count("\n") == 1


def test_stages_run_one_after_the_other(recipe, later, monkeypatch):
    monkeypatch.setattr(vocoder, "run", lambda *_: later.append("vocoder"))
    assert run(recipe).exit_code == 0
    assert later == ["vocoder", "flow"]
