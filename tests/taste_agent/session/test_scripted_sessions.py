import numpy as np

from taste_agent import events as ev
from tests.taste_agent.fakes import FakeBrain, run_session
from tests.taste_agent.speech import RATE, cough, music, noise, silence, spoken, track

LONG = "this is quite a long answer and it goes on for a good while so that you can interrupt me"


def test_a_question_is_answered():
    question = spoken("what is the capital of france")
    brain = FakeBrain(["what is the capital of france"], ["the capital is paris"])
    done = run_session(track(silence(1), question, silence(3)), brain)
    assert [e.text for e in done.of(ev.UserTurn)] == ["what is the capital of france"]
    assert [e.text for e in done.of(ev.ReplyFinished)] == ["the capital is paris"]
    assert brain.history == [("user", "what is the capital of france"), ("assistant", "the capital is paris")]
    first = done.of(ev.FirstAudio)[0]
    assert first.at == np.flatnonzero(done.audio)[0] // 320 * 320 + 320
    end_of_speech = done.of(ev.TurnEnded)[0].end_of_speech
    assert abs(end_of_speech - (RATE + len(question))) < 0.1 * RATE


def test_print(capsys):
    question = spoken("what is the capital of france")
    long = FakeBrain(["tell me", "stop it please"], [LONG, "fine"])
    tell = spoken("tell me a story about a dog")
    sessions = {
        "q": (
            track(silence(1), question, silence(3)),
            FakeBrain(["what is the capital of france"], ["paris"]),
        ),
        "cough": (track(silence(1), cough(), silence(3)), FakeBrain([""], [])),
        "interrupt": (track(silence(1), tell, silence(4), spoken("stop it please"), silence(4)), long),
        "uhhuh": (
            track(silence(1), tell, silence(4), spoken("uh huh"), silence(4)),
            FakeBrain(["tell me", "uh-huh"], [LONG, "fine"]),
        ),
        "coughin": (
            track(silence(1), tell, silence(4), cough(), silence(4)),
            FakeBrain(["tell me", ""], [LONG, "fine"]),
        ),
        "music": (track(silence(1), music(10), silence(4)), FakeBrain([], [])),
        "noise": (track(silence(1), noise(10, -30), silence(4)), FakeBrain([], [])),
        "silence": (silence(10), FakeBrain([], [])),
    }
    with capsys.disabled():
        for name, (audio, brain) in sessions.items():
            done = run_session(audio, brain)
            print("=====", name, brain.history)
            for e in done.events:
                if e.kind not in ("word_heard", "reply_chunk", "partial_heard"):
                    print("  ", round(e.at / RATE, 2), e)
