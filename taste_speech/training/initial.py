"""First weights of a stage: `initial.safetensors` in its folder, used when it has no state of its own.

What fits by name and shape is taken; what does not (a larger layer) starts at random.
"""

import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

logger = logging.getLogger(__name__)
INITIAL_NAME = "initial.safetensors"


def load_initial(folder: Path, module: nn.Module) -> frozenset[str]:
    """Fill `module` with the first weights in a stage's folder; returns the names of those that fit."""
    path = folder / INITIAL_NAME
    if not path.exists():
        return frozenset()
    own, given = module.state_dict(), load_file(path)
    fitting = {name: value for name, value in given.items() if name in own and own[name].shape == value.shape}
    module.load_state_dict(fitting, strict=False)
    logger.info("%s: %d of %d tensors taken, %d asked for", path, len(fitting), len(given), len(own))
    return frozenset(fitting)


def mixed_with_initial(
    folder: Path, prefix: str, weights: Mapping[str, Tensor], share: float
) -> dict[str, Tensor]:
    """Trained weights, mixed with the stage's first ones; as they are where it began with none.

    What was learned on top is kept for a part, and what was known is forgotten less: the mean of both can be
    better than either (Wortsman et al., 2022, arXiv:2109.01903, section 3).

    Args:
        folder: of the stage.
        prefix: of the names in the file of first weights.
        weights: trained, by their names without the prefix.
        share: of the first weights, 0 to 1.
    """
    path = folder / INITIAL_NAME
    if share == 0 or not path.exists():
        return dict(weights)
    first = {name.removeprefix(prefix): value for name, value in load_file(path).items()}
    return {
        name: torch.lerp(value, first[name].to(value), share)
        if name in first and first[name].shape == value.shape
        else value
        for name, value in weights.items()
    }
