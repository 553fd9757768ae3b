"""`taste-agent bench`: measures each step of hearing, thinking and speaking. This file imports no torch."""

from dataclasses import dataclass
from pathlib import Path

from taste_agent.errors import SettingsError

CHOICES = {
    "preset": ("small", "v0"),
    "dtype": ("auto", "float32", "bfloat16", "float16", "int8"),
    "device": ("auto", "cpu", "cuda", "mps"),
}


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """Options of `taste-agent bench`.

    Raises:
        SettingsError: a value is not one of the choices.
    """

    checkpoint: str = "small"
    preset: str | None = None  # size of a model with random weights, instead of the checkpoint
    device: str = "auto"
    dtype: str = "auto"  # of the large parts; see `dialog.loading.number_type`
    baseline: bool = False  # measure the naive forms too
    repeats: int = 10
    threads: int = 0
    out: Path | None = None
    compiled: bool = False  # whether `torch.compile` takes the steps; see `Acceleration`

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if (value := getattr(self, name)) is not None and value not in choices:
                raise SettingsError(f"{name} is {value!r}; choose one of: {', '.join(choices)}")
        if self.repeats < 1:
            raise SettingsError(f"repeats is {self.repeats}; give 1 or more")
