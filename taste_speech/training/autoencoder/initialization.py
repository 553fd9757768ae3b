"""Initialization of the taste side of stage 1, before the unit decoder listens to it.

The aggregator first learns to hear prosody. The scale of its vectors, the quantizer's space and the first
codebooks are then computed from a sample of whole utterances instead of being learned.
"""

import logging
from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from taste_speech.speech_decoder.unit_decoder import UnitDecoder
from taste_speech.training.autoencoder.model import TasteAutoencoder
from taste_speech.training.autoencoder.utterances import PROSODY_SIZE
from taste_speech.training.autoencoder.windows import Windows
from taste_speech.training.loop import LoopSettings, mixed_precision

logger = logging.getLogger(__name__)
_RESIDUAL_SCALE = 0.25
_AUDIO_SIDE = ("audio_embed_affine_layer", "audio_token_encoder", "audio_token_encoder_affine_layer")


def learn_prosody(
    model: TasteAutoencoder, batches: Iterator[Windows], steps: int, rate: float, settings: LoopSettings
) -> None:
    """Train the aggregator to attend to each word where it is spoken, and to hear its prosody."""
    parameters = [*model.tower.aggregator.parameters(), *model.prosody.parameters()]
    optimizer = torch.optim.AdamW(parameters, rate)
    in_bf16 = mixed_precision(settings) == "bf16"
    for step in range(steps):
        windows = next(batches)
        with torch.autocast(parameters[0].device.type, torch.bfloat16, enabled=in_bf16):
            vectors, listening = model.listen(windows)
            loss = model.prosody_loss(vectors, windows) + listening
        optimizer.zero_grad()
        loss.backward(inputs=parameters)
        torch.nn.utils.clip_grad_norm_(parameters, settings.clip_norm)
        optimizer.step()
        if step % settings.log_every == 0:
            logger.info("autoencoder: prosody step %d, loss %.3f", step, float(loss.detach()))


@torch.no_grad()
def begin_audio(model: TasteAutoencoder, sample: Sequence[Windows]) -> None:
    """Rescale the aggregator's vectors so that the unit decoder can use them, and reset its audio side.

    What distinguishes words is a small part of a recognizer's hidden states: their mean is large. The final
    norm is changed to center and scale them over `sample`. The decoder's audio side, which has only seen
    zeros so far, is initialized again with the same response to zeros, and with most weight on the prosody.
    """
    vectors = _word_vectors(model, sample)
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

    The first coordinates are the prosody, the others the principal components of the rest, scaled down.
    """
    vectors = _word_vectors(model, sample).float()
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


def _word_vectors(model: TasteAutoencoder, sample: Sequence[Windows]) -> Tensor:
    """Return the aggregated vectors (tokens, dim) of all words of a sample."""
    return torch.cat([model.words(windows)[windows.word_ids >= 0] for windows in sample])


def _silent_audio(decoder: UnitDecoder) -> Tensor:
    """Return the response (size,) of the decoder's audio side to zeros."""
    affine = decoder.audio_embed_affine_layer
    audio = decoder.audio_token_encoder(affine(affine.weight.new_zeros(1, 1, affine.in_features)))
    return decoder.audio_token_encoder_affine_layer(audio)[0, 0]
