"""The recipe of a checkpoint (`configs/train/*.yaml`), and the folder of its run."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import Field

from taste_speech.configuration_base import StrictSection
from taste_speech.configuration_taste import TasteConfig

STAGES = (
    "reply_corpus",
    "taste",
    "vocoder",
    "flow",
    "mind",
    "turn_ends",
    "assemble",
)
"""In the order in which `run` executes them; stage NAME is module `taste_speech.training.stages.NAME`.

A stage module has `Settings` (a `StrictSection`) and `run(settings, context: StageContext)`.
It resumes from its own folder `context.folder(NAME)` and returns at once if it has finished before.
When told to stop, it saves its state, writes its weights and raises `loop.StoppedError`.
"""


class Recipe(StrictSection):
    """A training configuration file."""

    name: str
    workdir: Path = Path("runs")
    """Folder for corpora, states and weights; not in the repository."""
    model: dict[str, Any] = Field(default_factory=dict)
    """Sections of `TasteConfig` that differ from those of `start`, or from the defaults without one."""
    start: str | None = None
    """Checkpoint to begin with, a folder or the name of a shipped one; the parts that no stage trains are its
    own."""
    stages: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a recipe from a YAML file."""
        return cls.model_validate(yaml.safe_load(Path(path).read_text()))

    def config(self, start: Path | None) -> TasteConfig:
        """Return the configuration to train; `start` is the folder of the checkpoint to begin with."""
        given = {} if start is None else TasteConfig.from_pretrained(start).to_dict()
        return TasteConfig(**given | self.model)


@dataclass(frozen=True)
class StageContext:
    """What every stage gets besides its own settings."""

    root: Path
    """Folder of the whole run."""
    config: TasteConfig
    """Configuration of the checkpoint that is trained."""
    start: Path | None = None
    """Folder of the checkpoint to begin with."""

    def folder(self, stage: str) -> Path:
        """Return the folder of a stage, created on first use."""
        path = self.root / stage
        path.mkdir(parents=True, exist_ok=True)
        return path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path to write to, which then replaces `path`, so that the file is always complete."""
    partial = path.with_name(f"{path.name}.partial")
    yield partial
    partial.replace(path)


def complete_lines(path: Path) -> list[str]:
    """Return the lines of a file to which a run appends, none if it does not exist.

    If the writer was stopped inside the last line, that part is cut off the file.
    """
    complete, _, rest = (path.read_text(encoding="utf-8") if path.exists() else "").rpartition("\n")
    if rest:
        path.write_text(complete + "\n" if complete else "", encoding="utf-8")
    return complete.splitlines()
