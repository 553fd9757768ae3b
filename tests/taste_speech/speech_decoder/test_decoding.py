from typing import Any

import pytest
import torch

from taste_speech.configuration_sections import (
    AlignmentWindowConfig,
    SpeechDecoderConfig,
    UnitDecodingConfig,
)
from taste_speech.speech_decoder.decoding import FIRST_CONDITION, AlignmentWindow, sample_unit
from taste_speech.speech_decoder.unit_decoder import GeneratedUnits, UnitDecoder
from tests.taste_speech.speech_decoder.test_unit_decoder import TINY, TINY_DECODING, tiny_inputs

HEADS = [(1, 0)]
LOGITS = torch.tensor([0.0, 1.0, 2.0, 3.0])
STOP = 3
CONFIG = AlignmentWindowConfig(back=1, ahead=2, unsaid=1)


def window(position: int = 0, tokens: int = 6) -> AlignmentWindow:
    return AlignmentWindow(CONFIG, HEADS, 2, tokens, position)


@pytest.mark.parametrize(
    ("position", "seen"), [(0, [0, 1, 2]), (1, [0, 1, 2, 3]), (3, [2, 3, 4, 5]), (5, [4, 5])]
)
def test_a_bound_head_sees_the_text_around_what_is_being_said(position: int, seen: list[int]) -> None:
    bound, free = window(position).visible(12)[1][:, 0]
    assert free.all()
    text = bound[FIRST_CONDITION : FIRST_CONDITION + 6]
    assert text.nonzero().flatten().tolist() == seen
    assert bound[:FIRST_CONDITION].all()
    assert bound[FIRST_CONDITION + 6 :].all(), "task and units are always seen"


def test_other_blocks_see_everything() -> None:
    assert 0 not in window().visible(12)


def test_it_follows_the_attention_and_never_goes_back() -> None:
    follows, places = window(), []
    for looked in (1, 2, 0, 2, 4):
        follows.follow(torch.nn.functional.one_hot(torch.tensor(looked), 6).float())
        places.append((follows.position, follows.may_stop))
    assert places == [(1, False), (2, False), (2, False), (2, False), (4, True)]


def test_no_text_may_stop_at_once() -> None:
    empty = window(tokens=0)
    empty.follow(torch.zeros(0))
    assert empty.may_stop


def eager_decoder(config: AlignmentWindowConfig | None, seed: int) -> UnitDecoder:
    """One that looks about and would like to stop at once."""
    torch.manual_seed(seed)
    how = TINY_DECODING.model_copy(update={"alignment_heads": HEADS, "alignment_window": config})
    decoder = UnitDecoder(SpeechDecoderConfig(**TINY), how).eval()
    with torch.no_grad():
        decoder.llm_decoder.bias[decoder.stop_id] = 30.0
        for block in decoder.llm.blocks:
            block.self_attn.linear_q.weight.mul_(9.0)
    return decoder


def generate(decoder: UnitDecoder, least: int, **arguments: Any) -> GeneratedUnits:
    inputs = tiny_inputs()
    del inputs["unit_ids"]
    generator = torch.Generator().manual_seed(0)
    return decoder.generate_with_alignment(
        **inputs, generator=generator, min_units=least, max_units=60, **arguments
    )


@pytest.mark.parametrize("seed", range(6))
def test_generation_reads_the_text_in_order_and_to_its_end(seed: int) -> None:
    decoder, inputs = eager_decoder(CONFIG, seed), tiny_inputs()
    units = generate(decoder, least=1).ids
    condition = decoder.encode_condition(inputs["asr_token_ids"], inputs["audio_embeds"])
    _, state = decoder.start(decoder.prefix(inputs["speaker_embeds"], condition), 80)
    assert state.window is not None
    place = 0
    for unit in units[0]:
        assert not state.may_stop, "it stopped as soon as it might"
        decoder.step(unit[None, None].long(), state)
        looked = int(state.attention[-1].argmax())
        assert place - CONFIG.back <= looked <= place + CONFIG.ahead
        place = max(place, looked)
        assert place == state.window.position
    assert state.may_stop or units.shape[1] == 60
    assert generate(eager_decoder(None, seed), least=1).ids.shape[1] == 1


def test_generation_goes_on_after_what_the_forced_units_say() -> None:
    forced = torch.tensor([[1, 2, 3]])
    decoder = eager_decoder(CONFIG, 0)
    looked = generate(decoder, least=20, forced_units=forced, said_tokens=4).attention.argmax(1)
    assert looked[4:].min() >= 3
    assert generate(decoder, least=20, forced_units=forced).attention.argmax(1)[4:].min() < 3


def test_a_window_needs_heads() -> None:
    with pytest.raises(ValueError, match=r"alignment_window is for alignment_heads, which are null; name"):
        UnitDecoder(SpeechDecoderConfig(**TINY), UnitDecodingConfig(alignment_window=CONFIG))


def shares(draws=4000, **options):
    generator = torch.Generator().manual_seed(0)
    drawn = [
        sample_unit(LOGITS, STOP, options.get("may_stop", True), 3, generator, options["temperature"])
        for _ in range(draws)
    ]
    return torch.bincount(torch.tensor(drawn), minlength=4) / draws


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_units_are_drawn_by_their_probability_at_the_temperature(temperature):
    expected = torch.softmax(LOGITS[1:] / temperature, dim=-1)
    assert shares(temperature=temperature) == pytest.approx(torch.cat([torch.zeros(1), expected]), abs=0.03)


def test_no_other_unit_takes_the_place_of_a_stop_that_may_not_come():
    found = shares(temperature=0.7, may_stop=False)
    assert found[0] == found[3] == 0
