import sys

import numpy as np
import pytest

from taste_agent import cli
from taste_agent.audio.echo import EchoFigures, EchoMeter, HalfDuplexGate, WebRtcCanceller, echo_reach_s
from taste_agent.chat import choose_canceller
from taste_agent.config import EchoSettings

FRAME = 160


def noise(frames, level, seed=0):
    return (np.random.default_rng(seed).standard_normal((frames, FRAME)) * level).astype(np.float32)


def test_meter_knows_nothing_until_something_was_played():
    meter = EchoMeter()
    silence = np.zeros(FRAME, dtype=np.float32)
    for frame in noise(200, 0.1):
        meter.add(frame, frame, silence)
    assert meter.figures().enhancement_db is None


def test_meter_gives_loss_and_enhancement():
    meter = EchoMeter()
    for far in noise(200, 0.1):
        meter.add(far * 0.5, far * 0.005, far)
    figures = meter.figures(30)
    assert figures.return_loss_db == pytest.approx(6.0, abs=0.1)
    assert figures.enhancement_db == pytest.approx(40.0, abs=0.2)
    assert figures.delay_ms == 30


def test_meter_says_nothing_where_no_echo_comes_back():
    meter = EchoMeter()
    for far in noise(200, 0.1):
        meter.add(far * 1e-5, far * 1e-3, far)
    figures = meter.figures()
    assert figures.return_loss_db > 60
    assert figures.enhancement_db is None


def test_meter_does_not_take_a_person_for_an_echo_where_none_comes_back():
    meter = EchoMeter()
    for index, far in enumerate(noise(500, 0.1)):
        meter.add(far * (0.5 if index >= 400 else 1e-5), far * 0.5, far)
    assert meter.figures().enhancement_db is None


@pytest.mark.parametrize(
    ("loss_db", "enhancement_db", "reach_s"),
    [(None, None, 0.6), (0.0, 40.0, 0.3), (12.0, 5.0, 0.6), (0.0, 25.0, 0.6), (60.0, None, 0.3)],
)
def test_a_short_reach_is_believed_where_the_echo_is_gone(loss_db, enhancement_db, reach_s):
    assert echo_reach_s(EchoFigures(loss_db, enhancement_db), 0.6) == reach_s


def test_half_duplex_is_deaf_while_the_agent_sounds_and_a_moment_after():
    gate = HalfDuplexGate(hangover_ms=50)
    near, far = np.ones(FRAME, dtype=np.float32), np.full(FRAME, 0.1, dtype=np.float32)
    silence = np.zeros(FRAME, dtype=np.float32)
    heard = [bool(gate.process(near, played).any()) for played in [silence] * 2 + [far] * 3 + [silence] * 8]
    assert heard == [True] * 2 + [False] * 8 + [True] * 3


def test_canceller_removes_a_delayed_echo_of_noise_and_keeps_silence_silent():
    canceller = WebRtcCanceller(noise_suppression=False)
    canceller.set_delay_ms(30)
    far = noise(600, 0.05).reshape(-1)
    # Speech-like bursts: a canceller adapts to sound, not to a steady floor.
    far *= np.repeat(np.tile([1.0, 0.1], 30), FRAME * 10).astype(np.float32)
    echo = np.concatenate([np.zeros(480, dtype=np.float32), far])[: far.size] * 0.5
    cleaned = [canceller.process(echo[i : i + FRAME], far[i : i + FRAME]) for i in range(0, far.size, FRAME)]
    before = np.square(echo[-200 * FRAME :]).mean()
    after = np.square(np.concatenate(cleaned[-200:])).mean()
    assert 10 * np.log10(before / (after + 1e-12)) > 25
    assert canceller.figures().enhancement_db > 20


@pytest.mark.parametrize("size", [0, 159, 320])
def test_canceller_takes_frames_of_ten_milliseconds(size):
    canceller = WebRtcCanceller()
    with pytest.raises(ValueError, match="160 samples"):
        canceller.process(np.zeros(size, dtype=np.float32), np.zeros(FRAME, dtype=np.float32))


def test_canceller_rests_where_no_echo_comes_back_and_nothing_is_played():
    canceller, used = WebRtcCanceller(), []
    silence = np.zeros(FRAME, dtype=np.float32)
    for far in noise(300, 0.05):
        canceller.process(silence, far)
    original = canceller._processed

    def spy(module, samples):
        used.append(module)
        return original(module, samples)

    canceller._processed = spy
    for _ in range(150):
        canceller.process(silence, silence)
    assert canceller._module in used[:20]
    assert set(used[-40:]) == {canceller._without}
    used.clear()
    canceller.process(silence, noise(1, 0.05)[0])
    assert canceller._module in used


@pytest.fixture
def without_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "livekit.rtc", None)


@pytest.mark.usefixtures("without_library")
def test_canceller_that_is_asked_for_and_does_not_run_ends_the_chat_with_one_line(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["taste-agent", "chat", "--set", "echo.mode=webrtc"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("taste-agent: echo.mode webrtc does not work here (import of livekit.rtc")
    assert error.endswith("if you wear headphones, set echo.mode to headphones\n")
    assert error.count("\n") == 1


@pytest.mark.usefixtures("without_library")
def test_without_the_canceller_auto_falls_back_and_says_so():
    notices = []
    mode, gate = choose_canceller(EchoSettings(mode="auto"), lambda *notice: notices.append(notice))
    assert mode == "half_duplex"
    assert isinstance(gate, HalfDuplexGate)
    ((level, text),) = notices
    assert level == "warning"
    assert "auto and half_duplex listen only while the agent is silent" in text
