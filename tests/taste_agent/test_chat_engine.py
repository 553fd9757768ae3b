"""The engine thread with ports made of lists: no sound card, no waiting for the clock."""

import errno
import json
import threading
import time

import numpy as np
import pytest
import soundfile

from taste_agent import events as ev
from taste_agent.chat_engine import ChatEngine
from taste_agent.dialog.echo_gate import EchoGate
from taste_agent.dialog.worker import CostMeter, DialogWorker
from taste_agent.session.recording import SessionRecording
from taste_agent.session.runner import ThreadRunner
from tests.taste_agent.fakes import RATE, FakeBrain, settings

STEP = 320


class PacedSource:
    """Silence, 20 ms at a time, faster than real time; ends when closed."""

    latency_samples = 800

    def __init__(self, error_after=None):
        self.closed = False
        self.idle = False
        self.reads = 0
        self.error_after = error_after

    def read(self):
        time.sleep(0.0005)
        self.reads += 1
        if self.error_after is not None and self.reads > self.error_after:
            raise RuntimeError("the port broke")
        return None if self.closed else np.zeros(STEP, dtype=np.float32)

    def close(self):
        self.closed = True


class AttentiveSource(PacedSource):
    """A microphone that notes what it was told before each read."""

    def __init__(self):
        super().__init__()
        self.told = []

    def read(self):
        self.told.append(self.idle)
        return super().read()


class ListSink:
    latency_samples = 1600

    def __init__(self):
        self.blocks = []
        self.cuts = []
        self.closed = False

    def write(self, samples):
        self.blocks.append(samples)

    def cut(self, next_ms):
        self.cuts.append(next_ms)

    def close(self):
        self.closed = True


@pytest.fixture
def new_engine():
    engines = []

    def make(source=None, replies=("it is five o clock",), **options):
        config = settings()
        meter = CostMeter("measured", config.replay.fixed)
        runner = ThreadRunner()
        runner.begin(DialogWorker(FakeBrain(replies=list(replies)), config, meter))
        engine = ChatEngine(config, runner, source or PacedSource(), ListSink(), **options)
        engines.append(engine)
        return engine

    yield make
    for engine in engines:
        engine.stop("quit")


def wait_for(engine, kind, limit_s=20):
    seen = []
    deadline_s = time.monotonic() + limit_s
    while time.monotonic() < deadline_s:
        while engine.events:
            seen.append(engine.events.popleft())
            if isinstance(seen[-1], kind):
                return seen
        time.sleep(0.005)
    raise AssertionError(f"no {kind.__name__} among {[event.kind for event in seen]}")


def test_typed_question_is_answered_and_everything_ends(new_engine):
    before = threading.active_count()
    engine = new_engine()
    engine.start()
    engine.do(lambda session: session.type_text("what is the time"))
    seen = wait_for(engine, ev.ReplyFinished)
    assert seen[-1].text == "it is five o clock"
    heard = [event for event in seen if isinstance(event, ev.WordHeard)]
    chunk = next(event for event in seen if isinstance(event, ev.FirstAudio))
    assert chunk.card_ms == 100  # of the loudspeaker: what is typed has passed no microphone
    # A word of 0.4 s is heard when the sink's 0.1 s of latency have passed, too.
    assert heard[0].at >= chunk.at + 0.4 * RATE + 1600 - 2 * STEP
    engine.stop("quit")
    assert wait_for(engine, ev.SessionEnded)[-1].reason == "quit"
    assert not engine.running
    assert engine._sink.closed
    assert threading.active_count() <= before + 1  # the fixture's runner has ended, too


def test_the_microphone_may_take_its_time_only_while_nothing_is_going_on(new_engine):
    source = AttentiveSource()
    engine = new_engine(source=source)
    engine.start()
    engine.notice("info", "listening")
    wait_for(engine, ev.Notice)
    engine.do(lambda session: session.type_text("what is the time"))
    wait_for(engine, ev.FirstAudio)
    assert source.told[1]
    assert not source.told[-1]
    wait_for(engine, ev.ReplyFinished)
    time.sleep(0.05)
    assert source.told[-1]


def test_notices_of_other_threads_become_events(new_engine):
    engine = new_engine()
    engine.start()
    engine.notice("warning", "microphone is gone")
    assert wait_for(engine, ev.Notice)[-1].text == "microphone is gone"


def test_interrupt_from_a_key(new_engine):
    reply = "one two three four five six seven eight nine ten " * 20
    engine = new_engine(replies=[reply])
    engine.start()
    engine.do(lambda session: session.type_text("count"))
    wait_for(engine, ev.ReplyGenerated)
    wait_for(engine, ev.WordHeard)
    engine.do(lambda session: session.interrupt())
    cancelled = wait_for(engine, ev.ReplyCancelled)[-1]
    assert cancelled.reason == "key"
    # A block that was on its way, and the fade of playback.
    assert engine._sink.cuts == [20 + engine._settings.playback.fade_ms]
    assert cancelled.heard_text.startswith("one")
    assert cancelled.cut_text.endswith("ten")
    assert reply.startswith(f"{cancelled.heard_text} {cancelled.cut_text}")


def test_error_of_a_port_ends_the_session_and_is_kept(new_engine):
    engine = new_engine(source=PacedSource(error_after=5))
    engine.start()
    assert wait_for(engine, ev.SessionEnded)[-1].reason == "failed"
    engine._thread.join()
    assert str(engine.error) == "the port broke"


def test_gate_learns_the_words_that_were_heard(new_engine):
    gate = EchoGate(lambda: 0.5)
    engine = new_engine(gate=gate)
    engine.start()
    engine.do(lambda session: session.type_text("what is the time"))
    wait_for(engine, ev.ReplyFinished)
    assert [word.text for word in gate._played] == ["it", "is", "five", "o", "clock"]


def test_recording_can_be_switched_on_and_off(new_engine, tmp_path):
    engine = new_engine()
    engine.start()
    engine.record(SessionRecording(tmp_path / "first"))
    engine.do(lambda session: session.type_text("what is the time"))
    wait_for(engine, ev.ReplyFinished)
    engine.record(None)
    engine.notice("info", "done")
    wait_for(engine, ev.Notice)
    assert engine.recording is None
    both, rate_hz = soundfile.read(tmp_path / "first" / "session.wav")
    assert rate_hz == RATE
    assert np.abs(both[:, 0]).max() == 0.0
    assert np.abs(both[:, 1]).max() > 0.2
    assert "Agent: it is five o clock" in (tmp_path / "first" / "transcript.txt").read_text()
    assert '"reply_finished"' in (tmp_path / "first" / "events.jsonl").read_text()
    for path in (tmp_path / "first").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600


def test_recording_from_the_start_has_the_first_event(new_engine, tmp_path):
    engine = new_engine()
    engine.start(SessionRecording(tmp_path / "all"))
    engine.stop("quit")
    kinds = [line.split('"')[3] for line in (tmp_path / "all" / "events.jsonl").read_text().splitlines()]
    assert (kinds[0], kinds[-1]) == ("session_started", "session_ended")


class LoudSource(PacedSource):
    def read(self):
        block = super().read()
        return None if block is None else np.full(STEP, 0.25, np.float32)


def test_a_muted_microphone_is_not_recorded(new_engine, tmp_path):
    engine = new_engine(LoudSource())
    engine.do(lambda session: session.set_muted(True))
    engine.start(SessionRecording(tmp_path / "all"))
    engine.notice("info", "done")
    wait_for(engine, ev.Notice)
    engine.stop("quit")
    for name in ("person.wav", "session.wav"):
        samples, _ = soundfile.read(tmp_path / "all" / name)
        assert len(samples) > 0
        assert np.abs(samples).max() == 0.0


def test_what_the_agent_says_is_recorded_when_it_sounds(new_engine, tmp_path):
    engine = new_engine()
    engine.do(lambda session: session.type_text("what is the time"))
    engine.start(SessionRecording(tmp_path / "all"))
    first = wait_for(engine, ev.FirstAudio)[-1]
    wait_for(engine, ev.ReplyFinished)
    engine.stop("quit")
    both, _ = soundfile.read(tmp_path / "all" / "session.wav")
    assert np.flatnonzero(both[:, 1])[0] == pytest.approx(first.at, abs=2)


@pytest.mark.parametrize("part", ["_log", "_person"])
def test_a_full_disk_ends_the_recording_and_not_the_talk(new_engine, tmp_path, monkeypatch, part):
    recording = SessionRecording(tmp_path / "all")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    engine = new_engine()
    engine.start(recording)
    if part == "_log":
        monkeypatch.setattr(recording, "_log", FullLog())
    else:
        monkeypatch.setattr(recording._person, "_write_all", full)
    engine.do(lambda session: session.type_text("what is the time"))
    seen = wait_for(engine, ev.ReplyFinished)
    (notice,) = [event for event in seen if isinstance(event, ev.Notice)]
    assert "free some space" in notice.text
    assert engine.recording is None
    engine.stop("quit")
    assert engine.error is None
    assert engine._sink.closed
    assert (tmp_path / "all" / "transcript.txt").exists()


class FullLog:
    closed = False

    def write(self, _text):
        raise OSError(errno.ENOSPC, "No space left on device")

    def close(self):
        self.closed = True
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_recording_that_begins_in_the_middle_has_its_own_times(new_engine, tmp_path):
    engine = new_engine(replies=["before it", "it is five o clock"])
    engine.start()
    engine.do(lambda session: session.type_text("what is that"))
    wait_for(engine, ev.ReplyFinished)
    engine.record(SessionRecording(tmp_path / "part"))
    engine.do(lambda session: session.type_text("what is the time"))
    first = wait_for(engine, ev.FirstAudio)[-1]
    wait_for(engine, ev.ReplyFinished)
    engine.record(None)
    engine.stop("quit")
    both, _ = soundfile.read(tmp_path / "part" / "session.wav")
    events = [json.loads(line) for line in (tmp_path / "part" / "events.jsonl").read_text().splitlines()]
    (recorded,) = [event for event in events if event["kind"] == "first_audio"]
    assert recorded["at"] < first.at
    assert np.flatnonzero(both[:, 1])[0] == pytest.approx(recorded["at"], abs=2)
    assert (events[0]["kind"], events[0]["at"]) == ("session_started", 0)
    turns = json.loads((tmp_path / "part" / "transcript.json").read_text())["turns"]
    assert [turn["text"] for turn in turns] == ["what is the time", "it is five o clock"]
    assert turns[0]["start_s"] < 1
    assert turns[1]["start_s"] == pytest.approx(recorded["at"] / RATE, abs=1e-3)
