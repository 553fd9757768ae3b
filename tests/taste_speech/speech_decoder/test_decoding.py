import pytest
import torch

from taste_speech.configuration_sections import UnitDecodingConfig
from taste_speech.speech_decoder.decoding import sample_unit

LOGITS = torch.tensor([0.0, 1.0, 2.0, 3.0])
STOP = 3


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


def test_a_section_that_still_names_alignment_heads_is_read():
    old = {"top_k": 5, "alignment_heads": [[1, 0]], "alignment_window": {"ahead": 4}}
    assert UnitDecodingConfig(**old) == UnitDecodingConfig(top_k=5)
    with pytest.raises(ValueError, match="unknown key 'top'"):
        UnitDecodingConfig(top=5)
