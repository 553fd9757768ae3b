"""Keys and values of a Llama for fewer heads than it was trained with."""

import re
from collections.abc import Mapping

from torch import Tensor

_PROJECTION = re.compile(r"self_attn\.[kv]_proj\.weight$")


def pool_key_heads(state: Mapping[str, Tensor], head_dim: int, key_heads: int) -> dict[str, Tensor]:
    """Mean of the heads that are to share keys and values (GQA, Ainslie et al., 2023, section 2.1).

    A start for training on, not a model to use as it is: each query head was trained with its own keys.

    Args:
        state: weights of a Llama, by any prefix.
        head_dim: width of a head.
        key_heads: how many there will be.

    Raises:
        ValueError: the number of heads in `state` is no multiple of `key_heads`.
    """
    return {
        name: _pooled(name, value, head_dim, key_heads) if _PROJECTION.search(name) else value
        for name, value in state.items()
    }


def _pooled(name: str, weight: Tensor, head_dim: int, key_heads: int) -> Tensor:
    heads = weight.shape[0] // head_dim
    if heads % key_heads:
        raise ValueError(f"{name} has {heads} heads, which cannot be shared out among {key_heads}")
    return weight.view(key_heads, -1, head_dim, weight.shape[1]).mean(1).flatten(0, 1)
