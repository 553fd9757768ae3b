"""Keys and typing, determinism, and what may not matter: block sizes, threads."""

import threading
import time

import numpy as np
import pytest

from taste_agent import events as ev
from taste_agent.dialog import messages as m
from taste_agent.dialog.worker import CostMeter, DialogWorker
from taste_agent.session.engine import Session
from taste_agent.session.runner import ThreadRunner
from tests.taste_agent.fakes import FakeBrain, run_session, settings
from tests.taste_agent.speech import RATE, silence, spoken, track

LONG = "this is quite a long answer and it goes on for a good while so that you can interrupt me"


def question_track(tail_s: float = 4.0) -> np.ndarray:
    return track(silence(1), spoken("tell me a story"), silence(tail_s))


def test_the_interrupt_key_cuts_the_reply_and_waits_for_the_person():
    brain = FakeBrain(["tell me a story"], [LONG, "never"])
    done = run_session(question_track(8), brain, actions={5 * RATE: Session.interrupt})
    (cut,) = done.of(ev.ReplyCancelled)
    assert (cut.reason, len(done.of(ev.TurnEnded))) == ("key", 1)
    assert brain.history[-1] == ("assistant", cut.heard_text)
    assert not done.audio[cut.at + 640 :].any()


def test_interrupting_before_the_first_word_leaves_the_question_open():
    brain = FakeBrain(["tell me a story", "about a dog"], ["never", "fine"])
    audio = np.concatenate([question_track(4), spoken("about a dog"), silence(3)])
    at = RATE + len(spoken("tell me a story")) + int(0.85 * RATE)
    done = run_session(audio, brain, actions={at: Session.interrupt})
    assert done.of(ev.ReplyCancelled)[0].heard_words == 0
    assert brain.history == [("user", "tell me a story about a dog"), ("assistant", "fine")]


def test_typing_takes_the_floor_and_is_answered():
    brain = FakeBrain(["tell me a story"], [LONG, "typed answer"])
    done = run_session(question_track(8), brain, actions={5 * RATE: lambda s: s.type_text("be brief")})
    assert done.of(ev.ReplyCancelled)[0].reason == "typed"
    assert brain.history[2:] == [("user", "be brief"), ("assistant", "typed answer")]
    assert [e.reason for e in done.of(ev.TurnEnded)] == ["silence", "typed"]


def test_playback_makes_room_for_every_reply():
    seen = []
    typed = {0: lambda s: s.type_text("hello"), RATE: lambda s: (seen.append(s), s.type_text("wait"))}
    run_session(silence(2), FakeBrain(replies=[LONG, "no"]), actions=typed)
    assert seen[0]._playback.generation == 2


@pytest.mark.parametrize("after_s", [-0.3, 0.5])
def test_what_was_said_before_something_was_typed_is_dropped_and_told(after_s):
    question = spoken("tell me a story about a dog")
    at = RATE + len(question) + int(after_s * RATE)
    brain = FakeBrain(["tell me a story", "and who are you"], ["typed answer", "i am taste"])
    audio = track(silence(1), question, silence(5), spoken("and who are you"), silence(3))
    done = run_session(audio, brain, actions={at: lambda s: s.type_text("be brief")})
    assert brain.history == [
        ("user", "be brief"),
        ("assistant", "typed answer"),
        ("user", "and who are you"),
        ("assistant", "i am taste"),
    ]
    assert 0 in [number for e in done.of(ev.SpeechDropped) for number in e.pieces if e.reason == "typed"]


def test_muting_in_mid_sentence_ends_the_turn():
    words = spoken("tell me a story about a dog and a cat and a bird")
    done = run_session(
        track(silence(1), words, words, silence(2)),
        FakeBrain(["tell me a story"], ["well"]),
        actions={2 * RATE: lambda s: s.set_muted(True)},
    )
    assert [e.reason for e in done.of(ev.TurnEnded)] == ["muted"]
    assert done.of(ev.TurnEnded)[0].at < 2.5 * RATE
    assert len(done.of(ev.SpeechStarted)) == 1


def test_push_to_talk_listens_while_the_key_is_held():
    audio = track(silence(1), spoken("ignore me"), silence(2), spoken("hear me"), silence(3))
    held = RATE + len(spoken("ignore me")) + 2 * RATE
    done = run_session(
        audio,
        FakeBrain(["hear me"], ["yes"]),
        actions={
            1: lambda s: s.set_push_to_talk(False),
            held - 3000: lambda s: s.set_push_to_talk(True),
            held + len(spoken("hear me")) + 3000: lambda s: s.set_push_to_talk(False),
        },
    )
    assert [e.reason for e in done.of(ev.TurnEnded)] == ["push_to_talk"]
    assert done.brain.history == [("user", "hear me"), ("assistant", "yes")]


def test_what_is_heard_later_counts_later():
    def late(session: Session) -> None:
        session.set_latency(RATE // 4, RATE // 2)

    now = run_session(question_track(), FakeBrain(["q"], ["one two"]))
    later = run_session(question_track(), FakeBrain(["q"], ["one two"]), actions={1: late})
    shift = [b.at - a.at for a, b in zip(now.of(ev.WordHeard), later.of(ev.WordHeard), strict=True)]
    assert shift == [RATE // 2] * 2
    (first,), (late_first,) = now.of(ev.FirstAudio), later.of(ev.FirstAudio)
    assert (first.at, first.card_ms, late_first.card_ms) == (late_first.at, 0, 750)
    assert late_first.latency_ms["waited"] == first.latency_ms["waited"] + 750
    assert first.latency_ms["waited"] == first.silence_ms + first.computing_ms


def story() -> tuple[np.ndarray, FakeBrain]:
    audio = track(question_track(4), spoken("no stop that please"), silence(4), spoken("thanks"), silence(3))
    return audio, FakeBrain(["tell me a story", "no stop that please", "thanks"], [LONG, "fine", "bye"])


@pytest.mark.parametrize("mode", ["fixed", "zero"])
def test_two_runs_are_equal(mode):
    first, second = (run_session(*story(), f"replay.compute_time={mode}") for _ in range(2))
    assert [e.to_json() for e in first.events] == [e.to_json() for e in second.events]
    assert np.array_equal(first.audio, second.audio)


@pytest.mark.parametrize("block_samples", [1, 160, 333, 4096])
def test_the_block_size_does_not_matter(block_samples):
    audio, brain = story()
    if block_samples == 1:
        audio = audio[: 4 * RATE]
    reference = run_session(audio, FakeBrain(brain.heard, list(brain.replies)), tail_s=0)
    other = run_session(audio, brain, block_samples=block_samples, tail_s=0)
    ends = min(reference.events[-1].at, other.events[-1].at)
    before = [[e.to_json() for e in o.events[:-1] if e.at <= ends] for o in (reference, other)]
    assert before[0] == before[1]
    count = min(len(reference.audio), len(other.audio))
    assert np.array_equal(reference.audio[:count], other.audio[:count])


def test_with_free_computing_the_reply_starts_with_the_end_of_the_turn():
    done = run_session(question_track(), FakeBrain(["q"], ["one two three"]), "replay.compute_time=zero")
    assert done.of(ev.FirstAudio)[0].computing_ms == 0


def test_slow_generation_makes_gaps_that_are_counted():
    slow = run_session(question_track(), FakeBrain(["q"], [LONG]), "replay.fixed.word_ms=500")
    (finished,) = slow.of(ev.ReplyFinished)
    assert finished.underruns == len(slow.of(ev.Underrun)) > 0
    assert finished.rtf > 1
    assert [e.index for e in slow.of(ev.WordHeard)] == list(range(len(LONG.split())))


def test_the_same_session_in_a_thread():
    audio, brain = story()
    config = settings()
    events: list[ev.Event] = []
    runner = ThreadRunner()
    runner.begin(DialogWorker(brain, config, CostMeter()))
    session = Session(config, runner, events.append)
    for start in range(0, len(audio), 320):
        session.process(audio[start : start + 320])
        time.sleep(0.0005)  # the fake model needs next to nothing
    session.close()
    assert [e.text for e in events if isinstance(e, ev.UserTurn)] == [
        "tell me a story",
        "no stop that please",
        "thanks",
    ]
    assert brain.history[1][0] == "assistant"
    assert LONG.startswith(brain.history[1][1])
    assert brain.history[1][1] != LONG


def test_what_is_said_before_the_model_is_there_is_answered():
    config = settings()
    events: list[ev.Event] = []
    runner = ThreadRunner()
    session = Session(config, runner, events.append)

    def hear(audio: np.ndarray) -> None:
        for start in range(0, len(audio), 320):
            session.process(audio[start : start + 320])
            time.sleep(0.0005)

    hear(question_track())
    assert "speech_ended" in [e.kind for e in events]
    assert "user_turn" not in [e.kind for e in events]
    runner.begin(DialogWorker(FakeBrain(["what is the time"], ["it is five"]), config, CostMeter()))
    hear(silence(4))
    session.close()
    assert [e.text for e in events if isinstance(e, ev.UserTurn)] == ["what is the time"]
    assert [e.text for e in events if isinstance(e, ev.ReplyFinished)] == ["it is five"]


def test_a_session_can_end_before_the_model_is_there():
    runner = ThreadRunner()
    session = Session(settings(), runner, lambda event: None)
    session.process(question_track())
    session.close()
    brain = FakeBrain(["q"], ["a"])
    runner.begin(DialogWorker(brain, settings(), CostMeter()))  # it comes too late, and ends at once
    runner.close()
    assert brain.history == []


def test_an_error_in_the_thread_reaches_the_session():
    class Broken(FakeBrain):
        def tokenize(self, text, samples):
            raise RuntimeError("out of memory")

    config = settings()
    runner = ThreadRunner()
    runner.begin(DialogWorker(Broken(["q"], ["a"]), config, CostMeter()))
    session = Session(config, runner, lambda event: None)
    audio = question_track()

    def talk() -> None:
        for start in range(0, len(audio), 320):
            session.process(audio[start : start + 320])
            time.sleep(0.0005)

    with pytest.raises(RuntimeError, match="out of memory"):
        talk()
    session.close()


def test_an_error_of_the_model_is_told_and_the_session_goes_on():
    class Picky(FakeBrain):
        def tokenize(self, text, samples):
            if text == "bad":
                raise ValueError("this text cannot be tokenized")
            return [text]

    audio = np.concatenate([question_track(4), spoken("hello there"), silence(3)])
    done = run_session(audio, Picky(["bad", "good"], ["fine"]))
    assert any("cannot be tokenized" in e.text for e in done.of(ev.Notice))
    assert done.brain.history[-2:] == [("user", "good"), ("assistant", "fine")]


def test_closing_leaves_a_step_behind_that_takes_too_long(monkeypatch):
    monkeypatch.setattr("taste_agent.session.runner.STEP_LIMIT_S", 0.05)
    go_on = threading.Event()

    class StuckBrain(FakeBrain):
        def prefill(self, segments):
            go_on.wait()

    runner = ThreadRunner()
    runner.begin(DialogWorker(StuckBrain(), settings(), CostMeter()))
    runner.submit(m.AnswerText(1, "hello"), 0)
    closing = threading.Thread(target=runner.close, daemon=True)
    closing.start()
    closing.join(10)
    assert not closing.is_alive()
    go_on.set()


def test_closing_waits_for_the_current_step_only():
    begun, go_on = threading.Event(), threading.Event()

    class SlowBrain(FakeBrain):
        def prefill(self, segments):
            begun.set()
            assert go_on.wait(10)
            return super().prefill(segments)

    brain, runner = SlowBrain(), ThreadRunner()
    runner.begin(DialogWorker(brain, settings(), CostMeter()))
    for generation in range(1, 5):
        runner.submit(m.AnswerText(generation, f"question {generation}"), 0)
    assert begun.wait(10)
    closing = threading.Thread(target=runner.close)
    closing.start()
    while not runner._closed.is_set():
        time.sleep(0.001)
    go_on.set()
    closing.join(10)
    assert brain.log == ["prefill question 1"]
