import sys

import numpy as np
import pytest

from taste_agent import cli
from taste_agent.audio.echo import (
    EchoBound,
    EchoFigures,
    EchoHeard,
    EchoMeter,
    EchoPath,
    HalfDuplexGate,
    WebRtcCanceller,
    echo_reach_s,
)
from taste_agent.chat import choose_canceller
from taste_agent.config import EchoSettings
from tests.taste_agent.speech import spoken

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
    figures = meter.figures()
    assert figures.return_loss_db == pytest.approx(6.0, abs=0.1)
    assert figures.enhancement_db == pytest.approx(40.0, abs=0.2)


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
    canceller = WebRtcCanceller(noise_suppression=False, delay_ms=30)
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


def run(gain_db=None, delay_ms=0, seconds=4, person_from_s=None, near_noise=1e-5):
    """Speech-like bursts from the loudspeaker, what comes back of them, and perhaps a person."""
    draw = np.random.default_rng(1)
    size = seconds * 16000
    envelope = np.repeat(draw.uniform(0.3, 1.0, size // 1600), 1600)
    far = (draw.standard_normal(size) * 0.1 * envelope).astype(np.float32)
    near = (draw.standard_normal(size) * near_noise).astype(np.float32)
    if gain_db is not None:
        delay = delay_ms * 16
        near[delay:] += far[: size - delay] * 10 ** (gain_db / 20)
    if person_from_s is not None:
        start = int(person_from_s * 16000)
        near[start:] += (draw.standard_normal(size - start) * 0.05).astype(np.float32)
    path = EchoPath()
    verdicts = []
    for i in range(0, size, FRAME):
        path.add(near[i : i + FRAME], far[i : i + FRAME])
        verdicts.append(path.negligible)
    return path, verdicts


def test_nothing_is_known_before_the_agent_has_spoken():
    path = EchoPath()
    silence = np.zeros(FRAME, dtype=np.float32)
    for _ in range(500):
        path.add(silence, silence)
    assert path.gain_db is None
    assert not path.negligible


def test_without_echo_it_is_known_soon():
    _, verdicts = run()
    assert not verdicts[20]
    assert verdicts[120]


@pytest.mark.parametrize("gain_db", [0, -6, -12, -20, -30])
@pytest.mark.parametrize("delay_ms", [0, 20, 200, 400, 650])
def test_an_echo_is_never_called_negligible(gain_db, delay_ms):
    path, verdicts = run(gain_db, delay_ms)
    assert not any(verdicts)
    assert path.gain_db >= gain_db - 0.5


def test_a_faint_echo_is_negligible():
    assert run(-50, 100)[1][-1]


def test_a_person_who_speaks_for_a_while_changes_nothing():
    _, verdicts = run(seconds=5, person_from_s=2.5)
    assert all(verdicts[120:])


def test_an_echo_that_comes_back_is_noticed_within_seconds():
    path = EchoPath()
    draw = np.random.default_rng(0)
    for second in range(8):
        for _ in range(100):
            far = (draw.standard_normal(FRAME) * 0.1).astype(np.float32)
            path.add(far * (0.5 if second >= 3 else 0.0), far)
    assert not path.negligible


RATE_HZ = 16000
LONG = "it is five o clock in the afternoon and the sun is still up over the quiet sea. " * 4


def level_db(samples):
    return 10 * np.log10(np.mean(np.square(samples)) + 1e-12)


def voice(seconds, pitch_hz, seed):
    """A buzz whose pitch and loudness wander, as a voice's do."""
    draw = np.random.default_rng(seed)
    size = seconds * RATE_HZ
    wander = np.interp(
        np.arange(size), np.arange(0, size + 1600, 1600), draw.uniform(0.8, 1.2, size // 1600 + 1)
    )
    phase = 2 * np.pi * np.cumsum(pitch_hz * wander) / RATE_HZ
    return (0.1 * wander * sum(np.sin(k * phase + k) / k for k in range(1, 20))).astype(np.float32)


def later(samples, delay):
    return np.concatenate([np.zeros(delay, dtype=np.float32), samples])[: samples.size]


def held_down(cleaned, near, far):
    bound = EchoBound()
    frames = range(0, far.size - FRAME + 1, FRAME)
    return np.concatenate([bound.apply(*(x[i : i + FRAME] for x in (cleaned, near, far))) for i in frames])


@pytest.mark.parametrize("delay", [0, 333, 5000])
def test_an_echo_that_was_let_through_is_held_down(delay):
    far = voice(3, 140, 0)
    near = 0.5 * later(far, delay)
    left = held_down(near, near, far)[RATE_HZ:]
    assert level_db(left) < level_db(near[RATE_HZ:]) - 25


@pytest.mark.parametrize("person_db", [0, -6, -12])
def test_a_person_over_an_echo_loses_nothing(person_db):
    far, person = voice(3, 140, 0), voice(3, 110, 1) * 10 ** (person_db / 20)
    kept = held_down(person, person + later(far, 500), far)
    assert level_db(kept) > level_db(person) - 1


def test_what_is_heard_while_nothing_is_played_is_untouched():
    person, silence = voice(2, 110, 1), np.zeros(2 * RATE_HZ, dtype=np.float32)
    np.testing.assert_array_equal(held_down(person, person, silence), person)


def test_a_way_that_jumps_lets_no_speech_through():
    far = spoken(LONG)
    far = far[: far.size // FRAME * FRAME]
    echo = later(far, 500)
    for at in range(8, far.size // RATE_HZ, 4):  # some samples are lost
        echo[at * RATE_HZ :] = later(far, 500 + 40 * at)[at * RATE_HZ :]
    canceller = WebRtcCanceller(delay_ms=30)
    cleaned = [canceller.process(echo[i : i + FRAME], far[i : i + FRAME]) for i in range(0, far.size, FRAME)]
    windows = [level_db(np.concatenate(cleaned[i : i + 10])) for i in range(400, len(cleaned) - 10, 10)]
    assert sum(level > -35 for level in windows) <= len(range(8, far.size // RATE_HZ, 4))
    assert max(windows) < -25


def room(seed, seconds=0.3):
    """The way from a loudspeaker to a microphone: the sound itself, and what the walls return."""
    later = np.random.default_rng(seed).standard_normal(int(seconds * RATE_HZ))
    later *= np.exp(-6.9 * np.arange(later.size) / later.size)
    return np.concatenate([[1.0], 0.7 * later / np.linalg.norm(later)]).astype(np.float32)


def first_reply(person_from_s=None, echo_db=None, delay_s=0.05):
    """Both sides of a first reply that begins after half a second, and where the person begins."""
    far = np.concatenate([np.zeros(RATE_HZ // 2, dtype=np.float32), spoken(LONG)])[: 3 * RATE_HZ]
    near = 0.0005 * np.random.default_rng(3).standard_normal(far.size).astype(np.float32)
    if echo_db is not None:
        reflected = np.convolve(far, room(1))[: far.size].astype(np.float32)
        near += later(reflected * 10 ** (echo_db / 20), round(delay_s * RATE_HZ))
    if person_from_s is None:
        return near, far, far.size
    said = spoken("stop, i have a question for you, please", "low")
    at = round((0.5 + person_from_s) * RATE_HZ)
    near[at : at + said.size] += said[: near.size - at]
    return near, far, at


def after(near, far):
    heard, verdicts = EchoHeard(), []
    for i in range(0, far.size - FRAME + 1, FRAME):
        heard.add(near[i : i + FRAME], far[i : i + FRAME])
        verdicts.append(heard.nothing)
    return heard, verdicts


@pytest.mark.parametrize("person_from_s", [0.05, 0.3, 0.6])
def test_who_breaks_into_the_very_first_reply_over_headphones_is_heard(person_from_s):
    near, far, at = first_reply(person_from_s)
    heard, verdicts = after(near, far)
    assert heard.nothing
    assert verdicts.index(True) * FRAME < at + 0.45 * RATE_HZ

    def cleaned(played):
        canceller = WebRtcCanceller()
        frames = range(0, far.size - FRAME + 1, FRAME)
        return np.concatenate([canceller.process(near[i : i + FRAME], played[i : i + FRAME]) for i in frames])

    late = at + round(0.45 * RATE_HZ)
    kept, alone = cleaned(far)[late:], cleaned(np.zeros_like(far))[late:]
    assert level_db(kept) > level_db(alone) - 3


@pytest.mark.parametrize("echo_db", [0, -12, -24])
@pytest.mark.parametrize("delay_s", [0.0, 0.12, 0.4])
def test_an_echo_is_soon_known_for_one(echo_db, delay_s):
    heard, _ = after(*first_reply(echo_db=echo_db, delay_s=delay_s)[:2])
    assert heard.echo
    assert not heard.nothing


def test_an_echo_with_the_usual_delay_is_never_taken_for_a_voice():
    for echo_db in (0, -12, -20):
        assert not any(after(*first_reply(echo_db=echo_db, delay_s=0.1)[:2])[1])


def test_an_echo_is_remembered_while_a_person_talks_over_it():
    near, far, at = first_reply(person_from_s=1.0, echo_db=-6)
    _, verdicts = after(near, far)
    assert not any(verdicts[at // FRAME :])


def test_nothing_is_heard_before_the_agent_has_spoken():
    near, far, _ = first_reply(person_from_s=0.3)
    assert not any(after(near, np.zeros_like(far))[1])


def test_an_echo_that_comes_back_is_canceled_at_once():
    near, far, _ = first_reply()
    echo = first_reply(echo_db=-6)[0]
    canceller, used = WebRtcCanceller(), []
    for sides in (near, far), (near, far), (echo, far):
        for i in range(0, far.size - FRAME + 1, FRAME):
            canceller.process(*(side[i : i + FRAME] for side in sides))
            used.append(canceller._bypassed)
    first, second, third = np.split(np.array(used), 3)
    assert first[-1]
    assert second.all()
    assert not third[120:].any()  # 0.7 s after it began to sound
