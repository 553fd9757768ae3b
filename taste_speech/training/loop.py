"""A training loop that can resume, with a budget of steps and of minutes.

Accelerate chooses the device (a GPU if there is one, else the CPU) and the precision. This file adds what a
long run on a small machine needs: a learning rate that follows whichever budget is used up faster, a state
file every few minutes, and a clean save when the process is told to stop. It is for one process on one
device: several would draw the same batches.
"""

import json
import logging
import math
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Literal

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from taste_speech.configuration_base import StrictSection
from taste_speech.training.config import replacing

logger = logging.getLogger(__name__)

Losses = dict[str, Tensor]


class StoppedError(Exception):
    """The process was told to stop by signal `signal_number`; what the stage has learned is saved."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number


class LoopSettings(StrictSection):
    """The section of a stage's settings about its optimization."""

    steps: int = 10_000
    minutes: float | None = None
    """Time budget: on a CPU, computing time of the process per thread, so that other programs do not count;
    elsewhere wall-clock time. The learning rate reaches its end when either budget is spent."""
    learning_rate: float = 1e-3
    final_rate: float = 0.02
    """Learning rate at the end, as a fraction of `learning_rate`."""
    warmup_steps: int = 100
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    precision: Literal["auto", "no", "bf16", "fp16"] = "auto"
    """`auto` is bf16 where the device supports it, else no: emulated bf16 is several times slower."""
    threads: int = 1
    save_every_s: float = 180.0
    log_every: int = 50
    evaluate_every: int = 500
    seed: int = 0


def learning_rate_factor(settings: LoopSettings, step: int, progress: float) -> float:
    """Return the factor of a linear warm-up, then a cosine to `final_rate`, at a fraction of the budget."""
    warmup = min(1.0, (step + 1) / max(1, settings.warmup_steps))
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return warmup * (settings.final_rate + (1 - settings.final_rate) * cosine)


def mixed_precision(settings: LoopSettings) -> str:
    """Return the precision for accelerate: `no`, `bf16` or `fp16`."""
    if settings.precision != "auto":
        return settings.precision
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() else "no"


def take_what_fits(module: nn.Module, stored: Mapping[str, Tensor]) -> list[str]:
    """Load the tensors that `module` has in the same shape; return the names of its other tensors."""
    shapes = {name: tensor.shape for name, tensor in module.state_dict().items()}
    fitting = {name: tensor for name, tensor in stored.items() if shapes.get(name) == tensor.shape}
    module.load_state_dict(fitting, strict=False)
    return sorted(shapes.keys() - fitting.keys())


class TrainingLoop:
    """Optimizes a module by the sum of the losses of `compute_losses(step, generator)`.

    Args:
        name: of the stage, for the log.
        workdir: folder for `state.pt` (to resume from), `metrics.jsonl` and the final weights.
        module: everything that is trained.
        settings: budgets and optimizer settings.
        given: whether the tensor of `module` with this name is pretrained and frozen, and so not saved.
    """

    def __init__(
        self,
        name: str,
        workdir: Path,
        module: nn.Module,
        settings: LoopSettings,
        given: Callable[[str], bool] = lambda _: False,
    ) -> None:
        torch.set_num_threads(settings.threads)
        self.name, self.workdir, self.settings, self.given = name, Path(workdir), settings, given
        self.workdir.mkdir(parents=True, exist_ok=True)
        self.state_path = self.workdir / "state.pt"
        self.accelerator = Accelerator(mixed_precision=mixed_precision(settings))
        self.optimizer = torch.optim.AdamW(
            [parameter for parameter in module.parameters() if parameter.requires_grad],
            lr=settings.learning_rate,
            betas=settings.betas,
            weight_decay=settings.weight_decay,
        )
        self.module, self.optimizer = self.accelerator.prepare(module, self.optimizer)
        self.generator = torch.Generator().manual_seed(settings.seed)
        """On the CPU, so that random numbers are the same on all devices."""
        self.step = 0
        self.elapsed_s = 0.0
        self._stopped_by: int | None = None

    @property
    def device(self) -> torch.device:
        """Device of the module."""
        return self.accelerator.device

    def save(self) -> None:
        """Write the state file."""
        module = self.accelerator.unwrap_model(self.module).state_dict()
        state = {
            "module": {name: value for name, value in module.items() if not self.given(name)},
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "global_generator": torch.get_rng_state(),
            "step": self.step,
            "elapsed_s": self.elapsed_s,
        }
        with replacing(self.state_path) as path:
            torch.save(state, path)

    def resume(self) -> bool:
        """Load `state.pt` if it exists; return whether it does.

        A state without an optimizer, such as weights from another machine, gets a new one.

        Raises:
            ValueError: the state is that of another model.
        """
        if not self.state_path.exists():
            return False
        state = torch.load(self.state_path, weights_only=True, map_location="cpu")
        module = self.accelerator.unwrap_model(self.module)
        unfit = module.load_state_dict(state["module"], strict=False)
        missing = [name for name in unfit.missing_keys if not self.given(name)]
        if missing or unfit.unexpected_keys:
            wrong = [*missing, *unfit.unexpected_keys]
            raise ValueError(
                f"{self.state_path} does not fit the recipe ({wrong[0]}); delete it to start over"
            )
        if "optimizer" in state:
            self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["global_generator"])
        self.step, self.elapsed_s = state["step"], state["elapsed_s"]
        logger.info("%s: resumed at step %d (%.1f min)", self.name, self.step, self.elapsed_s / 60)
        return True

    def progress(self) -> float:
        """Return the used fraction of the budget, from 0 to 1."""
        used = self.step / self.settings.steps
        if self.settings.minutes is not None:
            used = max(used, self.elapsed_s / (60 * self.settings.minutes))
        return min(1.0, used)

    @property
    def finished(self) -> bool:
        """Whether a budget is spent."""
        return self.progress() >= 1

    def run(
        self,
        compute_losses: Callable[[int, torch.Generator], Losses],
        evaluate: Callable[[], dict[str, float]] | None = None,
        write: Callable[[], None] | None = None,
    ) -> None:
        """Train until a budget is spent or the process is told to stop; save, then write.

        Args:
            compute_losses: returns the losses of a step.
            evaluate: returns metrics of unseen items for the log.
            write: writes the stage's weights, also when training was stopped early.

        Raises:
            StoppedError: the process got SIGINT or SIGTERM; everything is saved and written.
        """
        previous = signal.signal(signal.SIGTERM, self._on_signal)
        try:
            try:
                self._run(compute_losses, evaluate)
            except KeyboardInterrupt:
                self._stopped_by = signal.SIGINT
            finally:
                self.save()
            if write is not None:
                write()
        finally:
            signal.signal(signal.SIGTERM, previous)
        if self._stopped_by is not None:
            where = f"step {self.step} ({self.elapsed_s / 60:.1f} min)"
            raise StoppedError(
                f"stage {self.name} was stopped at {where} and is saved in {self.workdir}", self._stopped_by
            )

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._stopped_by = number

    def _run(
        self,
        compute_losses: Callable[[int, torch.Generator], Losses],
        evaluate: Callable[[], dict[str, float]] | None,
    ) -> None:
        saved_at = time.monotonic()
        sums: dict[str, float] = {}
        summed = 0  # number of steps; smaller than `log_every` after a resume or a skipped step
        while not self.finished and self._stopped_by is None:
            started = self._time_s()
            losses = self._one_step(compute_losses)
            summed += bool(losses)
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + value
            self.step += 1
            self.elapsed_s += self._time_s() - started
            if self.step % self.settings.log_every == 0:
                self._log("train", {name: value / summed for name, value in sums.items()})
                sums, summed = {}, 0
            if evaluate is not None and self.step % self.settings.evaluate_every == 0:
                self._validate(evaluate)
            if time.monotonic() - saved_at > self.settings.save_every_s:
                self.save()
                saved_at = time.monotonic()

    def _validate(self, evaluate: Callable[[], dict[str, float]]) -> None:
        """Log `evaluate` with the same random numbers each time, without changing those of training."""
        self.module.eval()
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(self.settings.seed)
            self._log("valid", evaluate())
        self.module.train()

    def _time_s(self) -> float:
        if self.device.type == "cpu":
            return time.process_time() / self.settings.threads
        return time.monotonic()

    def _one_step(self, compute_losses: Callable[[int, torch.Generator], Losses]) -> dict[str, float]:
        rate = self.settings.learning_rate * learning_rate_factor(self.settings, self.step, self.progress())
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with self.accelerator.autocast():
            losses = compute_losses(self.step, self.generator)
        total = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(total):
            logger.warning("%s: skipped step %d because its loss is not finite", self.name, self.step)
            return {}
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(total)
        norm = self.accelerator.clip_grad_norm_(self.module.parameters(), self.settings.clip_norm)
        if norm is None or torch.isfinite(norm):
            self.optimizer.step()
        return {name: float(value.detach()) for name, value in losses.items()}

    def _log(self, split: str, metrics: dict[str, float]) -> None:
        minutes = self.elapsed_s / 60
        text = " ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        logger.info("%s %s step %d %.1f min: %s", self.name, split, self.step, minutes, text)
        record = {"split": split, "step": self.step, "minutes": minutes, **metrics}
        with (self.workdir / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")
