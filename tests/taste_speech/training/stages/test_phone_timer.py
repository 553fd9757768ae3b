"""Stage `phone_timer`: stretches of clips, and what it learns from them."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from taste_speech.training.corpus.audio_store import AudioStore
from taste_speech.training.loop import LoopSettings
from taste_speech.training.stages import phone_timer
from taste_speech.training.stages.phone_timer import Settings, TimedPhones, drawn, timing_loss
from taste_speech.vocoder.phone_timing import PhoneTimer
from taste_speech.vocoder.phones import marked_phones, pause_after

PHONES_AND_ENDS = [
    ("pause", 0.1),
    ("h", 0.2),
    ("I", 0.4),
    ("pause", 0.5),
    ("m", 0.6),
    ("i", 0.7),
    ("pause", 0.9),
]


@pytest.fixture
def clip(context):
    store = AudioStore(context.folder("corpus") / "marked")
    manner = {"voice": "ada", "rate": 2.0, "pitch": 1.0, "slope": 0.0, "emphasis": None}
    timing = {"word_ends": [0.4, 0.9], "phones": PHONES_AND_ENDS}
    store.append(np.zeros(21600, np.int16), id="a", split="train", text="hi, me?", **timing, **manner)
    return next(iter(store))


def test_durations_are_those_at_the_voices_own_pace(clip):
    phones = TimedPhones.of(clip)
    assert phones.words.tolist() == [-1, 0, 0, -1, 1, 1, -1]
    assert phones.durations.tolist() == pytest.approx([0.2, 0.2, 0.4, 0.2, 0.2, 0.2, 0.4])
    first, second = (marked_phones(word) for word in ("hˈI,", "mˌi?"))
    assert phones.marked.tolist() == [0, *first, pause_after(first[-1]), *second, pause_after(second[-1])]


def test_a_clip_that_says_something_else_is_refused(clip):
    other = replace(clip, text="hi, you?")
    with pytest.raises(ValueError, match="does not say 'hi, you"):
        TimedPhones.of(other)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (False, False, [1, 1]),
        (True, False, [-1, 1, 1]),
        (False, True, [1, 1, -1]),
        (True, True, [-1, 1, 1, -1]),
    ],
)
def test_a_stretch_has_the_pauses_around_it_where_they_are_wanted(clip, before, after, words):
    assert TimedPhones.of(clip).stretch(1, 1, before, after).words.tolist() == words


def test_all_stretches_are_drawn(clip):
    generator = torch.Generator().manual_seed(0)
    phones = TimedPhones.of(clip)
    seen = {tuple(drawn(phones, Settings(most_words=2), generator).words.tolist()) for _ in range(200)}
    assert tuple(phones.words.tolist()) in seen
    assert {(0, 0), (1, 1), (0, 0, -1), (-1, 1, 1, -1)} <= seen


def test_the_loss_is_zero_where_all_durations_are_right_whatever_the_pauses_are(clip):
    phones, timer = TimedPhones.of(clip), PhoneTimer().eval()
    timer.forward = lambda *_: torch.where(phones.words < 0, 9.0, phones.durations.log())[None]
    assert float(timing_loss(timer, [phones])) == pytest.approx(0, abs=1e-9)
    timer.forward = lambda *_: torch.log(4 * phones.durations)[None]
    wanted = phones.durations[phones.words >= 0].mean()  # (2 sqrt(d) - sqrt(d))^2 = d
    assert float(timing_loss(timer, [phones])) == pytest.approx(float(wanted))


def test_it_learns_how_long_phones_last(context):
    loop = LoopSettings(steps=120, learning_rate=5e-3, warmup_steps=1, evaluate_every=60, precision="no")
    phone_timer.run(Settings(batch=4, loop=loop), context)
    folder = context.folder("phone_timer")
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    first, last = (line["root"] for line in lines if line["split"] == "valid")
    assert last < 0.02
    assert last <= first
    PhoneTimer().load_state_dict(load_file(folder / "phone_timer.safetensors"))
