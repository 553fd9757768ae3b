"""Names of the published state dict <-> names of this package's modules."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from taste_speech.configuration_sections import LoraConfig, SpokenLMConfig, TowerConfig
from taste_speech.configuration_taste import TasteConfig

_TOWER = "audio_tower.audio_joint_encoder_segmenter."
_RVQ = "audio_tower.vq.rvq."
_PREFIXES = {
    "audio_tower.encoder.": f"{_TOWER}audio_encoder.encoder.",
    "audio_tower.aggregator.": f"{_TOWER}audio_segmenter.decoder.",
    "audio_tower.quantizer.": _RVQ,
    "spoken_lm.fusion.": "spoken_lm.fuse_for_bridge_in_llm.",
    "spoken_lm.extraction.": "spoken_lm.extract_for_bridge_out_llm.",
}
CODEBOOKS = "audio_tower.quantizer.codebooks"
LLM = "spoken_lm.language_model."
LM_HEAD = f"{LLM}lm_head.weight"
EMBED_TOKENS = f"{LLM}model.embed_tokens.weight"
_LLM_LINEAR = re.compile(r"\.(?:self_attn|mlp)\.(\w+_proj)\.weight$")
_LORA_DEFAULT_TARGETS = ("q_proj", "v_proj")

NOT_NEEDED = re.compile(
    re.escape(_RVQ) + r"(mlps\..*|layers\.\d+\._codebook\.(embed_avg|cluster_size|initted))"
)
"""Stored entries that inference does not need: unused MLPs and training statistics of the codebooks."""


@dataclass(frozen=True)
class Source:
    """The stored tensors from which one of our tensors is made."""

    names: tuple[str, ...]
    """One tensor, or one codebook per level, or a base weight and its LoRA factors A and B."""
    shapes: tuple[tuple[int, ...], ...]
    lora_scale: float | None = None
    """alpha / rank if `names` are a base weight and its LoRA factors."""

    def merge(self, tensors: list[Tensor]) -> Tensor:
        """Return our tensor: LoRA is added in float32, codebooks are stacked."""
        if self.lora_scale is not None:
            base, a, b = (tensor.float() for tensor in tensors)
            return base.addmm_(b, a, alpha=self.lora_scale)
        if len(tensors) > 1 or self.names[0].endswith("._codebook.embed"):
            return torch.cat(tensors)
        return tensors[0]


def source_of(name: str, shape: tuple[int, ...], config: SpokenLMConfig) -> Source:
    """Return the stored tensors from which our tensor `name` of `shape` is made."""
    if name == CODEBOOKS:
        levels, *rest = shape
        names = tuple(f"{_RVQ}layers.{level}._codebook.embed" for level in range(levels))
        return Source(names, ((1, *rest),) * levels)
    if name.startswith(LLM):
        return _llm_source(name.removeprefix(LLM), shape, config)
    for ours, published in _PREFIXES.items():
        if name.startswith(ours):
            return Source((published + name.removeprefix(ours),), (shape,))
    return Source((name,), (shape,))


def _llm_source(leaf: str, shape: tuple[int, ...], config: SpokenLMConfig) -> Source:
    if not config.use_lora:
        return Source((LLM + leaf,), (shape,))
    prefix = f"{LLM}base_model.model."
    lora = config.kwargs_for_lora
    if not _is_lora_target(leaf, lora):
        return Source((prefix + leaf,), (shape,))
    stem = prefix + leaf.removesuffix(".weight")
    rank = lora.lora_r
    return Source(
        (f"{stem}.base_layer.weight", f"{stem}.lora_A.default.weight", f"{stem}.lora_B.default.weight"),
        (shape, (rank, shape[1]), (shape[0], rank)),
        lora.lora_alpha / rank,
    )


def _is_lora_target(leaf: str, lora: LoraConfig) -> bool:
    match = _LLM_LINEAR.search(leaf)
    if match is None:
        return False
    if lora.lora_target_modules:
        return match[1] in lora.lora_target_modules
    return lora.lora_target_linear or match[1] in _LORA_DEFAULT_TARGETS


def language_model_name(leaf: str, config: SpokenLMConfig) -> str:
    """Return the published name of the tensor `leaf` of a pretrained Llama."""
    return _llm_source(leaf, (0, 0), config).names[0]


def encoder_name(name: str) -> str | None:
    """Return the published name of a pretrained Whisper's tensor, or None outside the encoder."""
    prefix = "model.encoder."
    return f"{_TOWER}audio_encoder.encoder.{name.removeprefix(prefix)}" if name.startswith(prefix) else None


def published_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return our state dict under published names without LoRA (`use_lora: false`).

    The codebook of each level is marked as initialized, because other readers of the format need that.
    """
    plain = SpokenLMConfig(use_lora=False)
    output: dict[str, Tensor] = {}
    for name, tensor in state.items():
        source = source_of(name, tuple(tensor.shape), plain)
        if name != CODEBOOKS:
            output[source.names[0]] = tensor
            continue
        for published, codebook in zip(source.names, tensor, strict=True):
            output[published] = codebook[None]
            output[published.removesuffix("embed") + "initted"] = torch.ones(1)
    return output


def resolve_tower(config: TasteConfig, shapes: Mapping[str, tuple[int, ...]]) -> TowerConfig:
    """Return the tower's sizes: section `tower`, else `asr_config` if the stored tensors fit it, else V0's.

    The published `asr_config` may describe the recognizer that was published with the model instead.
    """
    if config.tower is not None:
        return config.tower
    asr = config.asr_config.to_dict()
    sizes = TowerConfig(**{name: asr[name] for name in TowerConfig.model_fields if name in asr})
    encoder, aggregator = f"{_TOWER}audio_encoder.encoder.", f"{_TOWER}audio_segmenter.decoder."
    expected = {
        f"{encoder}conv1.weight": (sizes.d_model, sizes.num_mel_bins, 3),
        f"{encoder}embed_positions.weight": (sizes.max_source_positions, sizes.d_model),
        f"{aggregator}embed_tokens.weight": (sizes.vocab_size, sizes.d_model),
        f"{aggregator}embed_positions.weight": (sizes.max_target_positions, sizes.d_model),
        f"{encoder}layers.0.fc1.weight": (sizes.encoder_ffn_dim, sizes.d_model),
        f"{aggregator}layers.0.fc1.weight": (sizes.decoder_ffn_dim, sizes.d_model),
    }
    fits = all(shapes.get(name) == shape for name, shape in expected.items())
    depths_fit = (
        _depth(shapes, encoder) == sizes.encoder_layers and _depth(shapes, aggregator) == sizes.decoder_layers
    )
    return sizes if fits and depths_fit else TowerConfig()


def _depth(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> int:
    layers = [name.removeprefix(f"{prefix}layers.") for name in shapes if name.startswith(f"{prefix}layers.")]
    return max((int(name.split(".")[0]) for name in layers), default=-1) + 1
