"""Stage `taste`: what it reads of a clip, what it learns from, and what it leaves."""

import json
import math
import os
import signal
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from taste_speech.audio_tower.encoder import EncodedAudio
from taste_speech.audio_tower.tower import AudioTower
from taste_speech.phones import begins_word, marked_phones
from taste_speech.speech_decoder.phone_decoder import PhoneDecoder
from taste_speech.training.corpus.audio_store import AudioStore
from taste_speech.training.corpus.taste_tokens import EncodedStore
from taste_speech.training.loop import LoopSettings, StoppedError
from taste_speech.training.stages import taste
from taste_speech.training.stages.taste import (
    Batches,
    Settings,
    SpokenPhones,
    TasteTraining,
    clips_of,
    decoder_errors,
    losses_of,
    number_words,
    run,
)

SETTINGS = Settings(
    loop=LoopSettings(steps=12, learning_rate=1e-3, warmup_steps=1, evaluate_every=12, precision="no"),
    stores=["reply"],
    heard_stores=["low"],
    batch=3,
    quantizer_sample=3,
)
SAID = [
    ("the", "ði", [(0.04, 0.10), (0.10, 0.16)]),
    ("owl,", "ˈWl,", [(0.16, 0.35), (0.35, 0.41)]),
    ("sees", "sˈiz", [(0.61, 0.70), (0.70, 0.80), (0.80, 0.85)]),
]
"""Words of a clip, their phones, and when these begin and end; there is a pause of 0.2 s."""


def spoken_by_hand() -> SpokenPhones:
    times = torch.tensor([time for _, _, phones in SAID for time in phones])
    marked = [phone for _, pronounced, _ in SAID for phone in marked_phones(pronounced)]
    words = [word for word, (_, _, phones) in enumerate(SAID) for _ in phones]
    pauses = torch.zeros(7)
    pauses[0], pauses[4] = math.nan, 0.2
    pitch = torch.tensor([0.0, 0.1, 0.2, 0.3, math.nan, 0.5, math.nan])
    frames = torch.stack([times[:, 0] * 50, (times[:, 1] * 50).ceil()], 1).long()
    durations = times[:, 1] - times[:, 0]
    return SpokenPhones("a", torch.tensor(marked), torch.tensor(words), durations, pauses, pitch, frames)


@pytest.fixture
def model(context):
    torch.manual_seed(0)
    made = TasteTraining(context.config)
    made.begin_embeddings()
    made.tower.encoder.load_state_dict(taste.pretrained_encoder())
    return made


@pytest.fixture
def batches(context, model, tmp_path):
    """The clips of the run, encoded; as they are, and with a `Settings` that a test may change."""
    clips = clips_of(context, ["reply"], 14.0)
    encoded = EncodedStore(tmp_path / "encoded", model.tower)
    encoded.prepare(clips)
    items = [SpokenPhones.of(store, clip) for store, clip in clips]
    return lambda **settings: Batches(items, encoded, SETTINGS.model_copy(update=settings))


@pytest.fixture
def low(context):
    """A store of what people say: not trained on."""
    store = AudioStore(context.folder("corpus") / "low")
    manner = {"voice": "ada", "rate": 1.0, "pitch": 0.5, "slope": 0.0, "emphasis": None}
    sound = np.random.default_rng(1).integers(-3000, 3000, 8000, dtype=np.int16)
    phones = [("n", 0.1), ("O", 0.3), ("pause", 0.4)]
    store.append(sound, id="low-0", split="train", text="no", word_ends=[0.4], phones=phones, **manner)
    return store


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_phones_of_a_clip_have_their_times_pauses_pitch_and_frames(tmp_path):
    store = AudioStore(tmp_path / "clips")
    phones, end = [], 0.0
    for _, pronounced, times in SAID:
        for symbol, (begin, finish) in zip(pronounced.strip("ˈ,").replace("ˈ", ""), times, strict=True):
            if begin > end:
                phones.append(("pause", begin))
            phones.append((symbol, finish))
            end = finish
    f0 = np.full(200, 200.0, np.float32)  # one every 5 ms
    f0[140:160] = 400.0
    f0[160:] = 0.0
    fields = {"id": "a", "split": "train", "text": "the owl, sees", "rate_hz": 24000, "voice": "ada"}
    manner = {"rate": 1.0, "pitch": 1.0, "slope": 0.0, "emphasis": None}
    timing = {"word_ends": [0.16, 0.41, 1.0], "phones": [*phones, ("pause", 1.0)]}
    clip = store.append(np.zeros(24000, np.int16), f0, **fields, **timing, **manner)
    found, wanted = SpokenPhones.of(store, clip), spoken_by_hand()
    assert found.key == "a"
    assert found.marked.tolist() == wanted.marked.tolist()  # "the" is said as it is before a vowel
    assert found.words.tolist() == wanted.words.tolist()
    torch.testing.assert_close(found.durations, wanted.durations)
    torch.testing.assert_close(found.pauses, wanted.pauses, equal_nan=True)
    pitch = torch.tensor([0.0, 0.0, 0.0, 0.0, math.nan, 1.0, math.nan])  # octaves above 200 Hz
    torch.testing.assert_close(found.pitch, pitch, equal_nan=True)
    assert found.frames.tolist() == wanted.frames.tolist()


def test_each_word_begins_at_its_first_phone():
    words = torch.tensor([[0, 0, 1, 2, 2], [1, 1, 1, -1, -1]])
    starts, numbers = number_words(words)
    assert starts.tolist() == [
        [True, False, True, True, False],
        [True, False, False, False, False],
    ]
    assert numbers.tolist() == [[0, 0, 1, 2, 2], [3, 3, 3, 3, 3]]


def test_a_stretch_is_of_whole_words_and_never_longer_than_asked_for(batches):
    drawn, item = batches(stretch_part=1.0, most_words=2), spoken_by_hand()
    found = {drawn._stretch(item, seeded(seed)) for seed in range(100)}
    assert found == {(0, 2), (2, 4), (4, 7), (0, 4), (2, 7)}
    starts = begins_word(item.marked).tolist()
    assert all(starts[first] and (last == 7 or starts[last]) for first, last in found)


def test_some_examples_are_of_stretches_and_the_others_are_whole(batches):
    drawn, item = batches(stretch_part=0.5, most_words=1), spoken_by_hand()
    found = [drawn._stretch(item, seeded(seed)) for seed in range(200)]
    assert 0.35 < found.count((0, 7)) / len(found) < 0.65
    assert set(found) == {(0, 7), (0, 2), (2, 4), (4, 7)}
    assert batches(stretch_part=0.0)._stretch(item, seeded()) == (0, 7)


def test_a_batch_holds_the_phones_of_its_stretches(batches):
    drawn = batches()
    short, long = sorted(drawn.items, key=lambda item: len(item.marked))[:: len(drawn.items) - 1]
    batch = drawn.collate([short, long], [(0, 2), (3, 9)], torch.tensor([True, False]))
    assert batch.mask.sum(1).tolist() == [len(short.marked), len(long.marked)]
    assert batch.cut_mask.tolist() == [[True] * 2 + [False] * 4, [True] * 6]
    for name in ("marked", "words", "durations", "frames"):
        cut = batch.cut(getattr(batch, name))
        assert torch.equal(cut[0, :2], getattr(short, name)[:2])
        assert torch.equal(cut[1], getattr(long, name)[3:9])


def test_withheld_taste_leaves_the_text_alone(batches, model):
    model.eval()
    (batch, *_) = batches(batch=9).whole()
    withheld = replace(batch, kept=torch.zeros(len(batch.kept), dtype=torch.bool))
    nothing = torch.zeros(*batch.marked.shape, model.tower.config.d_model)
    torch.nn.init.normal_(model.decoder.output.weight)
    (_, told), (_, errors) = (losses_of(model, each, SETTINGS) for each in (batch, withheld))
    assert errors == decoder_errors(model.decoder, batch, nothing)
    assert errors["duration"] != told["duration"]
    drawn = [batches(withheld_part=0.25).batch(seeded(seed)).kept for seed in range(60)]
    assert 0.65 < float(torch.cat(drawn).float().mean()) < 0.85


def telling(item, seconds=None, wrong=(), pause_s=None):
    """A decoder that knows how a clip is said, but for what is given.

    Args:
        item: the clip.
        seconds: other durations of its phones.
        wrong: places where it is wrong about whether there is a pause.
        pause_s: another duration of all pauses.
    """
    durations = item.durations if seconds is None else seconds
    pauses = torch.where(item.pauses > 0.03, 20.0, -20.0)
    pauses[list(wrong)] *= -1
    pause = item.pauses.clamp(min=0.01).nan_to_num(1.0) if pause_s is None else torch.full((7,), pause_s)
    told = {"duration": durations.log(), "pauses": pauses, "pause": pause.log()}
    told["pitch"] = item.pitch.nan_to_num(9.0)

    def decoder(marked, _audio, _mask):
        first = item.marked.tolist().index(int(marked[0, 0]))
        return SimpleNamespace(**{name: value[None, first:] for name, value in told.items()})

    return decoder


@pytest.fixture
def by_hand():
    """A batch of the clip made by hand, whose decoder gets the stretch that is asked for."""
    item = spoken_by_hand()
    given = {name: value[None] for name, value in vars(item).items() if name != "key"}

    def make(first):
        nothing = EncodedAudio(torch.zeros(1, 50, 4), torch.zeros(1, 50, 4), None)
        stretch, kept = torch.tensor([[first, 7]]), torch.ones(1, dtype=torch.bool)
        return taste.Batch(encoded=nothing, stretch=stretch, kept=kept, **given)

    return item, make


def errors_of(by_hand, first=0, **told):
    """The errors, of which only those that are not zero."""
    item, batch = by_hand
    found = decoder_errors(telling(item, **told), batch(first), torch.zeros(1, 7 - first, 4))
    assert found.keys() == {"duration", "pace", "pauses", "pause", "pitch"}
    return {name: float(value) for name, value in found.items() if float(value) > 1e-6}


def test_who_tells_a_clip_as_it_is_said_makes_no_error(by_hand):
    assert errors_of(by_hand) == {}


def test_each_error_is_of_what_it_is_named_for(by_hand):
    durations, octave = by_hand[0].durations, math.log(2) ** 2
    uneven = durations * torch.tensor([2.0, 0.5, 2.0, 0.5, 1.0, 1.0, 1.0])
    assert errors_of(by_hand, seconds=uneven) == {"duration": pytest.approx(4 / 7 * octave)}
    slow = durations * torch.tensor([2.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    assert errors_of(by_hand, seconds=slow)["pace"] == pytest.approx(octave / 3)
    # There are two words before which a pause may be, and no word has one inside.
    assert errors_of(by_hand, wrong=[4]) == {"pauses": pytest.approx(10)}
    assert errors_of(by_hand, wrong=[0, 1, 3, 5, 6]) == {}
    assert errors_of(by_hand, pause_s=0.4) == {"pause": pytest.approx(octave)}


def test_nothing_tells_of_a_pause_before_a_stretch(by_hand):
    assert errors_of(by_hand, first=2, wrong=[2]) == {}
    assert errors_of(by_hand, first=2, wrong=[4]) == {"pauses": pytest.approx(20)}
    assert errors_of(by_hand, wrong=[2]) == {"pauses": pytest.approx(10)}


def test_who_looks_where_each_phone_is_said_has_the_least_loss(batches, model, monkeypatch):
    (batch, *_) = batches(batch=9).whole()
    model.eval().requires_grad_(False)
    _, before = model.listen(batch)
    attention = [layer.encoder_attn for layer in model.tower.aggregator.layers]
    frames = torch.arange(batch.encoded.keys.shape[1])
    first, last = batch.frames[..., :1], batch.frames[..., 1:]
    inside = ((frames >= first) & (frames < last)).float()
    masses = [inside / inside.sum(-1, keepdim=True).clamp(min=1), frames == first, frames == last - 1]

    def looking(layer):
        forward = layer.forward

        def call(*given, **options):
            output, weights = forward(*given, **options)[:2]
            for head in range(len(masses)):
                weights[:, head, model.tower.joint.skip_prefix_idx :] = masses[head]
            return output, weights

        return call

    for layer in attention:
        monkeypatch.setattr(layer, "forward", looking(layer))
    _, after = model.listen(batch)
    assert float(after) < 0.1 < float(before)
    assert not any(layer._forward_hooks for layer in attention)


def test_losses_go_down(batches, model):
    (batch, *_) = batches(batch=9).whole()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    sums = []
    for step in range(30):
        if step == 20:
            model.begin_codes([batch])
        losses, errors = losses_of(model, batch, SETTINGS)
        assert losses.keys() == {*errors, "listening", "code"}
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        sums.append({name: float(value.detach()) for name, value in losses.items()})
    for name in ("duration", "pitch", "pauses", "pause", "listening"):
        assert sums[-1][name] < sums[0][name], name
    assert sums[-1]["duration"] + sums[-1]["pitch"] < 0.5 * (sums[0]["duration"] + sums[0]["pitch"])
    encoder = model.tower.encoder.state_dict()
    assert all(torch.equal(value, encoder[name]) for name, value in taste.pretrained_encoder().items())


def test_the_exported_codes_give_what_the_trained_ones_gave(batches, model, context):
    (batch, *_) = batches(batch=9).whole()
    model.begin_codes([batch])
    losses_of(model, batch, SETTINGS)
    torch.nn.init.normal_(model.rvq.project_in.weight)
    for layer in model.rvq.layers:  # codes that are far from each other
        layer._codebook.embed.normal_()
    model.eval().export_codes()
    vectors, _ = model.listen(batch)
    trained, _ = model.code(vectors, batch, 0.0)
    exported, indices = model.tower.quantizer.quantize(vectors)
    torch.testing.assert_close(trained[batch.mask], exported[batch.mask], atol=1e-4, rtol=1e-3)
    levels = indices[batch.mask].T
    assert len(levels) == context.config.audio_tower_config.kwargs_for_quantizer.num_quantizers
    assert all(len(level.unique()) > 1 for level in levels)


def test_one_vector_is_all_that_is_told_of_a_word(batches, model):
    (batch, *_) = batches(batch=9).whole()
    for has_codes in (False, True):
        if has_codes:
            model.begin_codes([batch])
        coded, _ = model.eval().code(model.listen(batch)[0], batch, 0.0)
        same = (batch.words[:, 1:] == batch.words[:, :-1]) & batch.mask[:, 1:]
        assert torch.equal(coded[:, 1:][same], coded[:, :-1][same])
        others = ~same & batch.mask[:, 1:]
        assert not torch.equal(coded[:, 1:][others], coded[:, :-1][others])


def test_marked_phones_that_share_something_begin_with_vectors_that_are_alike(model):
    vectors = model.tower.aggregator.embed_tokens.weight
    one, stressed, other = (vectors[marked_phones(word)[-1]].detach() for word in ("bæ", "bˈæ", "bs"))
    assert (one - stressed).norm() < 0.6 * (one - other).norm()


def test_a_run_leaves_tower_decoder_and_taste_tokens(context, low, monkeypatch):
    begun, begin = [], TasteTraining.begin_codes
    monkeypatch.setattr(
        TasteTraining, "begin_codes", lambda self, sample: begun.append(len(sample)) or begin(self, sample)
    )
    run(SETTINGS, context)
    folder = context.folder("taste")
    assert begun == [SETTINGS.quantizer_sample]
    state = torch.load(folder / "state.pt", weights_only=True)["module"]
    assert not any(name.startswith("tower.encoder.") for name in state)
    given, sections = load_file(folder / "audio_tower.safetensors"), context.config.audio_tower_config
    tower = AudioTower(
        context.config.tower, sections.kwargs_for_joint_encoder_segmenter, sections.kwargs_for_quantizer
    )
    missing = tower.load_state_dict(given, strict=False)
    assert missing.unexpected_keys == []
    assert all(name.startswith("encoder.") for name in missing.missing_keys)
    decoder = PhoneDecoder(context.config.speech_decoder_config, context.config.unit_decoding)
    decoder.load_state_dict(load_file(folder / "speech_decoder.safetensors"))
    stores = AudioStore(context.folder("corpus") / "reply"), low
    wanted = {clip.id: len(clip.text.split()) for store in stores for clip in store}
    found = load_file(folder / "taste_ids.safetensors")
    levels = sections.kwargs_for_quantizer.num_quantizers
    assert {key: tuple(ids.shape) for key, ids in found.items()} == {
        k: (n, levels) for k, n in wanted.items()
    }
    (line,) = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert {"duration", "text_duration", "pitch", "text_pitch"} <= line.keys()


def test_a_run_that_was_stopped_goes_on_to_the_same_end(context, low, monkeypatch, tmp_path):
    whole = replace(context, root=tmp_path / "whole")
    whole.root.mkdir()
    (whole.root / "corpus").symlink_to(context.folder("corpus"))
    run(SETTINGS, whole)
    calls, losses = [], taste.losses_of

    def stopping(*given):
        calls.append(given)
        if len(calls) == 8:
            os.kill(os.getpid(), signal.SIGTERM)
        return losses(*given)

    monkeypatch.setattr(taste, "losses_of", stopping)
    with pytest.raises(StoppedError):
        run(SETTINGS, context)
    folder = context.folder("taste")
    assert torch.load(folder / "state.pt", weights_only=True)["step"] == 8
    assert not (folder / "taste_ids.safetensors").exists()
    run(SETTINGS, context)
    assert len(calls) == SETTINGS.loop.steps + 1  # with that of the clip for validation
    ends = [torch.load(c.folder("taste") / "state.pt", weights_only=True) for c in (whole, context)]
    assert ends[0]["step"] == ends[1]["step"] == SETTINGS.loop.steps
    one, other = (end["module"] for end in ends)
    assert bool(one["has_codes"])
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, msg=name)
    same = [load_file(c.folder("taste") / "taste_ids.safetensors") for c in (whole, context)]
    assert all(torch.equal(same[1][key], ids) for key, ids in same[0].items())


def test_clips_that_last_too_long_are_left_out(context):
    assert [clip.id for _, clip in clips_of(context, ["reply"], 1.1)] == [f"clip-{n}" for n in range(4)]
    assert clips_of(context, ["reply"], 0.9) == []
