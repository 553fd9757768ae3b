import json

import pytest
import torch
from torch import nn

from taste_speech.training.loop import LoopSettings, TrainingLoop, learning_rate_factor


def settings(**changes) -> LoopSettings:
    base = {"steps": 40, "learning_rate": 0.05, "warmup_steps": 4, "precision": "no", "log_every": 10}
    return LoopSettings(**{**base, **changes})


def squared_distance(module: nn.Module):
    def losses(_step, generator):
        x = torch.randn(16, 3, generator=generator)
        return {"square": (module(x) - x.sum(1, keepdim=True)).square().mean()}

    return losses


def make(folder, **changes) -> TrainingLoop:
    torch.manual_seed(0)
    return TrainingLoop("toy", folder, nn.Linear(3, 1), settings(**changes))


def test_learning_rate_warms_up_and_ends_at_its_final_fraction():
    s = settings(steps=100, warmup_steps=10, final_rate=0.1)
    assert learning_rate_factor(s, 0, 0.0) == pytest.approx(0.1)
    assert learning_rate_factor(s, 10, 0.0) == pytest.approx(1.0)
    assert learning_rate_factor(s, 100, 1.0) == pytest.approx(0.1)


def test_training_reduces_the_loss_and_writes_metrics(tmp_path):
    loop = make(tmp_path, steps=200, log_every=20)
    assert loop.run(squared_distance(loop.module))
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert records[-1]["square"] < 0.05 * records[0]["square"]


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    whole = make(tmp_path / "whole")
    whole.run(squared_distance(whole.module))

    first = make(tmp_path / "parts")
    losses = squared_distance(first.module)

    def stop_at_20(step, generator):
        if step == 19:
            first._stop = True
        return losses(step, generator)

    assert not first.run(stop_at_20)
    second = make(tmp_path / "parts")
    assert second.resume()
    assert second.step == 20
    second.run(squared_distance(second.module))
    assert torch.equal(whole.module.weight, second.module.weight)


def test_a_non_finite_loss_leaves_the_weights_alone(tmp_path):
    loop = make(tmp_path, steps=1)
    before = loop.module.weight.clone()
    loop.run(lambda _step, _generator: {"bad": loop.module.weight.sum() * float("nan")})
    assert torch.equal(before, loop.module.weight)


def test_a_spent_time_budget_ends_training(tmp_path):
    loop = make(tmp_path, steps=10**9, minutes=1e-4)
    assert loop.run(squared_distance(loop.module))
    assert loop.step < 10**6
