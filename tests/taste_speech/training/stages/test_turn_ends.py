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
    def encode(samples: np.ndarray) -> SimpleNamespace:
        """States that tell how long the sound is: cut turns are shorter."""
        return SimpleNamespace(keys=torch.full((1, 500, 384), float(np.abs(samples).sum() / 1e4)))

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
