from pathlib import Path

import pytest
import yaml

from taste_agent.config import AgentSettings
from taste_agent.config.sources import (
    default_file_text,
    load_settings,
    mistakes_in,
    setting_names,
    settings_lines,
)
from taste_agent.errors import SettingsError

CONFIGS = Path(__file__).parents[3] / "configs" / "agent"


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
        ("endpointing.max_silence_ms=200", "max_silence_ms = 200 is below min_silence_ms = 300"),
        ("sampling", "--set sampling has no value; write --set key=value"),
        ("sampling=1", "unknown setting sampling"),
        ("sampling.seed=[", "sampling.seed .* cannot be read as a value"),
        ("=1", "--set =1 has no name; write --set key=value"),
        ("qqqqqq=1", r"unknown setting qqqqqq \(command line\); `taste-agent config show` lists all$"),
        ("endpointing.hanging_words=and", r"hanging_words = 'and' .* expected a list, as in \[one, two\]"),
        ("endpointing.max_piece_s=29.5", "max_piece_s = 29.5 .* less than or equal to 29"),
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
        ("- 1", "contains a list; it needs sections of settings"),
        ("a: [", "is not valid YAML"),
        ("sampling:\n  seed: 1\n  seed: 2", "seed is given twice.*line 2"),
        ("sampling: {seed: true}", "sampling.seed = True .*expected a number, got true"),
        ("barge_in: {enabled: 2.5}", "barge_in.enabled = 2.5"),
        ("sampling: {seed: 0x1F, max_length: 1:30}", "sampling.max_length = '1:30' .*valid integer"),
        ("dialog: {voice: 12}", "dialog.voice = 12 .*expected text; put it in quotes"),
        ("endpointing: {hanging_words: [and, 12]}", "hanging_words = 12 .*put it in quotes"),
        ("endpointing: {max_piece_s: 29, run_ahead_ms: 2000}", "make 33 s; less than 30 s can be heard"),
        ("sampling: {text_top_p: high}", r"text_top_p = 'high' \(file .*\) is not allowed"),
    ],
)
def test_wrong_files_are_refused_with_help(tmp_path, content, message):
    file = tmp_path / "my.yaml"
    file.write_text(content)
    with pytest.raises(SettingsError, match=message):
        load(file=file)


@pytest.mark.parametrize("text", ["Say #1 first", "Answer briefly: one line", "no", "012", "[", " 'x' ", ""])
def test_text_is_taken_as_it_is(text):
    by_line = load(f"dialog.system_prompt={text}").settings
    by_environment = load(env={"TASTE_AGENT_DIALOG__SYSTEM_PROMPT": text}).settings
    assert by_line.dialog.system_prompt == by_environment.dialog.system_prompt == text


def test_all_but_text_is_yaml_on_the_command_line():
    settings = load(
        "endpointing.hanging_words=[and, no]", "sampling.seed=null", "vad.max_steadiness=1"
    ).settings
    assert settings.endpointing.hanging_words == ("and", "no")
    assert settings.sampling.seed is None
    assert load("devices.input=3").settings.devices.input == "3"


def test_files_are_yaml_1_2(tmp_path):
    file = tmp_path / "my.yaml"
    file.write_text(
        "sampling: {seed: 012, text_temperature: 1e0, max_length: 0o17}\n"
        "dialog: {voice: no, system_prompt: 2024-01-01}\n"
        "barge_in: {enabled: false, backchannels: [yes, off, 1:30]}\n"
    )
    settings = load(file=file).settings
    assert (settings.sampling.seed, settings.sampling.max_length) == (12, 15)
    assert (settings.dialog.voice, settings.dialog.system_prompt) == ("no", "2024-01-01")
    assert settings.barge_in.backchannels == ("yes", "off", "1:30")
    assert settings.barge_in.enabled is False


def test_everything_wrong_with_a_file_is_listed(tmp_path):
    file = tmp_path / "my.yaml"
    file.write_text(
        "sampling: {sed: 1, text_top_p: 2}\nsmapling: {}\nvad: 3\n"
        "endpointing: {max_silence_ms: 100}\nmodel: {device: tpu}\n"
    )
    found = mistakes_in(file)
    expected = [
        "unknown setting sampling.sed",
        "unknown setting smapling",
        "vad = 3",
        "model.device = 'tpu'",
        "sampling.text_top_p = 2",
        "settings do not fit together: endpointing.max_silence_ms = 100 is below",
    ]
    assert [line[: len(start)] for line, start in zip(found, expected, strict=True)] == expected
    with pytest.raises(SettingsError, match=r"unknown setting sampling\.sed .*; and 5 more$"):
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
