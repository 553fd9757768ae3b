from pathlib import Path

import pytest
import yaml

from taste_agent.config import AgentSettings
from taste_agent.config_file import default_file_text, settings_lines
from taste_agent.config_sources import load_settings, setting_names
from taste_agent.errors import SettingsError

CONFIGS = Path(__file__).parents[2] / "configs" / "agent"


def load(*overrides: str, file: Path | None = None, env: dict[str, str] | None = None, **options: object):
    return load_settings(file, overrides, options, environment=env or {})


def flat(content: dict, prefix: str = "") -> dict:
    out = {}
    for key, value in content.items():
        out |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return out


def test_the_documented_file_is_the_schema():
    assert (CONFIGS / "default.yaml").read_text() == default_file_text()


def test_every_setting_of_the_documented_file_has_its_default_and_a_comment():
    text = (CONFIGS / "default.yaml").read_text()
    assert list(flat(yaml.safe_load(text))) == setting_names()
    assert load(file=CONFIGS / "default.yaml").settings == AgentSettings()
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if line and not line.lstrip().startswith("#"):
            assert lines[number - 1].lstrip().startswith("# "), line
            assert len(lines[number - 1].strip()) > 8, f"{line} is not explained"


@pytest.mark.parametrize("path", [p for p in sorted(CONFIGS.glob("*.yaml")) if p.stem != "default"])
def test_presets_hold_overrides_only(path):
    found = flat(yaml.safe_load(path.read_text()))
    defaults = flat(AgentSettings().model_dump(mode="json"))
    assert found
    assert [name for name, value in found.items() if defaults[name] == value] == []
    assert load(file=path).settings != AgentSettings()


def test_precedence_and_origin(tmp_path):
    file = tmp_path / "my.yaml"
    file.write_text("sampling: {text_top_p: 0.1, seed: 1, max_length: 7}\ndialog: {voice: ada}\n")
    env = {"TASTE_AGENT_SAMPLING__TEXT_TOP_P": "0.2", "TASTE_AGENT_SAMPLING__SEED": "2"}
    loaded = load_settings(file, ["sampling.text_top_p=0.3"], {"dialog.voice": None}, env)
    sampling = loaded.settings.sampling
    assert (sampling.text_top_p, sampling.seed, sampling.max_length) == (0.3, 2, 7)
    assert loaded.settings.dialog.voice == "ada"
    origins = {name: origin for name, _, origin in settings_lines(loaded)}
    assert origins["sampling.text_top_p"] == "command line"
    assert origins["sampling.seed"] == "environment TASTE_AGENT_SAMPLING__SEED"
    assert origins["sampling.max_length"] == f"file {file}"
    assert origins["sampling.taste_top_p"] == "default"


def test_the_environment_can_name_the_file(tmp_path):
    file = tmp_path / "my.yaml"
    file.write_text("sampling: {seed: 5}\n")
    assert load(env={"TASTE_AGENT_CONFIG": str(file)}).settings.sampling.seed == 5


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sampling.text_topp=1", "unknown setting sampling.text_topp .*did you mean sampling.text_top_p?"),
        ("top_p=1", "unknown setting top_p .*did you mean sampling.text_top_p?"),
        (
            "sampling.text_top_p=1.5",
            r"sampling.text_top_p = 1.5 \(command line\) is not allowed: .*less than",
        ),
        ("sampling.text_temperature=.nan", "text_temperature = nan .*finite"),
        ("sampling.seed=abc", "sampling.seed = 'abc' .*integer"),
        ("vad.frame_ms=15", "vad.frame_ms = 15 .*10, 20 or 30"),
        ("endpointing.max_silence_ms=200", "max_silence_ms = 200 is below min_silence_ms = 700"),
        ("sampling", "--set sampling has no value; write --set key=value"),
        ("sampling=1", "unknown setting sampling"),
        ("dialog.voice=[", "cannot be read as a value"),
    ],
)
def test_wrong_settings_are_refused_with_help(override, message):
    with pytest.raises(SettingsError, match=message):
        load(override)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("smapling: {seed: 1}", "unknown setting smapling .*file.*did you mean sampling?"),
        ("sampling: {sed: 1}", "unknown setting sampling.sed .*did you mean sampling.seed?"),
        ("sampling: 3", "sampling = 3 .*is a section; settings in it: text_top_p"),
        ("- 1", "holds a list; sections of settings are needed"),
        ("a: [", "is not valid YAML"),
        ("sampling:\n  seed: 1\n  seed: 2", "seed is given twice.*line 2"),
        ("sampling: {seed: true}", "sampling.seed = True .*neither true nor false"),
        ("barge_in: {enabled: 2.5}", "barge_in.enabled = 2.5"),
        ("sampling: {text_top_p: high}", r"text_top_p = 'high' \(file .*\) is not allowed"),
    ],
)
def test_wrong_files_are_refused_with_help(tmp_path, content, message):
    file = tmp_path / "my.yaml"
    file.write_text(content)
    with pytest.raises(SettingsError, match=message):
        load(file=file)


def test_missing_files_and_unknown_variables_are_refused(tmp_path):
    with pytest.raises(SettingsError, match="does not exist; `taste-agent config init` writes one"):
        load(file=tmp_path / "none.yaml")
    with pytest.raises(SettingsError, match="did you mean TASTE_AGENT_VAD__FRAME_MS"):
        load(env={"TASTE_AGENT_VAD_FRAME_MS": "10"})


def test_an_empty_file_and_empty_sections_are_the_defaults(tmp_path):
    file = tmp_path / "my.yaml"
    file.write_text("# nothing\nsampling:\n")
    assert load(file=file).settings == AgentSettings()
