import copy
import random
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
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
from taste_speech.training.corpus.heard_turns import HeardTurn, HeardTurns
from taste_speech.training.corpus.taste_tokens import fingerprint
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
    return TalkDealer(
        settings, TalkEncoder(FORMAT, Words(), tastes or TasteBank(), other_weight=0.0), "train", 0
    )


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


SPOKEN = Settings(taste_stores=["reply"], heard_stores=["reply", "low"])


@pytest.fixture
def quantizer(context):
    return ResidualQuantizer(context.config.audio_tower_config.kwargs_for_quantizer)


@pytest.fixture
def low(context):
    """A store whose only clip says a word of the others."""
    store = AudioStore(context.folder("corpus") / "low")
    clip = next(iter(AudioStore(context.folder("corpus") / "reply")))
    given = {key: getattr(clip, key) for key in ("voice", "rate", "pitch", "slope", "emphasis")}
    store.append(np.full(4800, 99, np.int16), id="low-0", split="train", text="leaves", **given)
    return store


def test_words_take_the_taste_tokens_that_the_start_hears(
    context, quantizer, low, tiny_phones_checkpoint, tiny_phones_model
):
    begun = StageContext(context.root, context.config, tiny_phones_checkpoint)
    said, heard, deep = mind.tastes(SPOKEN, begun, quantizer)
    own = tiny_phones_model.audio_tower.quantizer.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in quantizer.state_dict().items())
    kept = load_file(context.folder("mind") / "taste_ids.safetensors")
    train = [clip for clip in AudioStore(context.folder("corpus") / "reply") if clip.split == "train"]
    assert {key: len(ids) for key, ids in kept.items()} == {
        **{c.id: len(c.text.split()) for c in train},
        "low-0": 1,
    }
    for bank in (said, heard):
        (codes,) = bank.codes(["train"], random.Random(0))
        assert codes == tuple(kept["clip-0"][1].tolist())
    assert deep.codes(["train", "leaves"], random.Random(0)) == [None, tuple(kept["low-0"][0].tolist())]
    nothing = mind.tastes(SPOKEN, context, quantizer)
    assert [bank.codes(["train"], random.Random(0)) for bank in nothing] == [[None]] * 3


def test_words_take_the_taste_tokens_of_stage_taste_where_there_are_some(
    context, quantizer, low, tiny_phones_checkpoint
):
    folder, width = context.folder("taste"), quantizer.num_quantizers
    trained = {f"quantizer.{name}": value + 1 for name, value in quantizer.state_dict().items()}
    save_file(trained | {"aggregator.weight": torch.zeros(1)}, folder / "audio_tower.safetensors")
    ids = {"clip-0": torch.tensor([[n] * width for n in (1, 2, 3)]), "low-0": torch.tensor([[7] * width])}
    save_file(ids, folder / "taste_ids.safetensors")
    begun = StageContext(context.root, context.config, tiny_phones_checkpoint)
    said, heard, deep = mind.tastes(SPOKEN, begun, quantizer)
    assert all(torch.equal(v, trained[f"quantizer.{name}"]) for name, v in quantizer.state_dict().items())
    assert said.codes(["leaves"], random.Random(0)) == [(3,) * width]
    assert heard.codes(["leaves"], random.Random(0)) == [(3,) * width]
    assert deep.codes(["leaves"], random.Random(0)) == [(7,) * width]


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


def test_the_bridges_of_other_taste_tokens_begin_without_a_say(tiny_model, tmp_path):
    learned = adapted_mind(tiny_model.config, rank=2)
    own = {name: value for name, value in learned.state_dict().items() if is_ours(name)}
    stored = {mind.published_name(name): value for name, value in own.items()}
    other = mind.published_name("extraction.fc_mu.weight")
    stored[other] = torch.ones(5, 7)
    save_file(stored, tmp_path / "model.safetensors")
    begun = adapted_mind(tiny_model.config, rank=2)
    assert mind.begin_with(tmp_path, begun)
    state = begun.state_dict()
    assert not bool(state.pop("extraction.fc_mu.weight").any())
    assert all(torch.equal(state[name], value) for name, value in own.items() if name in state)


def test_talks_with_a_heard_turn_are_drawn_as_often_as_told(talks):
    heard = replace(talks[0].turns[0], modality="speech", recognized="And what?", tastes=((1, 0), (3, 1)))
    talk = replace(talks[0], turns=(heard, talks[0].turns[1]))
    settings = Settings(kinds_part=0.0, murmured=0.0, cut_part=0.0, again_part=0.0, heard_part=0.25)
    encoder = TalkEncoder(FORMAT, Words(), TasteBank())
    dealt = TalkDealer(settings, encoder, "train", 0, [talk])
    drawn = [dealt.talk() for _ in range(400)]
    assert 60 < drawn.count(talk) < 140
    segment = encoder.segment(heard, random.Random(0))
    assert segment.text_ids[0].tolist() == [len("And"), len("what?")]
    assert segment.taste_ids[0].tolist() == [[1, 0], [3, 1]]


def test_turns_that_the_same_tower_has_heard_before_are_not_heard_again(talks, tmp_path, monkeypatch):
    tower = torch.nn.Linear(2, 2)
    start = SimpleNamespace(from_pretrained=lambda _: SimpleNamespace(audio_tower=tower))
    monkeypatch.setattr(mind, "TasteForCausalLM", start)
    heard = HeardTurns(tmp_path / "mind" / f"heard-{fingerprint(tower)[:16]}.jsonl")
    context = StageContext(tmp_path, None, tmp_path)
    assert mind.heard_talks(Settings(), context) == []
    context.folder("mind")
    for number in range(3):
        heard.append(HeardTurn(f"t{number}", 0, number == 0, ["And"], [[1, 2]]))
    found = mind.heard_talks(Settings(heard_turns=2), context)
    assert [talk.id for talk in found] == ["t0", "t1"]
    assert [len(talk.turns) for talk in found] == [2, 1]
    assert found[1].turns[0].recognized == "And"
    torch.nn.init.zeros_(tower.weight)
    monkeypatch.setattr(mind, "TasteProcessor", None)  # which the hearing would need
    with pytest.raises(AttributeError):
        mind.heard_talks(Settings(heard_turns=2), context)
