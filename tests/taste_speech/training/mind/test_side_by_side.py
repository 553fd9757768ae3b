"""Parts of a batch side by side: losses and gradients are the means of the parts'."""

import threading

import torch
from torch import nn

from taste_speech.training.mind import SideBySide


def test_losses_and_gradients_are_the_means_of_the_parts():
    torch.manual_seed(0)
    layer, unused = nn.Linear(3, 2), nn.Parameter(torch.ones(2))
    parts = [torch.randn(4, 3), torch.randn(4, 3)]
    together = threading.Barrier(2, timeout=20)

    def losses(x):
        together.wait()  # would never be passed one after the other
        y = layer(x)
        found = {"text": y.square().mean()}
        return found | ({"taste": y.abs().mean()} if x is parts[0] else {})

    beside = SideBySide([*layer.parameters(), unused], 2)
    found = beside.losses([lambda x=x: losses(x) for x in parts])
    torch.stack(list(found.values())).sum().backward()
    got = [parameter.grad.clone() for parameter in layer.parameters()]
    layer.zero_grad()
    y = [layer(x) for x in parts]
    text, taste = (y[0].square().mean() + y[1].square().mean()) / 2, y[0].abs().mean() / 2
    torch.testing.assert_close(found["text"].detach(), text.detach())
    torch.testing.assert_close(found["taste"].detach(), taste.detach())
    (text + taste).backward()
    for a, parameter in zip(got, layer.parameters(), strict=True):
        torch.testing.assert_close(a, parameter.grad)
    assert torch.equal(unused.grad, torch.zeros(2))
