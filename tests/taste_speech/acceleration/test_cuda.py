"""The compiled steps on a GPU give what the plain steps give there; skipped where there is none."""

import copy

import pytest
import torch

from taste_speech.acceleration import Acceleration, accelerate
from taste_speech.streaming.layout import Row
from taste_speech.streaming.row_cache import RowCache

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
SETTINGS = Acceleration(compiled=True, cache_rows=64)


def test_lm_steps(tiny_model):
    plain, fast = (copy.deepcopy(tiny_model).cuda() for _ in range(2))
    accelerate(fast, None, SETTINGS)
    caches = [RowCache(m.spoken_lm, m.audio_tower.quantizer) for m in (plain, fast)]
    rows = [Row(7 * n % 300, (n % 16,) * 3 if n % 3 else None) for n in range(90)]  # grows once
    for row in rows:
        for cache in caches:
            cache.append(row)
        torch.testing.assert_close(caches[1].logits, caches[0].logits, atol=1e-3, rtol=1e-3)
        assert caches[1].read_taste() == caches[0].read_taste()


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_units(tiny_model, device):
    plain, fast = (copy.deepcopy(tiny_model).cuda() for _ in range(2))
    accelerate(fast, None, SETTINGS)
    config = tiny_model.config.speech_decoder_config
    speaker = torch.ones(1, config.spk_embed_dim, device="cuda")
    ids = torch.arange(9, device="cuda")[None]
    audio = torch.randn(1, 9, config.audio_encoder_input_size, device="cuda")
    results = [
        model.speech_decoder.generate_with_alignment(
            speaker, ids, audio, None, torch.Generator(device).manual_seed(1), min_units=5, max_units=40
        )
        for model in (plain, fast, fast)
    ]
    for result in results[1:]:
        assert torch.equal(result.ids, results[0].ids)
        torch.testing.assert_close(result.attention, results[0].attention, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("frames", [17, 45])
def test_flow(tiny_model, tiny_processor, frames):
    voice = copy.deepcopy(tiny_processor.get_generator()).cuda()
    flow = voice.flow.decoder
    noise, condition = (torch.randn(1, 40, frames, device="cuda") for _ in range(2))
    speaker, known = torch.randn(1, 40, device="cuda"), torch.randn(1, 40, 9, device="cuda")
    with torch.no_grad():
        plain = flow(noise, condition, speaker, known)
        accelerate(copy.deepcopy(tiny_model).cuda(), voice, SETTINGS)
        for _ in range(2):
            torch.testing.assert_close(flow(noise, condition, speaker, known), plain, atol=1e-3, rtol=1e-3)
