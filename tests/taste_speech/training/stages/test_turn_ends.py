"""Stage `turn_ends`: turns that are whole or cut off, and what it learns from them."""

import json
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from taste_speech.recognition.turn_end import load_turn_end
from taste_speech.training.config import StageContext
from taste_speech.training.corpus.audio_store import Timing
from taste_speech.training.corpus.listeners import HELD_OUT_VOICES
from taste_speech.training.corpus.reply_voice import SAMPLE_RATE_HZ, Spoken
from taste_speech.training.loop import LoopSettings
from taste_speech.training.stages import turn_ends
from taste_speech.training.stages.turn_ends import Utterance, as_heard, whole_or_cut

TEXT = "Can you tell me where the station is? I am late."
WORD_S = 0.2


def spoken(text: str) -> Spoken:
    """A tone for each word, and half a second after the last one."""
    ends = [WORD_S * (index + 1) for index in range(len(text.split()))]
    phones = [("ɑ", end) for end in ends] + [("pause", ends[-1] + 0.5)]
    tone = 9000 * np.sin(np.arange(int(phones[-1][1] * SAMPLE_RATE_HZ)) / 9)
    return Spoken(tone.astype(np.int16), np.zeros(0, np.float32), Timing([*ends[:-1], phones[-1][1]], phones))


def test_a_turn_is_whole_or_ends_where_more_is_to_come():
    seen = [said for seed in range(200) for said in whole_or_cut(TEXT, random.Random(seed))]
    assert {said.text for said in seen if said.finished} == {TEXT}
    cut = [said for said in seen if not said.finished]
    heard = [said.text.split()[: said.words] for said in cut]
    assert cut
    assert not any(words[-1].endswith(("?", ".")) and not words[-1].endswith("...") for words in heard)
    assert {words[-1] for words in heard} >= {"tell", "um,", "where,"}
    assert list(whole_or_cut("Yes.", random.Random(0))) == [Utterance("Yes.", finished=True)]


@pytest.mark.parametrize(("words", "seconds"), [(None, 11 * WORD_S), (3, 3 * WORD_S)])
def test_sound_ends_behind_the_last_word_and_silence_follows(words, seconds):
    for seed in range(5):
        samples = as_heard(spoken(TEXT), words, random.Random(seed))
        loud = np.flatnonzero(np.abs(samples) > 0.05) / 16000
        assert loud[-1] - loud[0] == pytest.approx(seconds, abs=0.06)
        assert 0.13 < len(samples) / 16000 - loud[-1] < 0.4


def test_it_learns_to_tell_ends_from_pauses(tmp_path, tiny_model, monkeypatch):
    def encode(samples: np.ndarray) -> torch.Tensor:
        """States that tell how long the sound is: cut turns are shorter."""
        return torch.full((500, 384), float(np.abs(samples).sum() / 1e4))

    voice = SimpleNamespace(speak=lambda text, *_: spoken(text))
    monkeypatch.setattr(turn_ends, "ReplyVoice", lambda _: voice)
    monkeypatch.setattr(turn_ends, "tiny_en", lambda: SimpleNamespace(encode=encode, frame_s=0.02))
    monkeypatch.setattr(turn_ends, "turns_of", lambda *_: [TEXT])
    loop = LoopSettings(steps=30, learning_rate=1e-2, warmup_steps=1, evaluate_every=15, precision="no")
    settings = turn_ends.Settings(
        examples=40, valid_examples=10, answers_part=0, rooms_part=0, batch=16, loop=loop
    )
    context = StageContext(tmp_path, tiny_model.config)
    turn_ends.run(settings, context)
    folder = context.folder("turn_ends")
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    first, last = (line["end"] for line in lines if line["split"] == "valid")
    assert last < 0.6
    assert last < first + 0.05
    load_turn_end(folder / "turn_end.safetensors")
    made = (folder / "train.safetensors").stat().st_mtime_ns
    turn_ends.run(settings, context)  # finished: nothing is made again
    assert (folder / "train.safetensors").stat().st_mtime_ns == made


def power_db(samples: np.ndarray, hz: float) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return 20 * float(np.log10(spectrum[round(hz * len(samples) / 16000)]))


def test_a_telephone_lets_through_what_is_between_300_and_3400_hz():
    times_s = np.arange(16000) / 16000
    sound = sum(np.sin(2 * np.pi * hz * times_s) for hz in (100, 1000, 6000))
    low, middle, high = (
        power_db(turn_ends._telephoned(sound), hz) - power_db(sound, hz) for hz in (100, 1000, 6000)
    )
    assert abs(middle) < 1
    assert max(low, high) < -20


def test_a_room_rings_behind_a_sound_and_not_before_it():
    click = np.zeros(16000)
    click[8000] = 1.0
    heard = turn_ends._in_a_room(click, random.Random(0))
    assert np.abs(heard[:7999]).max() < 1e-9
    assert 0.02 < np.square(heard[8001:]).sum() < 1.1
    assert np.square(heard[8001:10000]).sum() > 3 * np.square(heard[10001:12000]).sum()


def test_those_who_say_the_turns_of_valid_say_none_of_train(tmp_path, tiny_model, monkeypatch):
    asked = []
    others = SimpleNamespace(speak=lambda _text, name, _rate: asked.append(name))
    monkeypatch.setattr(turn_ends, "Listeners", lambda *_: others)
    monkeypatch.setattr(turn_ends, "ReplyVoice", lambda _: None)
    settings = turn_ends.Settings(listeners=tmp_path, listeners_part=1)
    context = StageContext(tmp_path, tiny_model.config)
    said_by = {}
    for split in ("train", "valid"):
        speak, rng = turn_ends.speaker(split, settings, context), random.Random(0)
        asked.clear()
        for _ in range(200):
            speak("Hello.", rng)
        said_by[split] = set(asked)
    assert len(said_by["valid"]) == 3
    assert len(said_by["train"]) > 10
    assert not said_by["train"] & (said_by["valid"] | set(HELD_OUT_VOICES))
