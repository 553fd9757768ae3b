import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from taste_speech.training.grouped_heads import pool_key_heads

SIZES = {
    "vocab_size": 11, "hidden_size": 16, "intermediate_size": 8, "num_hidden_layers": 1,
    "num_attention_heads": 4, "head_dim": 4,
}  # fmt: skip


def test_heads_that_are_alike_may_share():
    """Four key heads that are equal in pairs say the same as the two that their mean leaves."""
    torch.manual_seed(0)
    many = LlamaForCausalLM(LlamaConfig(**SIZES, num_key_value_heads=4)).eval()
    attention = many.model.layers[0].self_attn
    with torch.no_grad():
        for projection in (attention.k_proj, attention.v_proj):
            heads = projection.weight.view(2, 2, 4, 16)
            heads[:, 1] = heads[:, 0]
    few = LlamaForCausalLM(LlamaConfig(**SIZES, num_key_value_heads=2)).eval()
    few.load_state_dict(pool_key_heads(many.state_dict(), 4, 2))
    ids = torch.tensor([[1, 5, 3, 2]])
    with torch.no_grad():
        torch.testing.assert_close(few(ids).logits, many(ids).logits)


def test_heads_that_cannot_be_shared_out():
    state = {"layers.0.self_attn.k_proj.weight": torch.zeros(12, 16)}
    with pytest.raises(ValueError, match="has 3 heads, which cannot be shared out among 2"):
        pool_key_heads(state, 4, 2)
