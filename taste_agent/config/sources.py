"""Where settings come from: the command line, the environment, a file; and the commented file of defaults.

Precedence: command line, then environment (`TASTE_AGENT_SAMPLING__TEXT_TOP_P=0.5`), then file, then default.
Files are YAML 1.2. On the command line and in the environment, text settings are used as written; all other
values are read as YAML.
"""

import difflib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from taste_agent.config.settings import ENV_NESTED_DELIMITER, ENV_PREFIX, AgentSettings
from taste_agent.errors import SettingsError

CONFIG_FILE_VARIABLE = f"{ENV_PREFIX}CONFIG"
"""Environment variable that names the settings file when no `--config` is given."""


@dataclass(frozen=True)
class LoadedSettings:
    """Settings, and where each value came from.

    Attributes:
        origins: `command line`, `environment VARIABLE` or `file PATH`, by dotted name; defaults have none.
    """

    settings: AgentSettings
    origins: Mapping[str, str]


def _types(model: type[BaseModel], prefix: str = "") -> dict[str, Any]:
    types: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            types |= _types(section, f"{prefix}{name}.")
        else:
            types[f"{prefix}{name}"] = section
    return types


_TYPES = _types(AgentSettings)


def setting_names() -> list[str]:
    """Return the dotted names of all settings, in the order of the schema."""
    return list(_TYPES)


def _names_in(section: str) -> list[str]:
    """Return the settings and sections directly in `section`, which ends with a dot or is empty."""
    inside = (name.removeprefix(section) for name in _TYPES if name.startswith(section))
    return list(dict.fromkeys(section + name.split(".")[0] for name in inside))


def load_settings(
    config_file: Path | None = None,
    overrides: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> LoadedSettings:
    """Merge all sources and validate the result.

    Args:
        config_file: a YAML file. By default, the one named by `TASTE_AGENT_CONFIG`, if any.
        overrides: the `key=value` texts of `--set`.
        options: values of other command line options, by the setting's dotted name. None means not given.
        environment: environment variables. By default, those of the process.

    Raises:
        SettingsError: a name is unknown, a value is not allowed, or the file cannot be read.
    """
    environment = os.environ if environment is None else environment
    if config_file is None and environment.get(CONFIG_FILE_VARIABLE):
        config_file = Path(environment[CONFIG_FILE_VARIABLE])
    given = _Given()
    if config_file is not None:
        given.take_file(config_file)
    given.take_environment(environment)
    given.take_overrides(overrides)
    for name, value in (options or {}).items():
        if value is not None:
            given.take(name, value, "command line")
    settings = given.checked()
    if settings is None:
        more = f"; and {len(given.mistakes) - 1} more" if len(given.mistakes) > 1 else ""
        raise SettingsError(given.mistakes[0] + more)
    return LoadedSettings(settings, given.origins)


def mistakes_in(path: Path) -> list[str]:
    """Return everything that is wrong with a settings file, one line per mistake.

    Raises:
        SettingsError: the file cannot be read at all.
    """
    given = _Given()
    given.take_file(path)
    given.checked()
    return given.mistakes


class _Given:
    """Settings collected from all sources, later ones replacing earlier ones, and the mistakes in them."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.origins: dict[str, str] = {}
        self.mistakes: list[str] = []

    def take(self, name: str, value: Any, origin: str) -> None:
        self.values[name], self.origins[name] = value, origin

    def take_file(self, path: Path) -> None:
        content = _read(path)
        if content is not None and not isinstance(content, dict):
            raise SettingsError(
                f"settings file {path} contains a {type(content).__name__}; it needs sections of settings"
            )
        self._take_section(content or {}, "", f"file {path}")

    def _take_section(self, content: Mapping[Any, Any], prefix: str, origin: str) -> None:
        known = _names_in(prefix)
        for key, value in content.items():
            name = f"{prefix}{key}"
            if name in _TYPES:
                self.take(name, value, origin)
            elif name not in known:
                self._unknown(name, origin, known)
            elif isinstance(value, Mapping):
                self._take_section(value, f"{name}.", origin)
            elif value is not None:
                inside = ", ".join(one.removeprefix(f"{name}.") for one in _names_in(f"{name}."))
                self.mistakes.append(f"{name} = {value!r} ({origin}) is a section; settings in it: {inside}")

    def take_environment(self, environment: Mapping[str, str]) -> None:
        by_variable = {ENV_PREFIX + name.replace(".", ENV_NESTED_DELIMITER).upper(): name for name in _TYPES}
        for variable in sorted(environment):
            if not variable.startswith(ENV_PREFIX) or variable == CONFIG_FILE_VARIABLE:
                continue
            name = by_variable.get(variable)
            if name is None:
                close = difflib.get_close_matches(variable, by_variable, n=1)
                hint = f"did you mean {close[0]}?" if close else f"one is {next(iter(by_variable))}"
                self.mistakes.append(f"unknown environment variable {variable}; {hint}")
            else:
                self._take_text(name, environment[variable], f"environment {variable}")

    def take_overrides(self, overrides: Sequence[str]) -> None:
        for text in overrides:
            name, equals, value = text.partition("=")
            name = name.strip()
            if not (equals and name):
                lacks = "value" if name else "name"
                self.mistakes.append(
                    f"--set {text} has no {lacks}; write --set key=value, e.g. --set sampling.text_top_p=0.5"
                )
            elif name not in _TYPES:
                self._unknown(name, "command line", setting_names())
            else:
                self._take_text(name, value, "command line")

    def _take_text(self, name: str, text: str, origin: str) -> None:
        if _TYPES[name] is str:
            self.take(name, text, origin)
            return
        try:
            self.take(name, yaml.load(text, _Loader) if text.strip() else "", origin)
        except yaml.YAMLError:
            self.mistakes.append(f"{name} ({origin}): {text!r} cannot be read as a value")

    def _unknown(self, name: str, origin: str, candidates: Sequence[str]) -> None:
        close = next(filter(None, (difflib.get_close_matches(name, n, 1) for n in (candidates, _TYPES))), [])
        if not close:  # suggest `sampling.text_top_p` for `top_p`
            last = {known.rsplit(".", 1)[-1]: known for known in _TYPES}
            close = [last[match] for match in difflib.get_close_matches(name.rsplit(".", 1)[-1], last, n=1)]
        hint = f"did you mean {close[0]}?" if close else "`taste-agent config show` lists all"
        self.mistakes.append(f"unknown setting {name} ({origin}); {hint}")

    def checked(self) -> AgentSettings | None:
        """Return the validated settings, or None if there are mistakes."""
        nested: dict[str, Any] = {}
        for name, value in self.values.items():
            *sections, leaf = name.split(".")
            target = nested
            for section in sections:
                target = target.setdefault(section, {})
            target[leaf] = value
        try:
            settings = AgentSettings(**nested)
        except ValidationError as error:
            self.mistakes += [self._explained(found) for found in error.errors()]
            return None
        return None if self.mistakes else settings

    def _explained(self, found: ErrorDetails) -> str:
        parts = [str(part) for part in found["loc"]]
        paths = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
        name = next((path for path in paths if path in self.values), "")
        reason = found["msg"].removeprefix("Value error, ")
        if not name:
            return f"settings do not fit together: {reason}"
        reason = _REASONS.get(found["type"], reason[0].lower() + reason[1:])
        return f"{name} = {found['input']!r} ({self.origins[name]}) is not allowed: {reason}"


_REASONS = {
    "tuple_type": "expected a list, as in [one, two]",
    "string_type": "expected text; put it in quotes",
}
"""Replacements for messages of pydantic that only a Python programmer understands."""


class _Loader(yaml.SafeLoader):
    """Reads the core schema of YAML 1.2: `no` and `1:30` are text, `012` is twelve. No duplicate keys."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value]
        for (key, _), name in zip(node.value, names, strict=True):
            if names.count(name) > 1:  # PyYAML would silently use the last one
                raise yaml.constructor.ConstructorError(None, None, f"{name} is given twice", key.start_mark)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """Read an integer; octal numbers start with `0o`."""
        return int(node.value, 0 if node.value.lstrip("+-")[:2] in ("0x", "0o") else 10)


for _tag, _pattern in {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
}.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), None)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def _read(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except FileNotFoundError:
        raise SettingsError(
            f"settings file {path} does not exist; `taste-agent config init` writes one"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"settings file {path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        line = " ".join(str(error).split())
        raise SettingsError(f"settings file {path} is not valid YAML: {line}") from None


_HEADER = """\
# Settings of taste-agent. Every value here is the default; keep only the lines that you change.
# Precedence: command line, environment (TASTE_AGENT_<SECTION>__<NAME>), this file, default.
"""
_BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


def default_file_text() -> str:
    """Return a settings file with every default, and its description and allowed values as a comment."""
    return "\n".join([_HEADER, *_section_lines(AgentSettings(), "")]) + "\n"


def settings_lines(loaded: LoadedSettings) -> Iterator[tuple[str, str, str]]:
    """Yield the dotted name, the value as YAML and the origin of every setting."""
    for name in setting_names():
        value: Any = loaded.settings
        for part in name.split("."):
            value = getattr(value, part)
        yield name, _value_text(value), loaded.origins.get(name, "default")


def _section_lines(values: BaseModel, indent: str) -> Iterator[str]:
    for number, (name, field) in enumerate(type(values).model_fields.items()):
        value = getattr(values, name)
        is_section, allowed = isinstance(value, BaseModel), _allowed(field)
        if is_section and number and not indent:
            yield ""
        yield f"{indent}# {field.description}{f' ({allowed})' if allowed else ''}"
        yield f"{indent}{name}:" if is_section else f"{indent}{name}: {_value_text(value)}"
        if is_section:
            yield from _section_lines(value, indent + "  ")


def _allowed(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return ", ".join(map(_value_text, get_args(field.annotation)))
    bounds = ((sign, getattr(rule, name, None)) for rule in field.metadata for name, sign in _BOUNDS.items())
    return ", ".join(f"{sign} {bound}" for sign, bound in bounds if bound is not None)


def _value_text(value: Any) -> str:
    plain = list(value) if isinstance(value, tuple) else value
    text = yaml.safe_dump(plain, default_flow_style=True, width=10**6, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")
