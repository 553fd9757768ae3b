"""Options that commands share mean the same in all of them."""

from typing import Any

import pytest
import typer

from taste_agent import cli, cli_options
from taste_agent.cli_options import settings_of
from taste_agent.config.sources import setting_names
from taste_agent.errors import SettingsError

COMMANDS: dict[str, Any] = typer.main.get_command(cli.app).commands
OF_A_MODEL = ("replay", "chat", "doctor", "say", "tokens", "bench")


def options(command: str) -> dict[str, Any]:
    return {name: option for option in COMMANDS[command].params for name in option.opts}


def test_every_option_stands_for_a_setting():
    assert set(cli_options._SETTINGS.values()) <= set(setting_names())


def test_options_reach_their_settings_and_those_that_are_not_given_do_not(tmp_path):
    file = tmp_path / "my.yaml"
    file.write_text("model: {device: cpu, threads: 2}\nsampling: {seed: 5}\n")
    settings = settings_of(file, ["model.dtype=int8"], model="some/model", device=None, seed=7)
    assert settings.model.checkpoint == "some/model"
    assert (settings.model.device, settings.model.threads, settings.model.dtype) == ("cpu", 2, "int8")
    assert settings.sampling.seed == 7


def test_an_option_that_is_not_allowed_is_named_as_the_setting():
    with pytest.raises(SettingsError, match=r"model.device = 'tpu'"):
        settings_of(None, None, device="tpu")


@pytest.mark.parametrize("command", OF_A_MODEL)
def test_commands_with_a_model_name_it_alike(command):
    assert {"--model", "--device", "--debug"} <= set(options(command))


@pytest.mark.parametrize("command", ["replay", "chat", "devices", "doctor", "say", "tokens"])
def test_commands_with_settings_take_a_file_and_single_ones(command):
    assert {"--config", "--set"} <= set(options(command))


@pytest.mark.parametrize(
    "name", ["--device", "--voice", "--seed", "--config", "--set", "--input", "--output", "--debug"]
)
def test_a_shared_option_has_the_same_help_everywhere(name):
    found = [options(command)[name] for command in COMMANDS if name in options(command)]
    assert len(found) >= 2
    assert len({(option.help, option.metavar) for option in found}) == 1


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("doctor", ["--device", "cpu", "--set", "model.threads=3"]),
        ("devices", ["--set", "devices.block_ms=10"]),
    ],
)
def test_single_settings_reach_the_command(command, arguments, monkeypatch):
    seen = []

    def show(settings, *rest):
        seen.append(settings)
        return True

    monkeypatch.setattr("taste_agent.commands.doctor.show_diagnosis", show)
    monkeypatch.setattr("taste_agent.commands.devices.show_devices", show)
    cli.app([command, *arguments], standalone_mode=False)
    (settings,) = seen
    if command == "doctor":
        assert (settings.model.device, settings.model.threads) == ("cpu", 3)
    else:
        assert settings.block_ms == 10
