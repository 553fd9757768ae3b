import numpy as np
import pytest

from taste_agent.config import VadSettings
from taste_agent.turns.vad import FrameClassifier, VadMachine, VadStarted, VadStopped
from tests.taste_agent.speech import RATE, at_level, spoken

FRAME = 320


def run(pattern: str, settings: VadSettings | None = None) -> list[tuple[int, object]]:
    """One character a frame, `#` is speech; returns (frame index, change)."""
    machine = VadMachine(settings or VadSettings(start_ms=100, start_window_ms=160, stop_ms=200))
    changes = [(i, machine.push(c == "#")) for i, c in enumerate(pattern)]
    return [(i, change) for i, change in changes if change is not None]


def test_starts_after_enough_speech_and_remembers_where_it_began():
    assert run("...#####") == [(7, VadStarted(3 * FRAME))]


def test_speech_with_a_hole_starts_within_the_window():
    assert run("##.##.#") == [(6, VadStarted(0))]


@pytest.mark.parametrize("pattern", ["####", "#.#.#.#.#.", "##......##......##"])
def test_short_or_sparse_sounds_do_not_start(pattern):
    assert run(pattern + "." * 20) == []


def test_stops_after_silence_and_reports_the_last_speech_sample():
    assert run("######" + "." * 10) == [(4, VadStarted(0)), (15, VadStopped(6 * FRAME))]


def test_silence_shorter_than_stop_ms_goes_on():
    assert run("######" + "." * 8 + "###") == [(4, VadStarted(0))]


def test_a_lone_speech_frame_does_not_keep_speech_alive():
    assert run("######" + "...#......" + "...")[-1] == (15, VadStopped(6 * FRAME))


def test_stop_ends_running_speech_once():
    machine = VadMachine(VadSettings())
    for _ in range(20):
        machine.push(True)
    assert machine.stop() == VadStopped(20 * FRAME)
    assert machine.stop() is None


@pytest.mark.parametrize("frame_ms", [10, 20, 30])
def test_times_do_not_depend_on_the_frame_length(frame_ms):
    settings = VadSettings(frame_ms=frame_ms, start_ms=120, start_window_ms=180, stop_ms=240)
    frames = "." * (300 // frame_ms) + "#" * (600 // frame_ms) + "." * (600 // frame_ms)
    started, stopped = (change for _, change in run(frames, settings))
    assert (started, stopped) == (VadStarted(4800), VadStopped(14400))


def stops_of(sound: np.ndarray) -> list[int]:
    classifier, machine = FrameClassifier(VadSettings()), VadMachine(VadSettings())
    frames = sound[: len(sound) // FRAME * FRAME].reshape(-1, FRAME)
    changes = (machine.push(classifier.judge(frame).is_speech) for frame in frames)
    return [change.last_sample for change in changes if isinstance(change, VadStopped)]


def in_a_quiet_room(sound: np.ndarray) -> np.ndarray:
    padded = np.pad(sound, (RATE // 2, RATE))
    return padded + np.random.default_rng(0).normal(0, 3e-4, len(padded)).astype(np.float32)


@pytest.mark.parametrize(
    "text", ["What is the capital of Italy?", "Tell me a story.", "My faucet drips all night."]
)
def test_soft_speech_ends_where_loud_speech_does(text):
    sound, fade = spoken(text).copy(), round(0.4 * RATE)  # as voices do at the end of a sentence, by 30 dB
    sound[-fade:] *= np.logspace(0, -1.5, fade, dtype=np.float32)
    loud, soft = (stops_of(in_a_quiet_room(at_level(sound, dbfs)))[-1] for dbfs in (-18.0, -36.0))
    assert loud - soft <= 0.08 * RATE


def test_sound_that_never_was_loud_enough_is_silence():
    assert stops_of(in_a_quiet_room(at_level(spoken("What is the capital of Italy?"), -62.0))) == []


def test_a_soft_voice_far_away_does_not_keep_speech_alive():
    near, far = at_level(spoken("How do I sleep better?"), -30.0), at_level(spoken("Tell me a story."), -60.0)
    alone, both = (stops_of(in_a_quiet_room(sound))[0] for sound in (near, np.concatenate([near, far])))
    assert both - alone <= 0.5 * RATE
