"""Base classes of the sections of `config.json`.

Sections of TASTE's published file are *tolerant*: unknown keys are kept and reported once, because that file
repeats hundreds of library defaults. Sections that this project adds are *strict*: an unknown key is an error
that suggests the closest valid key.
"""

import difflib
import logging
from collections.abc import Iterable
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, model_validator

logger = logging.getLogger(__name__)
_warned: set[tuple[str, str]] = set()


def nearest_name(name: str, valid: Iterable[str]) -> str:
    """Return a hint for an unknown name: `; did you mean 'x'?`, or a list of the valid names."""
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else f"; valid names: {', '.join(names)}"


class StrictSection(BaseModel):
    """A section that this project adds to `config.json`; rejects unknown keys."""

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
    """A section of the published `config.json`; keeps unknown keys and warns about each of them once."""

    fixed_keys: ClassVar[tuple[str, ...]] = ()
    """Keys whose default is the only supported value."""

    model_config = ConfigDict(extra="allow", validate_assignment=True, protected_namespaces=())

    @model_validator(mode="after")
    def _warn_about_unknown_keys(self) -> Self:
        for key in self.model_extra or {}:
            if (type(self).__name__, key) not in _warned:
                _warned.add((type(self).__name__, key))
                logger.warning("ignoring unknown key %r in section %s", key, type(self).__name__)
        return self

    def check_supported(self, name: str) -> None:
        """Check the `fixed_keys` of this section, called `name`, and of the sections inside it.

        Raises:
            ValueError: a value is valid in the published file, but not implemented.
        """
        for key, field in type(self).model_fields.items():
            value = getattr(self, key)
            if isinstance(value, TolerantSection):
                value.check_supported(f"{name}.{key}")
            elif key in self.fixed_keys and value != field.default:
                raise ValueError(f"{name}.{key} is {value!r}; only {field.default!r} is supported")
