"""The commented settings file: written from the schema, so that it cannot disagree with it."""

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import yaml
from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from taste_agent.config.settings import AgentSettings
from taste_agent.config.sources import LoadedSettings, setting_names

_HEADER = """\
# Settings of taste-agent. Every value here is the default; keep only the lines that you change.
# Precedence: command line, environment (TASTE_AGENT_<SECTION>__<NAME>), this file, default.
"""


def default_file_text() -> str:
    """All settings with their defaults; each has its description and allowed values as a comment."""
    lines = [_HEADER]
    lines += _section_lines(AgentSettings, AgentSettings(), 0)
    return "\n".join(lines) + "\n"


def settings_lines(loaded: LoadedSettings) -> Iterator[tuple[str, str, str]]:
    """(dotted name, value as YAML, origin) of every setting."""
    for name in setting_names():
        value: Any = loaded.settings
        for part in name.split("."):
            value = getattr(value, part)
        yield name, _value_text(value), loaded.origin(name)


def _section_lines(model: type[BaseModel], values: BaseModel, depth: int) -> list[str]:
    indent = "  " * depth
    lines: list[str] = []
    for name, field in model.model_fields.items():
        value = getattr(values, name)
        if isinstance(value, BaseModel):
            if lines and depth == 0:
                lines.append("")
            lines.append(f"{indent}# {_sentence(field)}")
            lines.append(f"{indent}{name}:")
            lines += _section_lines(type(value), value, depth + 1)
        else:
            allowed = _allowed(field)
            lines.append(f"{indent}# {_sentence(field)}{f' ({allowed})' if allowed else ''}")
            lines.append(f"{indent}{name}: {_value_text(value)}")
    return lines


def _sentence(field: FieldInfo) -> str:
    return " ".join((field.description or "").split())


def _allowed(field: FieldInfo) -> str:
    choices = _choices(field.annotation)
    if choices:
        return ", ".join(_value_text(choice) for choice in choices)
    parts = []
    for rule in field.metadata:
        if isinstance(rule, Ge):
            parts.append(f">= {rule.ge}")
        elif isinstance(rule, Gt):
            parts.append(f"> {rule.gt}")
        elif isinstance(rule, Le):
            parts.append(f"<= {rule.le}")
        elif isinstance(rule, Lt):
            parts.append(f"< {rule.lt}")
    return ", ".join(parts)


def _choices(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return ()


def _value_text(value: Any) -> str:
    plain = list(value) if isinstance(value, tuple) else value
    text = yaml.safe_dump(plain, default_flow_style=True, width=10**6, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")
