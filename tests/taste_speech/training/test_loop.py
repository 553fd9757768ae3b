import json
import os
import signal

import pytest
import torch
from torch import nn

from taste_speech.training.loop import LoopSettings, StoppedError, TrainingLoop, learning_rate_factor


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
    loop.run(squared_distance(loop.module))
    assert loop.finished
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert records[-1]["square"] < 0.05 * records[0]["square"]


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    whole = make(tmp_path / "whole")
    whole.run(squared_distance(whole.module))

    first = make(tmp_path / "parts")
    losses = squared_distance(first.module)

    def stop_at_20(step, generator):
        if step == 19:
            os.kill(os.getpid(), signal.SIGTERM)
        return losses(step, generator)

    with pytest.raises(StoppedError):
        first.run(stop_at_20)
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
    loop.run(squared_distance(loop.module))
    assert loop.finished
    assert loop.step < 10**6


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_saves_and_writes_and_says_so(tmp_path, number):
    loop, written = make(tmp_path), []
    losses = squared_distance(loop.module)

    def stop(step, generator):
        if step == 5:
            os.kill(os.getpid(), number)
        return losses(step, generator)

    with pytest.raises(StoppedError, match=r"stage toy was stopped at step [56] .* saved in") as stopped:
        loop.run(stop, write=lambda: written.append(loop.state_path.exists()))
    assert stopped.value.signal_number == number
    assert written == [True]


def test_the_mean_of_a_loss_is_over_the_steps_summed(tmp_path):
    def ones(loop):
        def losses(step, _generator):
            scale = float("nan") if step == 7 else 1.0
            return {"one": (loop.module.weight.sum() * 0 + 1) * scale}

        return losses

    first = make(tmp_path, steps=5)
    first.run(ones(first))
    second = make(tmp_path, steps=10)
    assert second.resume()
    second.run(ones(second))
    record = json.loads((tmp_path / "metrics.jsonl").read_text())
    assert record["step"] == 10
    assert record["one"] == pytest.approx(1.0)


def test_what_layers_draw_goes_on_after_a_stop_and_is_not_touched_by_validation(tmp_path):
    """Dropout and the like draw from the global generator."""

    def losses_of(module):
        return lambda _step, _generator: {
            "square": (module(torch.randn(16, 3)) - torch.rand(())).square().mean()
        }

    def run(folder, stop_at=None, **validation):
        loop = make(folder, evaluate_every=7)
        loop.resume()
        losses = losses_of(loop.module)

        def step(number, generator):
            if number == stop_at:
                os.kill(os.getpid(), signal.SIGTERM)
            return losses(number, generator)

        loop.run(step, **validation)
        return loop.module.weight

    plain = run(tmp_path / "plain")
    drawn = []
    with pytest.raises(StoppedError):
        run(tmp_path / "parts", 19)
    resumed = run(tmp_path / "parts", evaluate=lambda: drawn.append(float(torch.rand(()))) or {})
    assert torch.equal(plain, resumed)
    assert len(set(drawn)) == 1


class WithGiven(nn.Module):
    """A trained layer on a pretrained one."""

    def __init__(self):
        super().__init__()
        self.given, self.own = nn.Linear(2, 2).requires_grad_(False), nn.Linear(2, 1)


def made(folder, module):
    settings = LoopSettings(steps=1, warmup_steps=1, precision="no")
    return TrainingLoop("toy", folder, module, settings, given=lambda name: name.startswith("given."))


def test_what_is_pretrained_is_not_saved_and_stays_as_it_is(tmp_path):
    first, second = WithGiven(), WithGiven()
    loop = made(tmp_path, first)
    loop.run(lambda *_: {"loss": first.own(first.given(torch.ones(1, 2))).sum()})
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert set(state["module"]) == {"own.weight", "own.bias"}
    pretrained = second.given.weight.clone()
    assert made(tmp_path, second).resume()
    assert torch.equal(second.own.weight, first.own.weight)
    assert torch.equal(second.given.weight, pretrained)


def test_weights_that_were_carried_here_begin_with_a_new_optimizer(tmp_path):
    loop = made(tmp_path, WithGiven())
    loop.save()
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    del state["optimizer"]
    state["module"] = {name: value.half() for name, value in state["module"].items()}
    torch.save(state, tmp_path / "state.pt")
    assert made(tmp_path, WithGiven()).resume()


def test_a_state_of_another_model_is_refused(tmp_path):
    loop = made(tmp_path, WithGiven())
    loop.save()
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    del state["module"]["own.bias"]
    torch.save(state, tmp_path / "state.pt")
    with pytest.raises(ValueError, match=r"does not fit the recipe \(own\.bias\)"):
        made(tmp_path, WithGiven()).resume()
