"""Faster training gives the same numbers and gradients."""

import threading

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from taste_speech.training.mind.on_cpu import AdaptedLlama, SideBySide, _AdaptedLinears


@pytest.fixture
def llama():
    torch.manual_seed(0)
    sizes = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "vocab_size": 50}
    heads = {"num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 4}
    model = LlamaForCausalLM(LlamaConfig(**sizes, **heads)).requires_grad_(False)
    linears = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    inject_adapter_in_model(LoraConfig(r=3, lora_alpha=6, target_modules=linears), model.model)
    for name, parameter in model.named_parameters():
        if "norm" in name:
            parameter.data.uniform_(0.5, 2.0)
        if "lora_" in name:
            parameter.data.normal_(std=0.2)
            parameter.requires_grad_(True)
    return model


def results(forward, rows, model):
    """States, and the gradients of the rows and of all adapters."""
    rows = rows.clone().requires_grad_(True)
    states = forward(inputs_embeds=rows, use_cache=False).last_hidden_state
    weights = torch.linspace(-1, 1, states.numel()).view_as(states)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [states, *torch.autograd.grad((states * weights).sum(), [rows, *trained])]


def test_states_and_gradients_are_those_of_peft(llama):
    rows = torch.randn(2, 7, 24, generator=torch.Generator().manual_seed(1))
    plain = results(llama.model, rows, llama)
    fewer = results(AdaptedLlama(llama), rows, llama)
    assert len(plain) == 2 + 2 * 7 * 2
    for a, b in zip(plain, fewer, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_in_bfloat16_they_are_as_near_as_its_rounding(llama):
    rows = torch.randn(2, 7, 24, generator=torch.Generator().manual_seed(1))
    plain = results(llama.model, rows, llama)
    rounded = results(AdaptedLlama(llama, torch.bfloat16), rows, llama)
    for a, b in zip(plain, rounded, strict=True):
        assert b.dtype == torch.float32
        assert (a - b).norm() < 0.03 * a.norm()


def test_what_is_less_than_the_rounding_of_the_weights_counts_on_average():
    """Of weights that were rounded to bfloat16 before the adapter is added, all would stay as they are."""
    given = torch.rand(200, 200, generator=torch.Generator().manual_seed(0)) + 1
    a, b = torch.full((1, 200), 0.02), torch.full((200, 1), 0.02)
    rows = torch.eye(200, dtype=torch.bfloat16)
    learned = _AdaptedLinears.apply(rows, given, 1.0, a, b) - _AdaptedLinears.apply(rows, given, 0.0, a, b)
    assert learned.float().mean() == pytest.approx(0.0004, rel=0.2)


def test_the_adapters_count(llama):
    rows = torch.randn(1, 3, 24)
    run = AdaptedLlama(llama)
    before = run(inputs_embeds=rows).last_hidden_state
    llama.model.layers[0].mlp.up_proj.lora_B["default"].weight.data.mul_(2)
    assert not torch.allclose(run(inputs_embeds=rows).last_hidden_state, before)


def test_it_takes_no_cache_and_no_mask(llama):
    rows, run = torch.randn(1, 3, 24), AdaptedLlama(llama)
    run(inputs_embeds=rows, attention_mask=None, use_cache=False)
    for wrong in ({"use_cache": True}, {"past_key_values": object()}, {"attention_mask": torch.ones(1, 3)}):
        with pytest.raises(ValueError, match="without a cache"):
            run(inputs_embeds=rows, **wrong)


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
