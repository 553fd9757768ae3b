import pytest

from taste_agent import events as ev
from taste_agent.ui.chat_views import plain_line


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (ev.UserTurn(16000, 1, "hello", (), 0, 1), "[    1.00] You: hello"),
        (ev.ReplyFinished(32000, 1, "hi there", 0, 1.0, 0.1), "[    2.00] Agent: hi there"),
        (ev.ReplyCancelled(0, 1, "word", 1, "hi", "there"), "[    0.00] Agent: hi [not heard: there]"),
        (ev.ReplyCancelled(0, 1, "key", 0, "", "hi there"), "[    0.00] Agent: [not heard: hi there]"),
        (ev.ReplyCancelled(0, 1, "word", 2, "hi there", ""), "[    0.00] Agent: hi there"),
        (ev.SpeechDropped(0, (0,), "nothing_recognized", ""), "[    0.00] did not catch that"),
        (ev.SpeechDropped(0, (0,), "echo", "the sun is up"), "[    0.00] heard only my own echo"),
        (ev.SpeechDropped(0, (0,), "backchannel", "yes"), None),
        (ev.SpeechDropped(0, (0,), "unanswered", "um home"), "[    0.00] not answered: um home"),
        (ev.ReplyTakenUp(0, 2), "[    0.00] the reply goes on"),
        (ev.NoSpeech(0, 1), "[    0.00] nothing to say to that"),
        (ev.SessionStarted(0, "mic", "small", 320, 16000), "[    0.00] listening (small)"),
        (ev.SessionStarted(0, ev.TYPING, "small", 320, 16000), "[    0.00] ready (small)"),
        (ev.Notice(0, "warning", "microphone is gone"), "[    0.00] warning: microphone is gone"),
        (ev.Underrun(0, 1, 1600), "[    0.00] playback ran dry for 100 ms"),
        (ev.SessionEnded(0, "quit"), "[    0.00] ended (quit)"),
        (ev.WordHeard(0, 1, 0, "hi"), None),
    ],
)
def test_plain_line(event, line):
    assert plain_line(event) == line
