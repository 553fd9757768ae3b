"""Settings of the sound devices, from every source."""

import pytest

from taste_agent.audio.devices import find_device
from taste_agent.config.sources import load_settings
from taste_agent.errors import SettingsError
from tests.taste_agent.audio.fake_backend import FakeBackend


@pytest.mark.parametrize("source", ["command line", "environment", "file"])
def test_device_can_be_given_by_its_index(source, tmp_path):
    file, overrides, environment = None, [], {}
    if source == "command line":
        overrides = ["devices.input=2", "devices.output=1"]
    elif source == "environment":
        environment = {"TASTE_AGENT_DEVICES__INPUT": "2", "TASTE_AGENT_DEVICES__OUTPUT": "1"}
    else:
        file = tmp_path / "my.yaml"
        file.write_text("devices: {input: 2, output: 1}\n")
    settings = load_settings(file, overrides, environment=environment).settings.devices
    assert (settings.input, settings.output) == ("2", "1")
    backend = FakeBackend()
    backend.present = {"mic": True, "box": True, "webcam": True}
    assert find_device(backend.list_devices(), settings.input, "input").name == "webcam"
    assert find_device(backend.list_devices(), settings.output, "output").name == "box"


@pytest.mark.parametrize("value", ["true", "[1]", "null"])
def test_what_is_neither_name_nor_index_is_refused(tmp_path, value):
    file = tmp_path / "my.yaml"
    file.write_text(f"devices: {{input: {value}}}")
    with pytest.raises(SettingsError, match=r"devices.input = .* is not allowed: .*put it in quotes"):
        load_settings(file, environment={})
