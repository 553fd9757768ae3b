"""Whether a speaker has finished, told from encoder states."""

import pytest
import torch
from safetensors.torch import save_file

from taste_speech.checkpoint_files import TURN_END
from taste_speech.errors import CheckpointError
from taste_speech.recognition.turn_end import FRAMES, TurnEnd, last_states, load_turn_end


@pytest.fixture
def turn_end() -> TurnEnd:
    torch.manual_seed(0)
    return TurnEnd(8, 4).eval()


def test_only_the_last_states_count(turn_end):
    encoded = torch.randn(200, 8)
    heard = turn_end.probability(encoded, 150)
    assert 0 < heard < 1
    changed = encoded.clone()
    changed[: 150 - FRAMES] = 9.0
    changed[150:] = 9.0
    assert turn_end.probability(changed, 150) == heard
    changed[149] = 9.0
    assert turn_end.probability(changed, 150) != heard


def test_a_short_sound_has_nothing_before_its_beginning():
    states = last_states(torch.ones(500, 8), 10)
    assert states.shape == (FRAMES, 8)
    assert states.sum(1).tolist() == [0.0] * (FRAMES - 10) + [8.0] * 10


def test_it_is_read_from_a_checkpoint_in_half_precision(tmp_path):
    torch.manual_seed(0)
    made, encoded = TurnEnd().eval(), torch.randn(100, 384)
    save_file({name: value.half() for name, value in made.state_dict().items()}, tmp_path / TURN_END)
    read = load_turn_end(tmp_path / TURN_END)
    assert read.probability(encoded, 100) == pytest.approx(made.probability(encoded, 100), abs=1e-2)


def test_a_file_that_does_not_fit_is_named(tmp_path):
    save_file({"weight": torch.zeros(2)}, tmp_path / TURN_END)
    with pytest.raises(CheckpointError, match=r"turn_end\.safetensors.*fetch the file again"):
        load_turn_end(tmp_path / TURN_END)
