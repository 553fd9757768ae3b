import copy
import random

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from safetensors.torch import load_file, save_file

from taste_speech.audio_tower.quantizer import ResidualQuantizer
from taste_speech.spoken_lm.language_model import SpokenLM
from taste_speech.streaming.layout import PromptFormat
from taste_speech.training.config import StageContext
from taste_speech.training.corpus.audio_store import AudioStore
from taste_speech.training.corpus.dialogues.turns import Talk, Turn
from taste_speech.training.mind.rows import TalkEncoder, TasteBank
from taste_speech.training.stages import mind
from taste_speech.training.stages.mind import Settings, TalkDealer, is_ours

BOS, START, END, ROLES = 90, 91, 92, {"system": 93, "user": 94, "assistant": 95}
FORMAT = PromptFormat(
    bos_id=BOS,
    openings={role: (START, number) for role, number in ROLES.items()},
    closings=dict.fromkeys(ROLES, (END,)),
    reply_opening=(START,),
    role_ids=ROLES,
    special_ids=frozenset(range(90, 100)),
    vocab_size=100,
    num_quantizers=2,
    codebook_size=4,
)


class Words:
    """One id a word."""

    def __call__(self, text, add_special_tokens):
        return {"input_ids": [len(text.strip())]}


class Numbered:
    """The n-th word said has the taste token (n, 0)."""

    def __init__(self):
        self.count = 0

    def codes(self, words, rng, manner=""):
        self.count += len(words)
        return [((self.count - len(words) + i) % 4, 0) for i in range(len(words))]


@pytest.fixture
def talks(monkeypatch):
    turns = (Turn("user", "text", "And what do seals eat?"), Turn("assistant", "speech", "Mostly fish."))
    written = tuple(Talk(f"t{i}", "train", turns) for i in range(3))
    monkeypatch.setattr(mind, "written_talks", lambda: written)
    return written


def dealer(tastes=None, **settings):
    settings = Settings(rows=40, long_rows=80, batch=4, kinds_part=0.0, murmured=0.0, **settings)
    return TalkDealer(settings, TalkEncoder(FORMAT, Words(), tastes or TasteBank(), 0.0), "train", 0)


def test_rows_have_one_length_and_long_ones_are_one_talk(talks):
    short = dealer(long_part=0.0, joined_part=0.0, cut_part=0.0).batch()
    assert [len(row.text_ids) for row in short] == [40] * 4
    assert all((row.text_ids == BOS).sum() >= 3 for row in short)
    long = dealer(long_part=1.0, cut_part=0.0).batch()
    assert [len(row.text_ids) for row in long] == [80, 80]
    assert all((row.text_ids == BOS).sum() <= 2 for row in long)


def test_only_what_the_assistant_says_is_learned(talks):
    row = dealer(joined_part=0.0, cut_part=0.0).row(40, 0.0)
    learned = row.text_targets[row.text_weights > 0].tolist()
    assert set(learned) == {ROLES["assistant"], len("Mostly"), len("fish."), END}


def test_taste_tokens_stay_with_their_words_in_a_joined_row(talks):
    row = dealer(Numbered(), joined_part=0.0, cut_part=0.0, spoken_part=1.0).row(40, 0.0)
    spoken = row.taste_source[row.taste_source >= 0]
    assert spoken.unique_consecutive().tolist() == list(range(int(spoken.max()) + 1))
    assert row.tastes[:, 0].tolist() == [i % 4 for i in range(len(row.tastes))]


def test_a_cut_turn_is_left_to_the_person(talks):
    row = dealer(joined_part=0.0, cut_part=1.0, spoken_part=1.0).row(40, 0.0)
    assert set(row.text_targets[row.text_weights > 0].tolist()) == {ROLES["user"]}


def test_the_pretrained_weights_are_not_written():
    assert is_ours("language_model.model.layers.0.self_attn.q_proj.lora_A.default.weight")
    assert is_ours("fusion.linear.weight")
    assert not is_ours("language_model.model.layers.0.self_attn.q_proj.base_layer.weight")
    assert not is_ours("language_model.lm_head.weight")


def test_joined_rows_are_torch_rows(talks):
    row = dealer(joined_part=0.5).row(40, 0.5)
    assert row.text_targets.dtype == torch.int64
    assert len(row.text_weights) == len(row.taste_targets) == 40


def test_words_take_the_taste_tokens_that_the_start_hears(context, tiny_checkpoint, tiny_model):
    begun = StageContext(context.root, context.config, tiny_checkpoint)
    quantizer = ResidualQuantizer(context.config.audio_tower_config.kwargs_for_quantizer)
    bank = mind.tastes(Settings(taste_stores=["reply"]), begun, quantizer)
    own = tiny_model.audio_tower.quantizer.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in quantizer.state_dict().items())
    kept = load_file(context.folder("mind") / "taste_ids.safetensors")
    train = [clip for clip in AudioStore(context.folder("corpus") / "reply") if clip.split == "train"]
    assert {key: len(ids) for key, ids in kept.items()} == {c.id: len(c.text.split()) for c in train}
    (codes,) = bank.codes(["train"], random.Random(0))
    assert codes == tuple(kept["clip-0"][1].tolist())
    nothing = mind.tastes(Settings(taste_stores=["reply"]), context, quantizer)
    assert nothing.codes(["train"], random.Random(0)) == [None]


def adapted_mind(config, rank):
    """A small spoken LM with adapters that have learned something."""
    lm = SpokenLM(config)
    linears = ["q_proj", "v_proj", "down_proj"]
    inject_adapter_in_model(LoraConfig(r=rank, target_modules=linears), lm.language_model.model)
    for name, parameter in lm.named_parameters():
        if is_ours(name):
            torch.nn.init.normal_(parameter)
    return lm


def test_a_mind_goes_on_from_what_a_checkpoint_of_the_same_model_has_learned(tiny_model, tmp_path):
    learned = adapted_mind(tiny_model.config, rank=2)
    own = {name: value for name, value in learned.state_dict().items() if is_ours(name)}
    assert sum("lora_" in name for name in own) == 2 * 3 * tiny_model.config.text_config.num_hidden_layers
    stored = {mind.published_name(name): value for name, value in own.items()}
    assert len(stored) == len(own)
    save_file(stored, tmp_path / "model.safetensors")
    same, wider = adapted_mind(tiny_model.config, rank=2), adapted_mind(tiny_model.config, rank=4)
    before = copy.deepcopy(wider.state_dict())
    assert mind.begin_with(tmp_path, same)
    assert all(torch.equal(same.state_dict()[name], value) for name, value in own.items())
    assert not mind.begin_with(tmp_path, wider)
    assert all(torch.equal(value, before[name]) for name, value in wider.state_dict().items())
