"""Base classes of the sections of `config.json`.

Sections that TASTE's published file has are *tolerant*: unknown keys are kept and warned about once,
because that file repeats hundreds of library defaults. Sections that this project adds are *strict*:
an unknown key is an error that names the nearest valid one.
"""

import difflib
import logging
from collections.abc import Iterable
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, model_validator

logger = logging.getLogger(__name__)
_warned: set[tuple[str, str]] = set()


def nearest_name(name: str, valid: Iterable[str]) -> str:
    """Return a hint for an unknown name: `; did you mean 'x'?`, or the list of the valid names."""
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else f"; valid names: {', '.join(names)}"


class StrictSection(BaseModel):
    """A section that this project adds to `config.json`; refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, values: Any) -> Any:
        if isinstance(values, dict):
            for key in values:
                if key not in cls.model_fields:
                    hint = nearest_name(str(key), cls.model_fields)
                    raise ValueError(f"unknown key {key!r} in section {cls.__name__}{hint}")
        return values


class TolerantSection(BaseModel):
    """A section of the published `config.json`; keeps unknown keys and warns about each once."""

    model_config = ConfigDict(extra="allow", validate_assignment=True, protected_namespaces=())

    @model_validator(mode="after")
    def _warn_about_unknown_keys(self) -> Self:
        for key in self.model_extra or {}:
            if (type(self).__name__, key) not in _warned:
                _warned.add((type(self).__name__, key))
                logger.warning("ignoring unknown key %r in section %s", key, type(self).__name__)
        return self


def require_defaults(section: BaseModel, name: str, *names: str) -> None:
    """Refuse variants that the published configuration can name but that are not implemented.

    Args:
        section: of the configuration.
        name: its name, for the message.
        names: of fields whose default is the only value that is supported.

    Raises:
        ValueError: a field has another value.
    """
    for field in names:
        given, supported = getattr(section, field), type(section).model_fields[field].default
        if given != supported:
            raise ValueError(f"{name}.{field} is {given!r}; only {supported!r} is supported")
