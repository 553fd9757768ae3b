import importlib
import os
import signal
from pathlib import Path

import pytest
import yaml
from torch import nn
from typer.testing import CliRunner

from taste_speech import TasteConfig
from taste_speech.training.__main__ import SHIPPED, app
from taste_speech.training.config import STAGES, Recipe
from taste_speech.training.loop import LoopSettings, TrainingLoop
from taste_speech.training.stages import flow, vocoder

ROOT = Path(__file__).parents[3]
SECTIONS = (
    "tower",
    "audio_tower_config",
    "speech_decoder_config",
    "unit_decoding",
    "voice_generator",
    "text_config",
    "spoken_lm_config",
    "vocabulary",
    "streaming",
)


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


@pytest.mark.parametrize(("named", "ran"), [(["flow"], ["flow"]), (["vocoder", "flow"], ["vocoder", "flow"])])
def test_a_recipe_that_begins_with_a_checkpoint_runs_what_it_names(tmp_path, later, monkeypatch, named, ran):
    monkeypatch.setattr(vocoder, "run", lambda _, context: later.append(context.start and "vocoder"))
    path = tmp_path / "recipe.yaml"
    given = {
        "name": "toy",
        "workdir": str(tmp_path),
        "start": str(SHIPPED),
        "stages": {n: {} for n in named},
    }
    path.write_text(yaml.safe_dump(given))
    assert CliRunner().invoke(app, ["run", str(path)]).exit_code == 0
    assert later == ran


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs" / "train").glob("*.yaml")), ids=lambda path: path.stem
)
def test_the_recipes_have_settings_that_their_stages_know(path):
    recipe = Recipe.read(path)
    config = recipe.config(SHIPPED if recipe.start else None)
    assert config.voice_generator.unit_vocab_size == config.speech_decoder_config.speech_token_size
    assert recipe.stages.keys() <= set(STAGES)
    for name, settings in recipe.stages.items():
        importlib.import_module(f"taste_speech.training.stages.{name}").Settings.model_validate(settings)


def test_the_recipe_trains_a_checkpoint_with_the_sizes_of_the_shipped_one():
    ours = Recipe.read(ROOT / "configs" / "train" / "small.yaml").config(SHIPPED)
    shipped = TasteConfig.from_pretrained(SHIPPED)
    for section in SECTIONS:
        known, given = (dumped(getattr(config, section)) for config in (shipped, ours))
        assert {k: (known[k], v) for k, v in given.items() if known[k] != v} == {}


def dumped(section):
    """A section of ours, or of transformers, as a dictionary."""
    return section.model_dump() if hasattr(section, "model_dump") else section.to_dict()
