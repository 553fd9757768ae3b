"""Sets in the layout of Full-Duplex-Bench: pauses where words end, notes that tell when."""

import json

import numpy as np
import pytest
import soundfile

from taste_agent.duplex.run import Task, find_items
from taste_speech.phones import PAUSE
from taste_speech.training.corpus.audio_store import Timing
from taste_speech.training.corpus.listeners import DEVELOPMENT_VOICES, HELD_OUT_VOICES
from taste_speech.training.corpus.reply_voice import Spoken
from taste_speech.training.evaluation.recordings import ONE_WORD_ANSWERS, RATE_HZ, leveled, write_duplex_set

WORD_S = 0.5


class Metronome:
    """Says each word as half a second of one level."""

    def __init__(self):
        self.voices, self.texts = set(), set()

    def speak(self, text, voice):
        self.voices.add(voice)
        self.texts.add(text)
        count = len(text.split())
        ends = [WORD_S * (number + 1) for number in range(count)]
        samples = np.full(int(24_000 * WORD_S) * count, 8000, np.int16)
        phones = [("a", ends[-1]), (PAUSE, ends[-1] + WORD_S)]
        silence = np.zeros(int(24_000 * WORD_S), np.int16)
        ends[-1] += WORD_S  # as voices tell it: the last word has the silence after it
        return Spoken(np.concatenate([samples, silence]), np.zeros(0, np.float32), Timing(ends, phones))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder, speaker = tmp_path_factory.mktemp("set"), Metronome()
    assert len(list(write_duplex_set(folder, speaker, seed=5, count=20))) == 20
    return folder, speaker, find_items(folder)


def test_every_task_has_its_share_and_the_voices_are_held_out(made):
    _, speaker, items = made
    tasks = [item.task for item in items]
    assert [tasks.count(task) for task in (Task.PAUSE, Task.TURN, Task.INTERRUPTION)] == [8, 8, 4]
    assert speaker.voices <= set(HELD_OUT_VOICES)


def test_a_pause_is_silent_and_lies_between_words(made):
    for item in made[2]:
        if item.task is Task.PAUSE:
            samples, rate = soundfile.read(item.folder / "input.wav")
            start, end = item.window_s
            assert rate == RATE_HZ
            assert 0.3 <= end - start <= 1.5
            assert (start - 0.5) % WORD_S == pytest.approx(0, abs=1e-9)
            inside = samples[round((start + 0.02) * rate) : round((end - 0.02) * rate)]
            assert abs(inside).max() < 0.005
            for at_s in (start - 0.05, end + 0.05):
                assert abs(samples[round(at_s * rate)]) > 0.015


def test_a_turn_ends_where_its_note_says_and_there_is_time_to_answer(made):
    turn = next(item for item in made[2] if item.task is Task.TURN)
    samples, rate = soundfile.read(turn.folder / "input.wav")
    loud = np.flatnonzero(abs(samples) > 0.015)
    assert loud[-1] / rate == pytest.approx(turn.window_s[0], abs=0.02)
    assert len(samples) / rate - turn.window_s[0] > 7


def test_the_same_seed_writes_the_same_set(made, tmp_path):
    folder, _, items = made
    list(write_duplex_set(tmp_path, Metronome(), seed=5, count=20))
    for item in items:
        again = tmp_path / item.folder.relative_to(folder)
        assert (again / "input.wav").read_bytes() == (item.folder / "input.wav").read_bytes()
    list(write_duplex_set(tmp_path, Metronome(), seed=6, count=20))
    assert any(
        json.loads((tmp_path / i.folder.relative_to(folder) / "pause.json").read_text())[0]["timestamp"]
        != list(i.window_s)
        for i in items
        if i.task is Task.PAUSE
    )


def test_a_set_for_choices_in_development_shares_neither_voices_nor_texts(made, tmp_path):
    speaker = Metronome()
    assert len(list(write_duplex_set(tmp_path, speaker, seed=5, count=20, split="valid"))) == 20
    assert speaker.voices <= set(DEVELOPMENT_VOICES)
    assert not (speaker.texts & made[1].texts) - set(ONE_WORD_ANSWERS)


@pytest.mark.parametrize("amplitude", [0.001, 0.1, 0.9])
def test_speech_has_the_same_level_however_softly_it_was_said(amplitude):
    tone = amplitude * np.sin(np.arange(16000) / 5).astype(np.float32)
    said = leveled(np.concatenate([np.zeros(16000, np.float32), tone]))
    assert 20 * np.log10(np.sqrt(np.square(said[16000:]).mean())) == pytest.approx(-26, abs=0.1)
    peak = np.zeros(16000, np.float32)
    peak[::4000] = amplitude
    assert np.abs(leveled(peak)).max() == pytest.approx(0.45)


def test_recordings_differ_in_level(made):
    peaks = [abs(soundfile.read(item.folder / "input.wav")[0]).max() for item in made[2]]
    assert 2 < max(peaks) / min(peaks) < 10 ** (15 / 20)
