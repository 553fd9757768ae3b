"""Long talks of the real command on a virtual sound card; only in `make soak`."""

import logging
import os
import subprocess
import time

import numpy as np
import pytest
import soundfile

from tests.taste_agent.audio.test_chat_on_pulseaudio import (
    LONG,
    SOON_INDEX,
    chat,
    find,
    longest_gap_ms,
)
from tests.taste_agent.speech import spoken

__all__ = ["chat"]
pytestmark = [pytest.mark.audio, pytest.mark.soak]
logger = logging.getLogger(__name__)
RATE_HZ = 16000
TALK_S = 60 * float(os.environ.get("TALK_MINUTES", "30"))


def test_ten_turns_without_a_gap(chat, sound, speech, tmp_path):
    replies = [f"this is answer number {number} of ten" for number in range(1, 11)]
    talk = chat(["what is the time"] * 10, replies)
    recorder = sound.record(tmp_path / "speaker.wav")
    question = speech("What is the time please?", "low")
    for generation in range(1, 11):
        sound.say(question).wait()
        assert talk.wait_for("reply_finished", generation=generation)["underruns"] == 0
        time.sleep(0.5)
    recorder.terminate()
    recorder.wait()
    assert talk.stop() == 143
    recorded, _ = soundfile.read(tmp_path / "speaker.wav", dtype="float32")
    for reply in replies:
        answer = spoken(reply)
        at, alike = find(recorded, answer)
        assert alike > 0.95
        assert longest_gap_ms(recorded[at : at + answer.size]) <= longest_gap_ms(answer) + 20


@pytest.mark.parametrize(("delay_ms", "gain_db"), [(20, 0), (100, -6), (200, -12)])
def test_agent_never_answers_its_echo(chat, sound, speech, delay_ms, gain_db):
    sound.echo(delay_ms, gain_db)
    talk = chat(["what is the time"] * 60, [LONG] * 60)
    question = speech("What is the time please?", "low")
    ends_s = time.monotonic() + 300
    asked = 0
    while time.monotonic() < ends_s:
        sound.say(question).wait()
        asked += 1
        talk.wait_for("reply_finished", 60)
        time.sleep(1.5)
    logger.info("%d questions, %d turns", asked, talk.kinds().count("user_turn"))
    assert talk.kinds().count("user_turn") == asked
    sound.say(question).wait()
    talk.wait_for("word_heard", index=8)
    sound.say(speech("Stop please, I have a question for you.", "low"))
    talk.wait_for("reply_cancelled")


def resident_mb(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def cpu_s(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def threads(pid):
    listed = subprocess.run(["ls", f"/proc/{pid}/task"], capture_output=True, text=True, check=True)
    return len(listed.stdout.split())


def test_half_an_hour_with_interruptions(chat, sound, speech):
    talk = chat(["what is the time", "stop please"] * 200, [LONG] * 400)
    question, stop = (
        speech("What is the time please?", "low"),
        speech("Stop please, I have a question.", "low"),
    )
    pid = talk.process.pid
    began_s = time.monotonic()
    resident = []
    while time.monotonic() - began_s < TALK_S:
        sound.say(question).wait()
        talk.wait_for("word_heard", index=SOON_INDEX)
        sound.say(stop).wait()
        talk.wait_for("reply_cancelled")
        talk.wait_for("reply_finished", 60)
        resident.append((resident_mb(pid), threads(pid)))
    quarter = len(resident) // 4
    logger.info(
        "%d turns; memory in MB and threads, first and last: %s, %s", len(resident), resident[0], resident[-1]
    )
    assert np.mean([mb for mb, _ in resident[-quarter:]]) < np.mean([mb for mb, _ in resident[:quarter]]) + 20
    assert resident[-1][1] <= resident[0][1]
    time.sleep(2)
    before_s = cpu_s(pid)
    time.sleep(20)
    idle = (cpu_s(pid) - before_s) / 20
    logger.info("%.1f %% of a core while idle", 100 * idle)
    assert idle < 0.10
    assert talk.stop() == 143
