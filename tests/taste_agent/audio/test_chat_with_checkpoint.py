"""Ten spoken turns with the shipped checkpoint in a terminal: nothing is scripted but the questions."""

import json
import logging
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from taste_speech import TasteProcessor
from tests.taste_agent.audio.test_chat_and_replay import turns_of
from tests.taste_agent.audio.test_chat_on_pulseaudio import find, longest_gap_ms
from tests.taste_agent.audio.test_chat_screen import ROOT, new_terminal

__all__ = ["new_terminal"]
pytestmark = [pytest.mark.audio, pytest.mark.soak]
logger = logging.getLogger(__name__)
RATE_HZ = 16000
QUESTIONS = [
    "What is the capital of Italy?",
    "What colour is the sky?",
    "Tell me a joke.",
    "What does the dog say?",
    "How do I make coffee?",
    "What is the capital of France?",
    "What is your name?",
    "How do I boil an egg?",
    "What is the capital of Spain?",
    "I have a headache.",
]
ENDED = ("reply_finished", "reply_cancelled", "no_speech")


def events_of(folder):
    """All events of the recording so far."""
    files = list(folder.glob("*/events.jsonl"))
    lines = files[0].read_text().split("\n")[:-1] if files else []
    return [json.loads(line) for line in lines]


def wait_for_end(folder, count, limit_s=60):
    """Until so many turns were answered, or were found to need no answer."""
    deadline_s = time.monotonic() + limit_s
    while sum(event["kind"] in ENDED for event in events_of(folder)) < count:
        assert time.monotonic() < deadline_s, [event["kind"] for event in events_of(folder)][-20:]
        time.sleep(0.2)


def sounding_parts(events, agent):
    """The agent's track of each reply that was heard to its end, and its text."""
    parts, starts = [], {}
    for event in events:
        if event["kind"] == "first_audio":
            starts[event["generation"]] = event["at"]
        elif event["kind"] == "reply_finished":
            part = agent[starts[event["generation"]] : event["at"]]
            loud = np.flatnonzero(np.abs(part) > 1e-3)
            parts.append((part[loud[0] : loud[-1] + 1], event["text"]))
    return parts


def understood_share(samples, text):
    """How many of the words a recognizer hears in it, of those that were meant, in any order."""
    judge = TasteProcessor.from_pretrained("small").recognizer()
    judge.start()
    judge.accept(samples)
    recognition = judge.finish()
    heard, meant = recognition.text.lower().split(), text.lower().replace(".", "").replace("?", "").split()
    found = 0
    for word in meant:
        if word.strip(",") in heard:
            heard.remove(word.strip(","))
            found += 1
    return found, len(meant), recognition.text


def test_ten_turns(sound, speech, new_terminal, tmp_path):
    terminal = new_terminal(80, 24)
    environment = " ".join(f"{name}='{value}'" for name, value in sound.environment.items())
    folder = tmp_path / "talk"
    program = f"{sys.executable} -m taste_agent.cli chat --record --out {folder} --seed 1"
    terminal.type(f"cd {ROOT}; {environment} {program}; echo code $?")
    terminal.keys("Enter")
    terminal.wait_for("● listening", 120)
    time.sleep(2)
    recorder = sound.record(tmp_path / "speaker.wav")
    for number, question in enumerate(QUESTIONS, 1):
        sound.say(speech(question, "low")).wait()
        wait_for_end(folder, number)
        logger.info("after turn %d\n%s", number, terminal.screen())
        time.sleep(0.7)
    recorder.terminate()
    recorder.wait()
    screen = terminal.screen()
    terminal.keys("q")
    terminal.wait_for("code 0")

    events = events_of(folder)
    finished = [event for event in events if event["kind"] == "reply_finished"]
    assert len(finished) >= 8  # the checkpoint may take a misheard question for one that goes on
    recorded, _ = soundfile.read(tmp_path / "speaker.wav", dtype="float32")
    (session,) = folder.glob("*/session.wav")
    both, _ = soundfile.read(session, dtype="float32")
    found = meant = 0
    compared = []
    for played, text in sounding_parts(events, both[:, 1]):
        at, alike = find(recorded, played)
        part = recorded[at : at + played.size]
        gaps_ms = longest_gap_ms(part), longest_gap_ms(played)
        words, of, heard = understood_share(part, text)
        found, meant = found + words, meant + of
        logger.info("%r was heard as %r; alike %.3f, gaps %s ms", text, heard, alike, gaps_ms)
        compared.append((alike, gaps_ms[0] - gaps_ms[1]))
    logger.info("%d of %d words recognized from the loudspeaker", found, meant)
    assert found / meant > 0.5
    assert sum(event["underruns"] for event in finished) == 0
    assert "underruns 0 card, 0 model" in screen
    assert min(alike for alike, _ in compared) > 0.95
    assert max(longer_ms for _, longer_ms in compared) <= 20

    command = [sys.executable, "-m", "taste_agent.cli", "replay", str(session.with_name("person.wav"))]
    again = subprocess.run(
        [*command, "--json", "--seed", "1", "--compute-time", "zero", "--out", str(tmp_path / "again")],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    live, replayed = turns_of(events), turns_of([json.loads(line) for line in again.stdout.splitlines()])
    logger.info("live %s\nreplayed %s", live, replayed)
    assert [text for text, _ in replayed] == [text for text, _ in live]
    assert max(abs(end - other) for (_, end), (_, other) in zip(live, replayed, strict=True)) <= 0.1
