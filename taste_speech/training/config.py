"""The recipe of a checkpoint (`configs/train/*.yaml`): its model and the settings of each stage."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import Field

from taste_speech.configuration_base import StrictSection
from taste_speech.configuration_taste import TasteConfig

STAGES = (
    "reply_corpus",
    "units",
    "pairs",
    "vocoder",
    "flow",
    "phone_timer",
    "autoencoder",
    "mind",
    "turn_ends",
    "assemble",
)
"""In the order in which `run` goes through them; stage NAME is module `taste_speech.training.stages.NAME`.

A stage module has `Settings` (a `StrictSection`) and `run(settings, context: StageContext)`.
It resumes from its own folder `context.folder(NAME)` and returns at once when it has finished before.
Told to stop while it trains, it saves, writes the weights that it has and raises `loop.StoppedError`.
"""


class Recipe(StrictSection):
    """A training configuration file."""

    name: str
    workdir: Path = Path("runs")
    """Folder for corpora, states and weights; not in the repository."""
    model: dict[str, Any] = Field(default_factory=dict)
    """Sections of `TasteConfig` that differ from those of `start`; without one, from the defaults."""
    start: str | None = None
    """A checkpoint whose weights the stages begin with, as far as they fit: a folder or a shipped name."""
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
    """What every stage gets beside its own settings."""

    root: Path
    """Folder of the whole run."""
    config: TasteConfig
    """Configuration of the checkpoint that is trained."""
    start: Path | None = None
    """Folder of the checkpoint that the stages begin with."""

    def folder(self, stage: str) -> Path:
        """Folder of one stage, created on first use."""
        path = self.root / stage
        path.mkdir(parents=True, exist_ok=True)
        return path
