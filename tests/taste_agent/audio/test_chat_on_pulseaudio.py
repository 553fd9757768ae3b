"""The real `chat` command on a virtual sound card. What the person says and the agent answers is scripted."""

import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.taste_agent.speech import spoken

pytestmark = pytest.mark.audio
logger = logging.getLogger(__name__)
RATE_HZ = 16000
ROOT = Path(__file__).parents[3]
LONG = (
    "it is five o clock in the afternoon and the sun is still up over the quiet sea where the boats go home"
)

SOON_INDEX = 1
"""Word of a reply at which a person breaks in."""


class Chat:
    """A running `chat --json` and the events that it has written."""

    def __init__(self, sound, folder, heard, replies, *arguments, slow_s=0.0, load_s=0.0):
        self.sound = sound
        script = folder / "script.json"
        script.write_text(
            json.dumps({"heard": heard, "replies": replies, "slow_s": slow_s, "load_s": load_s})
        )
        self.errors = folder / "stderr.txt"
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.taste_agent.audio.talker",
                str(script),
                "chat",
                "--json",
                *arguments,
            ],
            cwd=ROOT,
            env={**os.environ, **sound.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.errors.open("w"),
            text=True,
        )
        self.events = []
        self._queue = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def wait_until_it_loads(self):
        while "loading" not in self.errors.read_text():
            assert self.process.poll() is None, self.errors.read_text()
            time.sleep(0.1)

    def _read(self):
        for line in self.process.stdout:
            self._queue.put(json.loads(line))
        self._queue.put(None)

    def wait_for(self, kind, limit_s=30, **values):
        """The next event of that kind with those values."""
        deadline_s = time.monotonic() + limit_s
        while True:
            try:
                event = self._queue.get(timeout=max(0.01, deadline_s - time.monotonic()))
            except queue.Empty:
                event = None
            if event is None:
                kinds = [event["kind"] for event in self.events]
                said = f"{self.errors.read_text()}\n{self.sound.report()}"
                raise AssertionError(f"no {kind} {values} after {kinds}: {said}")
            self.events.append(event)
            if event["kind"] == kind and all(event[name] == value for name, value in values.items()):
                return event

    def kinds(self):
        """All events that have come, whether waited for or not."""
        while not self._queue.empty():
            event = self._queue.get()
            if event is not None:
                self.events.append(event)
        return [event["kind"] for event in self.events]

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(timeout=30)


@pytest.fixture
def chat(sound, tmp_path):
    running = []

    def start(heard, replies, *arguments, load_s=0.0, **options):
        talk = Chat(sound, tmp_path, heard, replies, *arguments, load_s=load_s, **options)
        running.append(talk)
        if load_s:
            talk.wait_until_it_loads()
        else:
            talk.wait_for("session_started", 120)
            time.sleep(1.5)  # the streams begin to flow
        return talk

    yield start
    for one in running:
        if one.process.poll() is None:
            one.process.kill()
        one.process.wait()


def find(recorded, wanted):
    """Where `wanted` sounds in `recorded`, and how alike they are (1 = the same)."""
    size = recorded.size + wanted.size
    product = np.fft.rfft(recorded, size) * np.conj(np.fft.rfft(wanted, size))
    at = int(np.argmax(np.fft.irfft(product, size)[: recorded.size]))
    part = recorded[at : at + wanted.size]
    return at, float(np.corrcoef(part, wanted[: part.size])[0, 1]) if part.size > 100 else 0.0


def longest_gap_ms(samples, level=1e-4):
    """Longest stretch of digital silence between the first and the last sound."""
    loud = np.flatnonzero(np.abs(samples) > level)
    return float(np.diff(loud).max(initial=0)) * 1000 / RATE_HZ


def test_question_is_answered(chat, sound, speech, tmp_path):
    talk = chat(["what is the time"], ["it is five o clock"])
    recorder = sound.record(tmp_path / "speaker.wav")
    sound.say(speech("What is the time please?", "low")).wait()
    assert talk.wait_for("user_turn")["text"] == "what is the time"
    finished = talk.wait_for("reply_finished")
    assert finished["text"] == "it is five o clock"
    time.sleep(0.5)
    recorder.terminate()
    recorder.wait()
    assert talk.stop() == 143
    recorded, _ = soundfile.read(tmp_path / "speaker.wav", dtype="float32")
    answer = spoken("it is five o clock")
    at, alike = find(recorded, answer)
    assert alike > 0.95
    assert longest_gap_ms(recorded[at : at + answer.size]) <= longest_gap_ms(answer) + 20


def test_interruption_falls_silent_and_keeps_what_was_heard(chat, sound, speech, tmp_path):
    talk = chat(["what is the time", "stop i have a question"], [LONG, "go on"])
    recorder = sound.record(tmp_path / "speaker.wav")
    sound.say(speech("What is the time please?", "low")).wait()
    talk.wait_for("word_heard", index=SOON_INDEX)
    sound.say(speech("Stop, I have a question for you.", "low"))
    cancelled = talk.wait_for("reply_cancelled")
    assert talk.wait_for("user_turn")["text"] == "stop i have a question"
    talk.wait_for("reply_finished", generation=2)
    recorder.terminate()
    recorder.wait()
    talk.stop()
    heard = cancelled["heard_text"].split()
    assert SOON_INDEX <= len(heard) < len(LONG.split())
    assert cancelled["heard_text"] + " " + cancelled["cut_text"] == LONG
    recorded, _ = soundfile.read(tmp_path / "speaker.wav", dtype="float32")
    first = spoken(" ".join(LONG.split()[:8]))
    at, _ = find(recorded, first)
    end, _ = find(recorded, spoken("go on"))
    answer = np.flatnonzero(np.abs(recorded[at : end - 1600]) > 1e-3)
    played_s = (answer[-1] - answer[0]) / RATE_HZ
    # What was counted as heard has been played, and hardly more.
    heard_s = len(heard) * first.size / 8 / RATE_HZ
    assert heard_s - 0.5 < played_s < heard_s + 1.5
    paused = next(event for event in talk.events if event["kind"] == "playback_paused")
    assert (paused["at"] - paused["speech_first_sample"]) / RATE_HZ <= 0.25


@pytest.mark.soak  # measured on the machine's clock, so it wants one that does nothing else
def test_loudspeaker_is_silent_soon_after_the_person_speaks(chat, sound, speech):
    talk = chat(["what is the time"] + ["stop i have a question"] * 5, [LONG] * 6)
    speaker, room = sound.tape("speaker.monitor"), sound.tape("room.monitor")
    sound.say(speech("What is the time please?", "low")).wait()
    spoken_at_s = []
    for generation in range(1, 6):
        talk.wait_for("word_heard", generation=generation, index=SOON_INDEX)
        spoken_at_s.append(time.monotonic())
        sound.say(speech("Stop, I have a question for you.", "low"))
        talk.wait_for("playback_paused")
        talk.wait_for("reply_cancelled")
    talk.stop()
    said, played = room.stop(), speaker.stop()
    silent_ms = []
    for at_s in spoken_at_s:
        began_s = said.first_loud_s(at_s, at_s + 2, level=5e-3)
        silent_ms.append(1000 * (played.last_loud_s(began_s - 0.2, began_s + 1.2, level=1e-3) - began_s))
    logger.info("silent after the person's first sample, ms: %s", [round(ms) for ms in silent_ms])
    assert max(silent_ms) <= 300


def test_own_echo_is_not_answered_but_a_person_is(chat, sound, speech):
    sound.echo(delay_ms=100, gain_db=-6)
    talk = chat(["what is the time", "stop please"], [LONG, "yes"])
    sound.say(speech("What is the time please?", "low")).wait()
    talk.wait_for("reply_finished", 60)
    time.sleep(2)
    assert talk.kinds().count("user_turn") == 1
    assert "playback_paused" not in talk.kinds()
    sound.say(speech("Stop please, I have a question.", "low"))
    assert talk.wait_for("user_turn")["text"] == "stop please"
    talk.stop()


@pytest.mark.soak  # the loss of the source is not noticed in time on a loaded machine
@pytest.mark.parametrize("what", ["room", "speaker", "server"])
def test_lost_device_is_told_and_talk_goes_on_after_it_is_back(chat, sound, speech, what):
    talk = chat(["what is the time"] * 3, ["it is five o clock"] * 3, "--set", "devices.retry_s=0.5")
    if what == "server":
        sound.stop()
    else:
        sound.remove_sink(what)
    gone = talk.wait_for("notice", level="warning")
    assert "you can type meanwhile" in gone["text"]
    if what == "server":
        sound.start()
    else:
        sound.add_sink(what)
    assert "is back" in talk.wait_for("notice", level="info")["text"]
    time.sleep(3)
    sound.say(speech("What is the time please?", "low"))
    talk.wait_for("reply_finished", 40)
    assert talk.stop() == 143


def test_microphone_muted_in_the_middle_of_a_sentence_ends_the_turn(chat, sound, speech):
    talk = chat(["what is the time"], ["it is five o clock"])
    sound.say(
        speech("What is the time in the city of seven hills, and how long is the way to the sea?", "low")
    )
    talk.wait_for("speech_started")
    time.sleep(1.0)
    sound.control("set-source-mute", "room.monitor", "1")
    talk.wait_for("reply_finished")
    assert talk.stop() == 143


def test_slow_model_leaves_gaps_between_words_and_every_word_is_heard(chat, sound, speech):
    # Eight words last about two and a half seconds; making them takes three times as long.
    talk = chat(["what is the time"], [LONG], slow_s=7.5)
    sound.say(speech("What is the time please?", "low")).wait()
    finished = talk.wait_for("reply_finished", 90)
    assert finished["text"] == LONG
    assert finished["underruns"] >= 1
    assert talk.stop() == 143
    gaps = [event for event in talk.events if event["kind"] == "underrun"]
    assert len(gaps) == finished["underruns"]
    assert all(event["gap_samples"] > RATE_HZ for event in gaps)
    at = {event["at"]: event["index"] for event in talk.events if event["kind"] == "word_heard"}
    before = [max(index for heard_at, index in at.items() if heard_at <= event["at"]) for event in gaps]
    # It waited where a chunk of eight ended; the last word's fade is kept back to be played after the gap.
    assert {(index + 1) % 8 for index in before} <= {0, 7}


def test_device_that_does_not_exist_is_told_in_one_line(sound, tmp_path):
    script = tmp_path / "script.json"
    script.write_text(json.dumps({"heard": [], "replies": []}))
    done = subprocess.run(
        [sys.executable, "-m", "tests.taste_agent.audio.talker", str(script), "chat", "--input", "nonsense"],
        cwd=ROOT,
        env={**os.environ, **sound.environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("taste-agent: there is no input device 'nonsense'; ")
    assert done.stderr.count("\n") == 1


def test_without_a_microphone_what_is_typed_is_answered_aloud(sound, speech, tmp_path):
    sound.control("unload-module", sound.module_of("room"))
    script, recorded = tmp_path / "script.json", tmp_path / "out.wav"
    script.write_text(json.dumps({"heard": [], "replies": ["it is five o clock"]}))
    recorder = sound.record(recorded)
    done = subprocess.run(
        [sys.executable, "-m", "tests.taste_agent.audio.talker", str(script), "chat"],
        cwd=ROOT,
        env={**os.environ, **sound.environment},
        input="what is the time\n",
        capture_output=True,
        text=True,
        timeout=120,
    )
    time.sleep(0.5)
    recorder.terminate()
    recorder.wait()
    assert done.returncode == 0, done.stderr
    assert "warning: no microphone here: " in done.stdout
    assert "Agent: it is five o clock" in done.stdout
    heard, _ = soundfile.read(recorded, dtype="float32")
    _, likeness = find(heard, spoken("it is five o clock"))
    assert likeness > 0.9
