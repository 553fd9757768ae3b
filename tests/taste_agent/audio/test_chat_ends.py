"""Every way to end a chat, in every state of it."""

import json
import signal
import sys
import time

import pytest

from tests.taste_agent.audio.test_chat_on_pulseaudio import LONG, ROOT, chat
from tests.taste_agent.audio.test_chat_screen import new_terminal

__all__ = ["chat", "new_terminal"]
pytestmark = pytest.mark.audio
soak = pytest.mark.soak
QUESTION, STOP = "What is the time please?", "Stop, I have a question for you."
SIGNALS = {signal.SIGINT: (130, "interrupted"), signal.SIGTERM: (143, "terminated")}


def bring_to(state, talk, sound, speech):
    """Speak to a fresh chat until it is in that state."""
    if state in ("loading", "listening"):
        return
    sound.say(speech(QUESTION, "low"))
    talk.wait_for("speech_started")
    if state == "hearing":
        return
    talk.wait_for("user_turn")
    if state == "thinking":
        return
    talk.wait_for("word_heard", index=1)
    if state == "waiting":
        sound.say(speech(STOP, "low"))
        talk.wait_for("playback_paused")


@pytest.mark.parametrize(
    ("state", "number"),
    [
        pytest.param("loading", signal.SIGINT),
        pytest.param("loading", signal.SIGTERM, marks=soak),
        pytest.param("listening", signal.SIGTERM),
        pytest.param("listening", signal.SIGINT, marks=soak),
        pytest.param("hearing", signal.SIGINT, marks=soak),
        pytest.param("hearing", signal.SIGTERM, marks=soak),
        pytest.param("thinking", signal.SIGINT),
        pytest.param("thinking", signal.SIGTERM, marks=soak),
        pytest.param("speaking", signal.SIGTERM),
        pytest.param("speaking", signal.SIGINT, marks=soak),
        pytest.param("waiting", signal.SIGINT, marks=soak),
        pytest.param("waiting", signal.SIGTERM, marks=soak),
    ],
)
def test_a_signal_ends_it_cleanly(chat, sound, speech, state, number):
    options = {"loading": {"load_s": 60}, "thinking": {"slow_s": 4}}.get(state, {})
    talk = chat(["what is the time", "stop"], [LONG], **options)
    bring_to(state, talk, sound, speech)
    code, reason = SIGNALS[number]
    assert talk.stop(number) == code
    assert talk.errors.read_text().strip().split("\n")[-1] == f"taste-agent: {reason}"
    if state == "loading":
        assert talk.kinds() == []
        return
    talk.wait_for("session_ended", reason=reason)
    kinds = talk.kinds()
    if state in ("hearing", "thinking"):
        assert "first_audio" not in kinds
    if state in ("speaking", "waiting"):
        (cut,) = [event for event in talk.events if event["kind"] == "reply_cancelled"]
        assert cut["heard_words"] >= 2
        assert cut["cut_text"]


@pytest.mark.soak  # the quit key while it listens is in `test_chat_screen`
@pytest.mark.parametrize("state", ["loading", "hearing you", "thinking", "speaking", "interrupted"])
def test_the_quit_key_ends_it_cleanly(sound, speech, new_terminal, tmp_path, state):
    script = tmp_path / "script.json"
    options = {"loading": {"load_s": 6}, "thinking": {"slow_s": 4}}.get(state, {})
    script.write_text(json.dumps({"heard": ["what is the time", "stop"], "replies": [LONG], **options}))
    environment = " ".join(f"{name}='{value}'" for name, value in sound.environment.items())
    terminal = new_terminal(80, 24)
    program = f"{sys.executable} -m tests.taste_agent.audio.talker {script}"
    terminal.type(f"cd {ROOT}; {environment} {program} chat; echo code $?")
    terminal.keys("Enter")
    if state == "loading":
        terminal.wait_for("● loading")
    else:
        terminal.wait_for("● listening")
        time.sleep(1.5)
        sound.say(speech(QUESTION, "low"))
        if state == "interrupted":
            terminal.wait_for("● speaking")
            sound.say(speech(STOP, "low"))
        terminal.wait_for("● hearing you" if state == "interrupted" else f"● {state}")
    terminal.keys("q")
    terminal.wait_for("code 0")
