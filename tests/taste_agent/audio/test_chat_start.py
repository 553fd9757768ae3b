"""A chat whose model is still being loaded listens already."""

import time

import pytest

from taste_agent.ui.chat_views import SPEAK_ALREADY
from tests.taste_agent.audio.test_chat_on_pulseaudio import chat

__all__ = ["chat"]
pytestmark = pytest.mark.audio


def test_what_is_said_while_the_model_is_loaded_is_answered(chat, sound, speech):
    talk = chat(["what is the time"], ["it is five o clock"], load_s=12)
    while SPEAK_ALREADY not in talk.errors.read_text():
        assert talk.process.poll() is None
        time.sleep(0.1)
    time.sleep(1.5)  # the streams begin to flow
    sound.say(speech("What is the time please?", "low"))
    assert talk.kinds() == []
    assert talk.wait_for("user_turn", 60)["text"] == "what is the time"
    assert talk.wait_for("reply_finished", 60)["text"] == "it is five o clock"
