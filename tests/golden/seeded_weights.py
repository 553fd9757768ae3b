"""Deterministic weights for the golden cases: one tensor per state-dict name.

Every entry of `manifest.json` gets its values from its name alone, so no weights need
to be stored. `seeded_state("model")` and `seeded_state("voice_generator")` return the
two state dicts under the published key names.
"""

import json
import zlib
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent
EMBED_TOKENS = "spoken_lm.language_model.base_model.model.model.embed_tokens.weight"


def seeded_tensor(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """float32 tensor of `shape` that depends on `name` only."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    noise = rng.standard_normal(size=shape, dtype=np.float32) if shape else np.float32(rng.standard_normal())
    leaf = name.rsplit(".", 1)[-1]
    if "codebook.embed" in name and leaf in ("embed", "embed_avg"):
        value = 0.5 * noise
    elif leaf in ("cluster_size", "initted"):
        value = 1 + 0 * noise
    elif leaf in ("weight_g", "alpha"):
        value = 1.0 + 0.1 * noise
    elif name.endswith("f0_predictor.classifier.bias"):
        value = 120.0 + 0 * noise
    elif len(shape) >= 2:
        if "embed" in name and leaf == "weight" and len(shape) == 2 and "affine" not in name:
            value = (0.1 if "embed_tokens" in name else 0.05) * noise
        else:
            value = noise / np.sqrt(int(np.prod(shape[1:])))
    elif leaf in ("weight", "weights"):
        value = 1 + 0.1 * noise
    else:
        value = 0.05 * noise
    return torch.from_numpy(np.asarray(value, dtype=np.float32))


def seeded_state(part: str) -> dict[str, torch.Tensor]:
    """State dict of `part` ("model" or "voice_generator"); lm_head is tied to the embedding."""
    manifest = json.loads((HERE / "manifest.json").read_text())[part]
    prefix = "voice_generator." if part == "voice_generator" else ""
    state = {}
    for name, (shape, dtype) in manifest.items():
        source = EMBED_TOKENS if name.endswith("lm_head.weight") else prefix + name
        state[name] = seeded_tensor(source, tuple(shape)).to(getattr(torch, dtype))
    return state
