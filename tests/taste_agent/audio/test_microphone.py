import numpy as np
import pytest

from taste_agent.audio.microphone import MicrophoneLevel, verdict
from tests.taste_agent.speech import RATE, noise, spoken

BLOCK = 160


def hear(*parts, level=None):
    """What is known after (T,) samples that come in blocks; whether advice was there after each block."""
    level = level or MicrophoneLevel()
    for part in parts:
        for start in range(0, len(part), BLOCK):
            level.take(part[start : start + BLOCK])
    return level


def voice(gain_db, text="what is the capital of italy and of france"):
    said = spoken(text) * np.float32(10 ** (gain_db / 20))
    return said + noise(len(said) / RATE, -75.0)[: len(said)]


@pytest.mark.parametrize(("gain_db", "quiet"), [(0, False), (-12, False), (-30, True), (-40, True)])
def test_a_quiet_voice_is_told_with_its_level(gain_db, quiet):
    level = hear(noise(1.0, -75.0), voice(gain_db))
    assert ("very quiet (-" in level.advice) is quiet
    assert bool(verdict(level)) is quiet


def test_the_advice_stays_until_somebody_speaks_up():
    level = hear(noise(1.0, -75.0), voice(-35), noise(30.0, -75.0), np.zeros(2 * RATE, np.float32))
    assert "very quiet" in level.advice
    assert not hear(voice(0), level=level).advice


def test_a_quiet_room_is_no_fault_of_the_microphone():
    level = hear(noise(5.0, -65.0))
    assert level.advice == ""
    assert "nothing louder than -6" in verdict(level)  # when somebody was asked to speak


def test_digital_silence_is_told_while_it_lasts():
    level = hear(voice(0), np.zeros(RATE // 2, np.float32))
    assert level.advice == ""
    assert "is it muted?" in hear(np.zeros(RATE, np.float32), level=level).advice
    assert hear(noise(0.1, -60.0), level=level).advice == ""


def test_a_microphone_that_gave_nothing_at_all():
    assert "is it muted" in verdict(MicrophoneLevel())
