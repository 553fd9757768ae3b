"""`chat` and `replay` are one engine: what a recorded chat heard is understood alike when it is replayed."""

import json
import logging

import pytest

from taste_agent.replay import run_replay
from taste_speech.sound_file import SoundFile
from tests.taste_agent.audio.talker import Talker
from tests.taste_agent.audio.test_chat_on_pulseaudio import LONG, chat
from tests.taste_agent.fakes import settings

__all__ = ["chat"]
pytestmark = pytest.mark.audio
logger = logging.getLogger(__name__)
REPLIES = [LONG, "go on then", "that is all"]


def turns_of(events):
    """For each turn of the person: its text, and the second at which it was taken as ended."""
    texts = [event["text"] for event in events if event["kind"] == "user_turn"]
    ends = [event["at"] / 16000 for event in events if event["kind"] == "turn_ended"]
    return list(zip(texts, ends, strict=True))


def replayed(recording, folder):
    """Turns of the microphone's track, through the same brain."""
    brain = Talker(replies=list(REPLIES), words_per_item=8)
    brain.listens_to_script = False
    events = []
    run_replay(
        SoundFile(recording / "person.wav"),
        settings("replay.compute_time=zero"),
        folder / "again",
        lambda _: brain,
        lambda event: events.append(json.loads(event.to_json())),
    )
    return turns_of(events)


def talk_with_interruption(talk, sound, speech):
    sound.say(speech("Tell me a story about the sea.", "low")).wait()
    talk.wait_for("word_heard", generation=1, index=4)
    sound.say(speech("Stop now, I have a question for you.", "low")).wait()
    talk.wait_for("reply_finished", generation=2)
    sound.say(speech("How long is the way to the city?", "high")).wait()
    talk.wait_for("reply_finished", generation=3)


def test_a_recorded_chat_is_replayed_alike(chat, sound, speech, tmp_path):
    sound.echo(delay_ms=100, gain_db=-6)
    talk = chat(None, REPLIES, "--record", "--out", str(tmp_path / "recorded"))
    talk_with_interruption(talk, sound, speech)
    assert talk.stop() == 143
    (recording,) = (tmp_path / "recorded").iterdir()
    events = [json.loads(line) for line in (recording / "events.jsonl").read_text().splitlines()]
    live, again = turns_of(events), replayed(recording, tmp_path)
    logger.info("live %s, replayed %s", live, again)
    assert [len(text.split()) > 5 for text, _ in live] == [True] * 3
    assert [text for text, _ in again] == [text for text, _ in live]
    assert max(abs(end - other) for (_, end), (_, other) in zip(live, again, strict=True)) <= 0.1
