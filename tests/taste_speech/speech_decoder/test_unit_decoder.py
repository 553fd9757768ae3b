import json
from pathlib import Path
from typing import Any

import pytest
import torch

from taste_speech.configuration_sections import SpeechDecoderConfig, UnitDecodingConfig
from taste_speech.speech_decoder.decoding import greedy_unit, sample_unit
from taste_speech.speech_decoder.unit_decoder import UnitDecoder
from tests.units import uncached_logits

GOLDEN = Path(__file__).parents[2] / "golden"
TINY: dict[str, Any] = {
    "audio_encoder_input_size": 12,
    "encoder_input_size": 8,
    "encoder__attention_heads": 2,
    "encoder__linear_units": 16,
    "encoder__num_blocks": 1,
    "llm_input_size": 16,
    "llm_output_size": 16,
    "llm__attention_heads": 2,
    "llm__linear_units": 16,
    "llm__num_blocks": 2,
    "text_token_size": 30,
    "speech_token_size": 20,
    "spk_embed_dim": 6,
}
TINY_DECODING = UnitDecodingConfig(audio_encoder_heads=2, audio_encoder_linear_units=16, top_k=5)


@pytest.fixture
def decoder() -> UnitDecoder:
    torch.manual_seed(0)
    return UnitDecoder(SpeechDecoderConfig(**TINY), TINY_DECODING).eval()


def tiny_inputs(batch: int = 1, tokens: int = 6, units: int = 10) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "speaker_embeds": torch.randn(batch, 6, generator=generator),
        "asr_token_ids": torch.randint(0, 30, (batch, tokens), generator=generator),
        "audio_embeds": torch.randn(batch, tokens, 12, generator=generator),
        "unit_ids": torch.randint(0, 20, (batch, units), generator=generator),
    }


@pytest.fixture(scope="module")
def golden_decoder() -> UnitDecoder:
    from tests.golden.seeded_weights import seeded_tensor

    manifest = json.loads((GOLDEN / "manifest.json").read_text())["model"]
    prefix = "speech_decoder."
    state = {
        name.removeprefix(prefix): seeded_tensor(name, tuple(shape))
        for name, (shape, _) in manifest.items()
        if name.startswith(prefix)
    }
    config = json.loads((GOLDEN / "config.json").read_text())["speech_decoder_config"]
    decoder = UnitDecoder(SpeechDecoderConfig(**config), UnitDecodingConfig())
    decoder.load_state_dict(state)
    return decoder.eval()


@torch.no_grad()
def test_encoders_agree_with_the_published_model(golden_decoder: Any, golden: dict[str, Any]) -> None:
    decoder = golden_decoder
    text = decoder.text_encoder_affine_layer(
        decoder.text_encoder(decoder.text_embedding(golden["asr_token_ids"]))
    )
    audio = decoder.audio_token_encoder(decoder.audio_embed_affine_layer(golden["tower.audio_unit_embeds"]))
    audio = decoder.audio_token_encoder_affine_layer(audio)
    torch.testing.assert_close(text, golden["dec.text_encoded"], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(audio, golden["dec.audio_encoded"], rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_logits_agree_with_the_published_model(golden_decoder: Any, golden: dict[str, Any]) -> None:
    decoder = golden_decoder
    condition = decoder.encode_condition(golden["asr_token_ids"], golden["tower.audio_unit_embeds"])
    units = decoder.speech_embedding(golden["speech_token_ids"])
    rows = torch.cat([decoder.prefix(golden["speaker_embeds"], condition), units], 1)
    logits = decoder.llm_decoder(decoder.llm(rows))
    torch.testing.assert_close(logits[..., ::17], golden["dec.logits_every_17th"], rtol=1e-3, atol=1e-3)
    assert torch.equal(logits.argmax(-1), golden["dec.argmax"])


def test_greedy_units_agree_with_the_published_model(golden_decoder: Any, golden: dict[str, Any]) -> None:
    units = golden_decoder.generate(
        golden["speaker_embeds"], golden["asr_token_ids"], golden["tower.audio_unit_embeds"], greedy=True
    )
    assert torch.equal(units, golden["dec.greedy_speech_ids"])


def test_names_and_shapes_of_the_published_size() -> None:
    manifest = json.loads((GOLDEN / "manifest_v0.json").read_text())["model"]
    with torch.device("meta"):
        decoder = UnitDecoder(SpeechDecoderConfig(), UnitDecodingConfig())
    ours = {f"speech_decoder.{name}": list(tensor.shape) for name, tensor in decoder.state_dict().items()}
    assert ours == {name: s for name, (s, _) in manifest.items() if name.startswith("speech_decoder.")}


@torch.no_grad()
def test_steps_equal_one_pass_over_all_rows(decoder: UnitDecoder) -> None:
    inputs = tiny_inputs()
    condition = decoder.encode_condition(inputs["asr_token_ids"], inputs["audio_embeds"])
    prefix = decoder.prefix(inputs["speaker_embeds"], condition)
    whole = uncached_logits(decoder, *inputs.values())[0]
    logits, state = decoder.start(prefix, 32, inputs["unit_ids"][:, :3])
    torch.testing.assert_close(logits[0], whole[3])
    copy = state.clone()
    for step in range(3, 10):
        torch.testing.assert_close(
            decoder.step(inputs["unit_ids"][:, step : step + 1], state)[0], whole[step + 1]
        )
    assert copy.encoder.length == state.encoder.length - 7
    torch.testing.assert_close(decoder.step(inputs["unit_ids"][:, 3:6], copy)[0], whole[6])


def test_generation_goes_on_from_forced_units(decoder: UnitDecoder) -> None:
    inputs = tiny_inputs()
    del inputs["unit_ids"]
    whole = decoder.generate(**inputs, greedy=True, min_units=20, max_units=20)
    rest = decoder.generate(**inputs, forced_units=whole[:, :8], greedy=True, min_units=12, max_units=12)
    assert torch.equal(rest, whole[:, 8:])


def test_attention_covers_forced_and_new_units(decoder: UnitDecoder) -> None:
    inputs = tiny_inputs()
    forced = inputs.pop("unit_ids")
    result = decoder.generate_with_alignment(**inputs, forced_units=forced, min_units=5, max_units=5)
    assert result.attention.shape == (15, 6)
    assert float(result.attention.min()) > 0


def test_drawn_units_depend_on_the_generator_only(decoder: UnitDecoder) -> None:
    inputs = tiny_inputs()
    del inputs["unit_ids"]
    draws = [
        decoder.generate(**inputs, generator=torch.Generator().manual_seed(seed)).tolist()
        for seed in (1, 1, 2)
    ]
    assert draws[0] == draws[1] != draws[2]
    least, most = decoder.length_limits(9)
    assert (least, most) == (18, 180)
    assert least <= len(draws[0][0]) <= most


def test_greedy_unit_leaves_out_the_stop() -> None:
    logits = torch.tensor([0.0, 2.0, 1.0, 5.0])
    assert greedy_unit(logits, 3, may_stop=True) == 3
    assert greedy_unit(logits, 3, may_stop=False) == 1
    assert logits[3] == 5  # not changed in place


def test_sampling_cuts_before_it_drops_the_stop() -> None:
    logits = torch.tensor([0.0, 2.0, 1.9, 5.0])
    generator = torch.Generator().manual_seed(0)
    drawn = {sample_unit(logits, 3, False, 2, generator) for _ in range(50)}
    assert drawn == {1}  # id 2 is third and must not take the stop's place
    assert sample_unit(logits, 3, False, 1, generator) == 1  # only the stop was left
    assert {sample_unit(logits, 3, True, 2, generator) for _ in range(200)} == {1, 3}


def test_unequal_condition_lengths(decoder: UnitDecoder) -> None:
    with pytest.raises(ValueError, match="give one audio vector for each ASR token"):
        decoder.encode_condition(torch.zeros(1, 4, dtype=torch.long), torch.zeros(1, 5, 12))


def test_state_that_is_full(decoder: UnitDecoder) -> None:
    inputs = tiny_inputs()
    prefix = decoder.prefix(
        inputs["speaker_embeds"], decoder.encode_condition(inputs["asr_token_ids"], inputs["audio_embeds"])
    )
    _, state = decoder.start(prefix, 10)
    with pytest.raises(ValueError, match="11 rows do not fit into a state made for 10"):
        decoder.step(inputs["unit_ids"][:, :2], state)


def test_condition_encoders_look_both_ways_where_the_chunk_size_is_zero(decoder: UnitDecoder) -> None:
    inputs, other = tiny_inputs(), tiny_inputs()
    other["asr_token_ids"][0, -1] += 1
    torch.manual_seed(0)
    open_decoder = UnitDecoder(
        SpeechDecoderConfig(**TINY, encoder__static_chunk_size=0), TINY_DECODING
    ).eval()
    for model, is_same in ((decoder, True), (open_decoder, False)):
        first, second = (
            model.encode_condition(given["asr_token_ids"], given["audio_embeds"])[0, 0]
            for given in (inputs, other)
        )
        assert torch.allclose(first, second) is is_same


def test_padding_is_not_looked_at_either_way() -> None:
    torch.manual_seed(0)
    decoder = UnitDecoder(SpeechDecoderConfig(**TINY, encoder__static_chunk_size=0), TINY_DECODING).eval()
    embedded = decoder.text_embedding(tiny_inputs(batch=2)["asr_token_ids"])
    both = decoder.text_encoder(embedded, torch.tensor([6, 3]))
    alone = decoder.text_encoder(embedded[1:, :3])
    torch.testing.assert_close(both[1, :3], alone[0])


def test_unsupported_configuration() -> None:
    with pytest.raises(ValueError, match="give 1"):
        UnitDecoder(SpeechDecoderConfig(**TINY, encoder__static_chunk_size=4), TINY_DECODING)
    with pytest.raises(ValueError, match="encoder__macaron_style is True; only False is supported"):
        UnitDecoder(SpeechDecoderConfig(**TINY, encoder__macaron_style=True), TINY_DECODING)
