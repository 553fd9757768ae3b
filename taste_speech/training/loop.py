"""A training loop that saves resumably and schedules by steps or by wall-clock minutes.

Device, mixed precision and several GPUs are accelerate's; this file adds what a long run on a small machine
needs: a learning rate that follows the larger of both budgets, a state file every few minutes, and a clean
save when the process is told to stop.
"""

import json
import logging
import math
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType

import torch
from accelerate import Accelerator
from pydantic import Field
from torch import Tensor, nn

from taste_speech.configuration_base import StrictSection
from taste_speech.training.initial import load_initial

logger = logging.getLogger(__name__)

Losses = dict[str, Tensor]


class LoopSettings(StrictSection):
    """What a stage's configuration says about its optimisation."""

    steps: int = 10_000
    minutes: float | None = None
    """Wall-clock budget; the learning rate reaches its end when either budget is spent."""
    learning_rate: float = 1e-3
    final_rate: float = 0.02
    """Learning rate at the end, as a fraction of `learning_rate`."""
    warmup_steps: int = 100
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    precision: str = Field(default="bf16", pattern="^(no|bf16|fp16)$")
    threads: int = 1
    save_every_s: float = 180.0
    log_every: int = 50
    evaluate_every: int = 500
    seed: int = 0


def learning_rate_factor(settings: LoopSettings, step: int, progress: float) -> float:
    """Linear warm-up, then a cosine to `final_rate`; `progress` is the used part of the budget."""
    warmup = min(1.0, (step + 1) / max(1, settings.warmup_steps))
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return warmup * (settings.final_rate + (1 - settings.final_rate) * cosine)


class TrainingLoop:
    """Optimises `module` by the losses of `compute_losses(step, generator)`; their sum is differentiated.

    Args:
        name: of the stage, for the log.
        workdir: where `state.pt` (resumable), `metrics.jsonl` and the final weights go.
        module: everything that is trained.
        settings: budgets and optimiser settings.
        parameters: what is optimised; default all parameters of `module` that require gradients.
    """

    def __init__(
        self,
        name: str,
        workdir: Path,
        module: nn.Module,
        settings: LoopSettings,
        parameters: Iterable[nn.Parameter] | None = None,
    ) -> None:
        torch.set_num_threads(settings.threads)
        self.name, self.workdir, self.settings = name, Path(workdir), settings
        self.workdir.mkdir(parents=True, exist_ok=True)
        self.accelerator = Accelerator(mixed_precision=settings.precision)
        trained = list(parameters) if parameters is not None else list(module.parameters())
        self.optimizer = torch.optim.AdamW(
            [p for p in trained if p.requires_grad],
            lr=settings.learning_rate,
            betas=settings.betas,
            weight_decay=settings.weight_decay,
        )
        self.module, self.optimizer = self.accelerator.prepare(module, self.optimizer)
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.step = 0
        self.elapsed_s = 0.0
        self.given: frozenset[str] = frozenset()
        """Names of the tensors that the stage's initial weights filled."""
        self._stop = False

    @property
    def state_path(self) -> Path:
        """File of the resumable state."""
        return self.workdir / "state.pt"

    def save(self) -> None:
        """Write the state beside the old one, then replace it, so that a kill leaves a valid file."""
        partial = self.state_path.with_suffix(".partial")
        torch.save(
            {
                "module": self.accelerator.unwrap_model(self.module).state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "generator": self.generator.get_state(),
                "step": self.step,
                "elapsed_s": self.elapsed_s,
            },
            partial,
        )
        partial.replace(self.state_path)

    def resume(self) -> bool:
        """Continue from `state.pt` if there is one; else begin with the stage's initial weights, if any."""
        if not self.state_path.exists():
            self.given = load_initial(self.workdir, self.accelerator.unwrap_model(self.module))
            return False
        state = torch.load(self.state_path, weights_only=True, map_location="cpu")
        self.accelerator.unwrap_model(self.module).load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.step, self.elapsed_s = state["step"], state["elapsed_s"]
        logger.info("%s: resumed at step %d (%.1f min)", self.name, self.step, self.elapsed_s / 60)
        return True

    def progress(self) -> float:
        """Used fraction of the budget, 0 to 1."""
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
    ) -> bool:
        """Train until a budget is spent (True) or the process is told to stop (False); save then."""
        previous = signal.signal(signal.SIGTERM, self._on_signal)
        try:
            self._run(compute_losses, evaluate)
        except KeyboardInterrupt:
            self._stop = True
        finally:
            signal.signal(signal.SIGTERM, previous)
            self.save()
        return self.finished

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stop = True

    def _run(
        self,
        compute_losses: Callable[[int, torch.Generator], Losses],
        evaluate: Callable[[], dict[str, float]] | None,
    ) -> None:
        saved_at = time.monotonic()
        sums: dict[str, float] = {}
        while not self.finished and not self._stop:
            started = time.monotonic()
            for name, value in self._one_step(compute_losses).items():
                sums[name] = sums.get(name, 0.0) + value
            self.step += 1
            self.elapsed_s += time.monotonic() - started
            if self.step % self.settings.log_every == 0:
                self._log("train", {name: value / self.settings.log_every for name, value in sums.items()})
                sums = {}
            if evaluate is not None and self.step % self.settings.evaluate_every == 0:
                self.module.eval()
                with torch.no_grad():
                    self._log("valid", evaluate())
                self.module.train()
            if time.monotonic() - saved_at > self.settings.save_every_s:
                self.save()
                saved_at = time.monotonic()

    def _one_step(self, compute_losses: Callable[[int, torch.Generator], Losses]) -> dict[str, float]:
        rate = self.settings.learning_rate * learning_rate_factor(self.settings, self.step, self.progress())
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with self.accelerator.autocast():
            losses = compute_losses(self.step, self.generator)
        total = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(total):
            logger.warning("%s: step %d has a non-finite loss and is left out", self.name, self.step)
            return {}
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(total)
        norm = self.accelerator.clip_grad_norm_(self.module.parameters(), self.settings.clip_norm)
        if norm is None or torch.isfinite(norm):
            self.optimizer.step()
        return {name: float(value.detach()) for name, value in losses.items()}

    def _log(self, split: str, metrics: dict[str, float]) -> None:
        text = " ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        logger.info("%s %s step %d %.1f min: %s", self.name, split, self.step, self.elapsed_s / 60, text)
        with (self.workdir / "metrics.jsonl").open("a") as file:
            file.write(
                json.dumps({"split": split, "step": self.step, "minutes": self.elapsed_s / 60, **metrics})
                + "\n"
            )
