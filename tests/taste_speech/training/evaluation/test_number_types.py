import numpy as np
import pytest

from taste_speech.training.corpus.dialogues.talks import Turn
from taste_speech.training.evaluation import number_types
from taste_speech.training.evaluation.material import Spoken


class Deaf:
    def transcribe(self, samples):
        return ""


@pytest.fixture
def spoken():
    rng = np.random.default_rng(0)
    return [Spoken("the train leaves", 0.1 * rng.standard_normal(8000).astype(np.float32), "ada")]


def test_each_type_is_measured_against_the_same_material(tiny_checkpoint, spoken):
    asked = [
        Turn("user", "speech", "Where is it?", accepted_pattern=""),
        Turn("user", "speech", "Where?", accepted_pattern="never said"),
    ]
    rows = {row.name: row for row in number_types.rows(Deaf(), tiny_checkpoint, spoken, asked)}
    assert len(rows) == 9
    assert rows["float32: time of tokenize -> detokenize"].value == 1
    for kind in ("float32", "bfloat16", "int8"):
        assert rows[f"{kind}: tokenize -> detokenize, word error"].value == 100
        assert rows[f"{kind}: typed questions answered right"].value == 50


def test_int8_changes_the_weights_that_steps_read(tiny_checkpoint):
    plain, smaller = (number_types.load(tiny_checkpoint, kind)[0] for kind in ("float32", "int8"))
    layers = [model.spoken_lm.language_model.model.layers[0].mlp.up_proj for model in (plain, smaller)]
    assert [type(layer).__module__.startswith("torch.nn.modules") for layer in layers] == [True, False]
