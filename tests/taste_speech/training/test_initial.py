import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from taste_speech.training.initial import INITIAL_NAME, load_initial, mixed_with_initial
from taste_speech.training.loop import LoopSettings, TrainingLoop


def test_what_fits_is_taken_and_the_rest_stays_random(tmp_path):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    given = {"0.weight": torch.ones(3, 2), "1.weight": torch.ones(5, 3), "other": torch.ones(1)}
    save_file(given, tmp_path / INITIAL_NAME)
    assert load_initial(tmp_path, module)
    assert torch.equal(module[0].weight, torch.ones(3, 2))
    assert torch.equal(module[0].bias, before["0.bias"])
    assert torch.equal(module[1].weight, before["1.weight"])


def test_without_a_file_nothing_changes(tmp_path):
    assert not load_initial(tmp_path, nn.Linear(1, 1))


@pytest.mark.parametrize("has_state", [True, False])
def test_a_loops_own_state_comes_before_initial_weights(tmp_path, has_state):
    def loop():
        return TrainingLoop("toy", tmp_path, nn.Linear(1, 1), LoopSettings(steps=1, precision="no"))

    first = loop()
    nn.init.constant_(first.module.weight, 2.0)
    if has_state:
        first.save()
    save_file({"weight": torch.full((1, 1), 7.0)}, tmp_path / INITIAL_NAME)
    second = loop()
    assert second.resume() is has_state
    assert float(second.module.weight.detach()) == (2.0 if has_state else 7.0)


def test_trained_weights_are_mixed_with_the_first_ones_where_both_fit(tmp_path):
    trained = {"a": torch.tensor([2.0, 4.0]), "wider": torch.ones(3), "new": torch.ones(2)}
    assert mixed_with_initial(tmp_path, "lm.", trained, 0.5) == trained  # it began with none
    first = {"lm.a": torch.tensor([0.0, 0.0]).half(), "lm.wider": torch.zeros(2), "head.new": torch.zeros(2)}
    save_file(first, tmp_path / INITIAL_NAME)
    mixed = mixed_with_initial(tmp_path, "lm.", trained, 0.25)
    assert mixed["a"].tolist() == [1.5, 3.0]
    assert mixed["a"].dtype == torch.float32
    assert all(torch.equal(mixed[name], trained[name]) for name in ("wider", "new"))
