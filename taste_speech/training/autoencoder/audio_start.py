"""How the taste side of stage 1 begins: vectors that the unit decoder hears easily, and first codebooks.

Both are computed from a sample of whole utterances instead of being learned.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from taste_speech.speech_decoder.unit_decoder import UnitDecoder
from taste_speech.training.autoencoder.model import TasteAutoencoder
from taste_speech.training.autoencoder.utterances import PROSODY_SIZE
from taste_speech.training.autoencoder.windows import Windows

_RESIDUAL_SCALE = 0.25
_AUDIO_SIDE = ("audio_embed_affine_layer", "audio_token_encoder", "audio_token_encoder_affine_layer")


@torch.no_grad()
def begin_audio(model: TasteAutoencoder, sample: Sequence[Windows]) -> None:
    """Make the aggregator's vectors easy to hear for the unit decoder.

    What tells words apart is a small part of a recognizer's hidden states: their mean is large. The final
    norm is made to center and scale them over `sample`. The decoder's audio side, which has seen nothing
    but zeros so far, begins anew with the same answer to zeros, and listens to the prosody first.
    """
    vectors = torch.cat([model.words(windows)[windows.word_ids >= 0] for windows in sample])
    decoder = model.decoder
    mean, deviation = vectors.mean(0), vectors.std(0).clamp(min=1e-3)
    norm = model.tower.aggregator.layer_norm
    norm.bias.copy_((norm.bias - mean) / deviation)
    norm.weight.div_(deviation)
    model.prosody.bias.add_(model.prosody.weight @ mean)
    model.prosody.weight.mul_(deviation)
    silence = _silent_audio(decoder)
    fresh = UnitDecoder(decoder.config, decoder.decoding)
    for name in _AUDIO_SIDE:
        getattr(decoder, name).load_state_dict(getattr(fresh, name).state_dict())
    embed, affine = decoder.audio_token_encoder.embed, decoder.audio_embed_affine_layer
    nn.init.constant_(cast(Tensor, embed.out[1].weight), embed.scale**-1)
    spread = torch.randn(affine.weight.shape[0], PROSODY_SIZE, device=affine.weight.device)
    affine.weight.mul_(0.5).add_(spread @ model.prosody.weight)
    affine.bias.copy_(spread @ model.prosody.bias)
    decoder.audio_token_encoder_affine_layer.bias.add_(silence - _silent_audio(decoder))


@torch.no_grad()
def begin_quantizer(model: TasteAutoencoder, sample: Sequence[Windows]) -> None:
    """Choose the quantizer's space so that prosody comes first, and fill its codebooks by k-means.

    The first coordinates are the prosody, the others the main components of what it leaves open, smaller.
    """
    vectors = torch.cat([model.words(windows)[windows.word_ids >= 0] for windows in sample]).float()
    weight, bias = model.prosody.weight.float(), model.prosody.bias.float()
    heard = vectors @ weight.T + bias
    ones = torch.ones(len(vectors), 1, device=vectors.device)
    explained = torch.linalg.lstsq(torch.cat([heard, ones], 1), vectors).solution  # (prosody + 1, dim)
    rest = vectors - torch.cat([heard, ones], 1) @ explained
    count = model.quantizer.project_in.weight.shape[0] - PROSODY_SIZE
    _, sizes, directions = torch.linalg.svd(rest, full_matrices=False)
    scale = _RESIDUAL_SCALE * len(vectors) ** 0.5 / sizes[0]
    directions = directions[:count] * scale
    identity = torch.eye(weight.shape[1], device=weight.device)
    model.quantizer.project_in.weight.copy_(
        torch.cat([weight, directions @ (identity - explained[:-1].T @ weight)])
    )
    model.quantizer.project_in.bias.copy_(
        torch.cat([bias, -directions @ (explained[:-1].T @ bias + explained[-1])])
    )
    projected = model.quantizer.project_in(vectors)
    back = torch.linalg.lstsq(torch.cat([projected, ones], 1), vectors).solution
    model.quantizer.project_out.weight.copy_(back[:-1].T)
    model.quantizer.project_out.bias.copy_(back[-1])
    for layer in model.quantizer.layers:
        layer._codebook.initted.fill_(False)
    model.quantizer(vectors[None])
    model.has_quantizer.fill_(True)


def _silent_audio(decoder: UnitDecoder) -> Tensor:
    """What the decoder's audio side gives for zeros, (size,)."""
    affine = decoder.audio_embed_affine_layer
    audio = decoder.audio_token_encoder(affine(affine.weight.new_zeros(1, 1, affine.in_features)))
    return decoder.audio_token_encoder_affine_layer(audio)[0, 0]
