"""Smaller linear layers give what the plain ones give, and small work takes one thread."""

import copy
import pickle
import threading

import pytest
import torch

from taste_speech.cpu import HalfLinear, RowLinear, can_pack, one_thread_if_small

packs = pytest.mark.skipif(not can_pack(), reason="this PyTorch has no product with half weights")


def _linear(inputs: int, outputs: int, bias: bool = True) -> torch.nn.Linear:
    layer = torch.nn.Linear(inputs, outputs, bias=bias)
    with torch.no_grad():
        layer.weight.copy_(layer.weight.half())
    return layer


@pytest.mark.parametrize("bias", [False, True])
def test_layers_side_by_side(bias: bool) -> None:
    torch.manual_seed(0)
    layers = [_linear(24, outputs, bias) for outputs in (7, 40, 1)]
    with torch.no_grad():
        layers[0].weight[0] = torch.linspace(-6e-8, 6e-5, 24).half()  # down to the smallest that it holds
        x = torch.randn(1, 24)
        expected = torch.cat([layer(x) for layer in layers], dim=-1)
        torch.testing.assert_close(RowLinear(*layers)(x), expected, rtol=1e-6, atol=1e-6)
        layers[1].weight[3, 5] += 1e-7  # no longer exact in half precision
        expected = torch.cat([layer(x) for layer in layers], dim=-1)
        assert torch.equal(RowLinear(*layers)(x), expected)


def test_packing_does_not_warn(recwarn: pytest.WarningsRecorder) -> None:
    with torch.no_grad():
        RowLinear(_linear(8, 8))(torch.ones(1, 8))
    assert not recwarn.list


@packs
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rows", [1, 5])
def test_a_layer_rounds_its_weights_and_nothing_else(bias: bool, rows: int) -> None:
    torch.manual_seed(0)
    layer, x = torch.nn.Linear(24, 40, bias=bias), 1e5 * torch.randn(2, rows, 24)  # more than half can hold
    with torch.no_grad():
        found = HalfLinear(layer)(x)
        layer.weight.copy_(layer.weight.half())
        torch.testing.assert_close(found, layer(x), rtol=1e-5, atol=1e-1)


@packs
@pytest.mark.parametrize("bias", [False, True])
def test_a_stored_layer_has_the_same_weights(bias: bool) -> None:
    torch.manual_seed(0)
    layer, x = HalfLinear(torch.nn.Linear(24, 40, bias=bias), torch.nn.Linear(24, 3)), torch.randn(2, 24)
    with torch.no_grad():
        for other in (pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer)):
            assert torch.equal(other(x), layer(x))


def test_small_rows_take_one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread_if_small(10**6):
            assert torch.get_num_threads() == 1
            with one_thread_if_small(10**6):
                pass
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        with one_thread_if_small(10**9):
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_thread_that_begins_within_a_row_keeps_all_its_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    seen = []
    try:
        with one_thread_if_small(10**6):
            other = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
            other.start()
            other.join()
        assert seen == [2]
    finally:
        torch.set_num_threads(before)
