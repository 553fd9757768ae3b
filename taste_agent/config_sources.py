"""Reads settings from the command line, the environment and a file, and knows where each value came from.

Precedence: command line, then environment (`TASTE_AGENT_SAMPLING__TEXT_TOP_P=0.5`), then file, then default.
"""

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from taste_agent.config import ENV_NESTED_DELIMITER, ENV_PREFIX, AgentSettings
from taste_agent.errors import SettingsError

DEFAULT_ORIGIN = "default"
CONFIG_FILE_VARIABLE = f"{ENV_PREFIX}CONFIG"
"""Environment variable that names the settings file when no `--config` is given."""


@dataclass(frozen=True)
class LoadedSettings:
    """Settings with the origin of each value by its dotted name; names that are missing are defaults."""

    settings: AgentSettings
    origins: Mapping[str, str]

    def origin(self, name: str) -> str:
        """`default`, `command line`, `environment VARIABLE` or `file PATH`."""
        return self.origins.get(name, DEFAULT_ORIGIN)


def setting_names(model: type[BaseModel] = AgentSettings, prefix: str = "") -> list[str]:
    """Dotted names of all settings, in the order of the schema."""
    names: list[str] = []
    for name, field in model.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            names += setting_names(section, f"{prefix}{name}.")
        else:
            names.append(prefix + name)
    return names


def load_settings(
    config_file: Path | None = None,
    overrides: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> LoadedSettings:
    """Merges all sources and checks them.

    Args:
        config_file: a YAML file; None takes the one named by `TASTE_AGENT_CONFIG`, if any.
        overrides: `key=value` texts of `--set`; the value is read as YAML.
        options: dotted name -> value of other command line options; None values are not given.
        environment: variables; None takes those of the process.

    Raises:
        SettingsError: unknown name (with the nearest valid one), value out of range, unreadable file.
    """
    environment = os.environ if environment is None else environment
    if config_file is None and environment.get(CONFIG_FILE_VARIABLE):
        config_file = Path(environment[CONFIG_FILE_VARIABLE])
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}

    def take(found: Mapping[str, Any], origin_of: Mapping[str, str]) -> None:
        values.update(found)
        origins.update({name: origin_of[name] for name in found})

    if config_file is not None:
        found = read_settings_file(config_file)
        take(found, dict.fromkeys(found, f"file {config_file}"))
    take(*_from_environment(environment))
    from_line = _from_overrides(overrides)
    from_line |= {name: value for name, value in (options or {}).items() if value is not None}
    take(from_line, dict.fromkeys(from_line, "command line"))
    return LoadedSettings(_validate(values, origins), origins)


class _OnceLoader(yaml.SafeLoader):
    """Refuses a key that comes twice, of which YAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value]
        for (key, _), name in zip(node.value, names, strict=True):
            if names.count(name) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{name} is given twice", key.start_mark)
        return super().construct_mapping(node, deep)


def read_settings_file(path: Path) -> dict[str, Any]:
    """Dotted names and values of a YAML settings file; names are checked, values are not yet."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _OnceLoader)
    except FileNotFoundError:
        raise SettingsError(
            f"settings file {path} does not exist; `taste-agent config init` writes one"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"settings file {path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        line = " ".join(str(error).split())
        raise SettingsError(f"settings file {path} is not valid YAML: {line}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(
            f"settings file {path} holds a {type(content).__name__}; sections of settings are needed"
        )
    found: dict[str, Any] = {}
    _flatten(content, AgentSettings, "", f"file {path}", found)
    return found


def _flatten(
    content: Mapping[Any, Any], model: type[BaseModel], prefix: str, origin: str, found: dict[str, Any]
) -> None:
    for key, value in content.items():
        name = f"{prefix}{key}"
        if key not in model.model_fields:
            raise _unknown(name, origin, candidates=[f"{prefix}{known}" for known in model.model_fields])
        section = model.model_fields[key].annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            if value is None:
                continue
            if not isinstance(value, Mapping):
                raise SettingsError(
                    f"{name} = {value!r} ({origin}) is a section; "
                    f"settings in it: {', '.join(section.model_fields)}"
                )
            _flatten(value, section, f"{name}.", origin, found)
        else:
            found[name] = value


def _unknown(name: str, origin: str, candidates: Sequence[str]) -> SettingsError:
    everything = setting_names()
    close = difflib.get_close_matches(name, candidates, n=1) or difflib.get_close_matches(
        name, everything, n=1
    )
    if not close:  # `top_p` is nearest to what ends alike, whatever its section
        last = {known.rsplit(".", 1)[-1]: known for known in everything}
        close = [last[match] for match in difflib.get_close_matches(name.rsplit(".", 1)[-1], last, n=1)]
    hint = f"did you mean {close[0]}?" if close else f"valid: {', '.join(candidates)}"
    return SettingsError(f"unknown setting {name} ({origin}); {hint}")


def _from_environment(environment: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    by_variable = {
        ENV_PREFIX + name.replace(".", ENV_NESTED_DELIMITER).upper(): name for name in setting_names()
    }
    found: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for variable in sorted(environment):
        if not variable.startswith(ENV_PREFIX) or variable == CONFIG_FILE_VARIABLE:
            continue
        if variable not in by_variable:
            close = difflib.get_close_matches(variable, by_variable, n=1)
            hint = f"did you mean {close[0]}?" if close else f"one is {next(iter(by_variable))}"
            raise SettingsError(f"unknown environment variable {variable}; {hint}")
        name = by_variable[variable]
        found[name] = _parse(environment[variable], f"environment {variable}")
        origins[name] = f"environment {variable}"
    return found, origins


def _from_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    known = setting_names()
    found: dict[str, Any] = {}
    for text in overrides:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals:
            raise SettingsError(
                f"--set {text} has no value; write --set key=value, e.g. --set sampling.text_top_p=0.5"
            )
        if name not in known:
            raise _unknown(name, "command line", known)
        found[name] = _parse(value, f"--set {name}")
    return found


def _parse(text: str, origin: str) -> Any:
    try:
        return yaml.safe_load(text) if text.strip() else ""
    except yaml.YAMLError:
        raise SettingsError(f"{origin}: {text!r} cannot be read as a value; quote it as in YAML") from None


def _validate(values: Mapping[str, Any], origins: Mapping[str, str]) -> AgentSettings:
    nested: dict[str, Any] = {}
    for name, value in values.items():
        *sections, leaf = name.split(".")
        target = nested
        for section in sections:
            target = target.setdefault(section, {})
        target[leaf] = value
    try:
        return AgentSettings(**nested)
    except ValidationError as error:
        first = error.errors()[0]
        location = [str(part) for part in first["loc"]]
        name = next(
            (n for n in (".".join(location[:i]) for i in range(len(location), 0, -1)) if n in values), ""
        )
        reason = first["msg"].removeprefix("Value error, ")
        if not name:
            raise SettingsError(f"settings do not fit together: {reason}") from None
        reason = reason[0].lower() + reason[1:]
        raise SettingsError(f"{name} = {values[name]!r} ({origins[name]}) is not allowed: {reason}") from None
