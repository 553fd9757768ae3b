"""Stage `turn_ends`: turns that are whole or cut off, and what it learns from them."""

import json
import random
from types import SimpleNamespace

import numpy as np
import pytest
import soxr
import torch

from taste_speech.recognition.turn_end import load_turn_end
from taste_speech.training.config import StageContext
from taste_speech.training.corpus.audio_store import Timing
from taste_speech.training.corpus.reply_voice import SAMPLE_RATE_HZ, Spoken
from taste_speech.training.loop import LoopSettings
from taste_speech.training.stages import turn_ends
from taste_speech.training.stages.turn_ends import as_heard, last_piece
from tests.taste_agent.fakes import FakeBrain, run_session
from tests.taste_agent.speech import spoken as voiced

TEXT = "Can you tell me where the station is? I am late."
WORD_S = 0.2


def spoken(text: str) -> Spoken:
    """A tone for each word, and half a second after the last one."""
    ends = [WORD_S * (index + 1) for index in range(len(text.split()))]
    phones = [("ɑ", end) for end in ends] + [("pause", ends[-1] + 0.5)]
    tone = 9000 * np.sin(np.arange(int(phones[-1][1] * SAMPLE_RATE_HZ)) / 9)
    return Spoken(tone.astype(np.int16), np.zeros(0, np.float32), Timing([*ends[:-1], phones[-1][1]], phones))


@pytest.mark.parametrize("dbfs", [-38.0, -16.0])
@pytest.mark.parametrize("words", [None, 3])
def test_an_example_ends_where_the_agent_closes_the_piece(words, dbfs, monkeypatch):
    voice = voiced("can you tell me where the station is")
    ends = [0.3 * (index + 1) for index in range(7)] + [len(voice) / 16000]
    timing = Timing(ends, [("a", end) for end in ends])
    said = Spoken((soxr.resample(voice, 16000, SAMPLE_RATE_HZ) * 32767).astype(np.int16), voice[:0], timing)
    monkeypatch.setattr(turn_ends, "_LEVELS_DBFS", (dbfs, dbfs))
    heard, played = [], []
    monkeypatch.setattr(
        turn_ends, "last_piece", lambda samples: played.append(samples) or last_piece(samples)
    )
    for seed in range(3):
        heard.append(as_heard(said, words, random.Random(seed)))
    for samples, sound in zip(heard, played, strict=True):
        brain = FakeBrain(["can you tell me"], ["yes"])
        run_session(sound, brain)
        assert brain.scripted.accepted[-1] == len(samples)
        end_s = ends[-1 if words is None else words - 1]
        assert len(samples) / 16000 == pytest.approx(end_s + 0.7, abs=0.25)


def test_what_is_too_soft_to_be_heard_is_no_example(monkeypatch):
    monkeypatch.setattr(turn_ends, "_LEVELS_DBFS", (-80.0, -80.0))
    assert as_heard(spoken(TEXT), None, random.Random(0)) is None


def test_it_learns_to_tell_ends_from_pauses(tmp_path, tiny_model, monkeypatch):
    def encode(samples: np.ndarray) -> SimpleNamespace:
        """States that tell how long the sound is: cut turns are shorter."""
        return SimpleNamespace(keys=torch.full((1, 500, 384), len(samples) / 1e4))

    voice = SimpleNamespace(speak=lambda text, *_: spoken(text))
    monkeypatch.setattr(turn_ends, "ReplyVoice", lambda _: voice)
    monkeypatch.setattr(turn_ends, "tiny_en", lambda: SimpleNamespace(encode=encode, frame_s=0.02))
    monkeypatch.setattr(turn_ends, "turns_of", lambda *_: [TEXT])
    loop = LoopSettings(steps=30, learning_rate=1e-2, warmup_steps=1, evaluate_every=15, precision="no")
    settings = turn_ends.Settings(examples=40, valid_examples=10, batch=16, loop=loop)
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
