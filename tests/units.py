"""What every fast path of the unit decoder is measured by: the plain loop."""

from collections.abc import Sequence
from typing import Any

import torch

from taste_speech.speech_decoder.unit_decoder import UnitDecoder


def unit_inputs(model: Any) -> tuple[torch.Tensor, ...]:
    """Speaker, ASR tokens and taste vectors of nine tokens."""
    generator = torch.Generator().manual_seed(0)
    config = model.config.speech_decoder_config
    speaker = torch.randn(1, config.spk_embed_dim, generator=generator)
    ids = torch.randint(20, (1, 9), generator=generator)
    return speaker, ids, torch.randn(1, 9, config.audio_encoder_input_size, generator=generator)


def assert_same_units(
    decoders: Sequence[UnitDecoder], inputs: tuple[torch.Tensor, ...], forced: int, greedy: bool
) -> None:
    """Both decoders, the plain one first, give the same units and look at the same tokens."""
    forced_units = torch.arange(forced)[None] if forced else None
    results = []
    for decoder in decoders:
        generator = torch.Generator().manual_seed(5)
        result = decoder.generate_with_alignment(
            *inputs, forced_units, generator, greedy, min_units=4, max_units=31
        )
        results.append((result.ids, result.attention, torch.rand(1, generator=generator)))
    assert torch.equal(results[0][0], results[1][0])
    torch.testing.assert_close(results[1][1], results[0][1], atol=1e-5, rtol=1e-4)
    assert torch.equal(results[0][2], results[1][2]), "the generator is where the plain loop leaves it"


@torch.no_grad()
def uncached_logits(
    decoder: UnitDecoder,
    speaker: torch.Tensor,
    asr_token_ids: torch.Tensor,
    audio_embeds: torch.Tensor,
    unit_ids: torch.Tensor,
) -> torch.Tensor:
    """Logits (batch, units + 1, vocabulary + 1) of units that are all known, in one pass."""
    prefix = decoder.prefix(speaker, decoder.encode_condition(asr_token_ids, audio_embeds))
    rows = torch.cat([prefix, decoder.speech_embedding(unit_ids)], dim=1)
    return decoder.llm_decoder(decoder.llm(rows))[:, prefix.shape[1] - 1 :]
