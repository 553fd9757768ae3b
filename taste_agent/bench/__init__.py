"""`taste-agent bench`: what each step of hearing, thinking and speaking costs. Imports no torch."""

from dataclasses import dataclass
from pathlib import Path

from taste_agent.errors import SettingsError

PRESETS = ("small", "v0")
DTYPES = ("auto", "float32", "bfloat16", "float16", "int8")


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """Options of `taste-agent bench`.

    Raises:
        SettingsError: a value that is not one of the choices.
    """

    checkpoint: str = "small"
    preset: str | None = None  # size of a model with random weights, instead of the checkpoint
    device: str = "auto"
    dtype: str = "auto"  # of the large parts; auto: as `number_type` says
    baseline: bool = False  # whether to run the naive forms too
    repeats: int = 10
    threads: int = 0
    out: Path | None = None
    compiled: bool = False  # whether `torch.compile` takes the steps; see `Acceleration`

    def __post_init__(self) -> None:
        if self.preset not in (None, *PRESETS):
            raise SettingsError(f"preset is {self.preset!r}; choose one of: {', '.join(PRESETS)}")
        if self.dtype not in DTYPES:
            raise SettingsError(f"dtype is {self.dtype!r}; choose one of: {', '.join(DTYPES)}")
        if self.device not in ("auto", "cpu", "cuda", "mps"):
            raise SettingsError(f"device is {self.device!r}; choose cpu, cuda, mps or auto")
        if self.repeats < 1:
            raise SettingsError(f"repeats is {self.repeats}; give 1 or more")
