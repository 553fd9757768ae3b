"""First weights of a stage: `initial.safetensors` in its folder, used when it has no state of its own.

What fits by name and shape is taken; what does not (a larger layer) starts at random.
"""

import logging
from pathlib import Path

from safetensors.torch import load_file
from torch import nn

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
