"""Run a Whisper encoder to get what the aggregator attends to.

Whisper's own `forward` requires padding to 30 s and has no mask. TASTE checkpoints can be trained on unpadded
utterances or on shorter windows, so the encoder's layers are run here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from taste_speech.configuration_sections import TowerConfig
from taste_speech.errors import AudioError

_SIZES = (
    *("d_model", "num_mel_bins", "vocab_size", "activation_function"),
    *("encoder_layers", "encoder_attention_heads", "encoder_ffn_dim", "max_source_positions"),
    *("decoder_layers", "decoder_attention_heads", "decoder_ffn_dim", "max_target_positions"),
)


@dataclass(frozen=True)
class EncodedAudio:
    """Encoder output in the two forms that the aggregator's cross-attention uses.

    Attributes:
        keys: (batch, frames, d_model), hidden state after the final layer norm.
        values: (batch, frames, d_model), input of layer `target_hidden_layer`.
        mask: (batch, frames), true for frames of the utterance; None: all of them are.
    """

    keys: Tensor
    values: Tensor
    mask: Tensor | None = None


def whisper_config(config: TowerConfig, attn_implementation: str = "sdpa") -> WhisperConfig:
    """Return the transformers configuration of the tower's encoder and aggregator layers."""
    whisper = WhisperConfig(
        **{name: getattr(config, name) for name in _SIZES},
        pad_token_id=None,
        bos_token_id=config.eos_id,
        eos_token_id=config.eos_id,
        decoder_start_token_id=config.prefix_ids[0] if config.prefix_ids else config.eos_id,
        scale_embedding=False,
    )
    whisper._attn_implementation = attn_implementation
    return whisper


Count = TypeVar("Count", int, Tensor)


def encoder_frames(mel_frames: Count) -> Count:
    """Return the number of encoder frames: the second convolution halves the rate, rounding up."""
    return (mel_frames + 1) // 2


def pad_together(items: Sequence[EncodedAudio]) -> EncodedAudio:
    """Join items with batch size 1 and no mask into one batch, with a mask if their lengths differ."""
    counts = torch.tensor([item.keys.shape[1] for item in items], device=items[0].keys.device)
    keys, values = (
        nn.utils.rnn.pad_sequence([getattr(item, name)[0] for item in items], batch_first=True)
        for name in ("keys", "values")
    )
    mask = torch.arange(keys.shape[1], device=keys.device) < counts[:, None]
    return EncodedAudio(keys, values, None if bool(mask.all()) else mask)


def encode_features(
    encoder: WhisperEncoder,
    features: Tensor,
    value_layer: int,
    n_frames: Tensor | None = None,
) -> EncodedAudio:
    """Run the encoder on mel frames of any length that fits its position table.

    The results for shorter items of a batch equal those of encoding them alone.

    Args:
        features: (batch, mel frames, bins) log-mel.
        value_layer: index of the layer whose input becomes `values`.
        n_frames: (batch,) mel frames of each item; None: there is no padding.

    Raises:
        AudioError: there are no frames or too many, or the number of bins is wrong.
    """
    bins, positions = encoder.config.num_mel_bins, encoder.config.max_source_positions
    if features.ndim != 3 or features.shape[2] != bins or not features.shape[1]:
        raise AudioError(
            f"audio features have shape {tuple(features.shape)}; expected (batch, mel frames, {bins}) "
            "with at least one frame, as TasteProcessor makes them"
        )
    frames = encoder_frames(features.shape[1])
    if frames > positions:
        raise AudioError(
            f"the audio has {frames} encoder frames, but this checkpoint has {positions} positions; "
            "split it into shorter utterances"
        )
    weight = encoder.conv1.weight
    mel = features.to(weight.device, weight.dtype).transpose(1, 2)
    mel_mask = frame_mask = None
    if n_frames is not None and bool((n_frames < features.shape[1]).any()):
        n_frames = n_frames.to(weight.device)
        mel_mask = torch.arange(features.shape[1], device=weight.device) < n_frames[:, None]
        frame_mask = torch.arange(frames, device=weight.device) < encoder_frames(n_frames)[:, None]
        mel = mel * mel_mask[:, None]
    hidden = functional.gelu(encoder.conv1(mel))
    if mel_mask is not None:
        hidden = hidden * mel_mask[:, None]
    hidden = functional.gelu(encoder.conv2(hidden)).transpose(1, 2)
    hidden = hidden + encoder.embed_positions(torch.arange(frames, device=weight.device))
    attention_mask = None if frame_mask is None else additive_mask(frame_mask, hidden.dtype)
    values = hidden
    for index, layer in enumerate(encoder.layers):
        if index == value_layer:
            values = hidden
        hidden = cast(Tensor, layer(hidden, attention_mask))
    if value_layer >= len(encoder.layers):
        values = hidden
    return EncodedAudio(cast(nn.LayerNorm, encoder.layer_norm)(hidden), values, frame_mask)


def additive_mask(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """(batch, keys) booleans -> (batch, 1, 1, keys): 0 for true, the lowest number for false."""
    return torch.zeros_like(mask, dtype=dtype).masked_fill(~mask, torch.finfo(dtype).min)[:, None, None]
