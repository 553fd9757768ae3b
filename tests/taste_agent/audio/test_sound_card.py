import threading
import time

import numpy as np
import pytest

from taste_agent.audio.devices import Routes, StuckError
from taste_agent.audio.echo import HalfDuplexGate
from taste_agent.audio.loudspeaker import DeviceSink
from taste_agent.audio.microphone import DeviceSource
from taste_agent.audio.sound_card import SoundCard
from taste_agent.config import DeviceSettings
from taste_agent.errors import AudioDeviceError
from tests.taste_agent.audio.fake_backend import BLOCK, UNDERFLOW, FakeBackend

RATE_HZ = 16000


def new_card(backend, **settings):
    notices = []
    card = SoundCard(DeviceSettings(**settings), lambda level, text: notices.append(text), backend)
    card._open("output")
    card._open("input")
    return card, notices


def flow(backend, now=20):
    for _ in range(now):
        for stream in backend.opened:
            if stream.active:
                stream.give(np.zeros(BLOCK)) if stream.direction == "input" else stream.take()


def test_engine_rate_is_taken_where_the_device_can():
    backend = FakeBackend(rates=(16000, 48000))
    card, _ = new_card(backend)
    assert (card.capture.rate_hz, backend.last("input").channels) == (16000, 1)


def test_else_the_device_gets_its_own_rate_and_channels():
    backend = FakeBackend(rates=(48000,), channels=(2,))
    card, _ = new_card(backend)
    assert (card.capture.rate_hz, card.playback.rate_hz) == (48000, 48000)
    assert backend.last("output").channels == 2


def test_what_cannot_be_opened_is_told_with_the_reason():
    card = SoundCard(DeviceSettings(), lambda *_: None, FakeBackend(rates=()))
    with pytest.raises(
        AudioDeviceError, match=r"'box' cannot be opened: Invalid sample rate; choose .*--output"
    ):
        card.open()


def test_stream_that_does_not_start_is_closed_before_the_next_attempt():
    backend = FakeBackend(rates=(16000, 48000))
    backend.start_errors[16000] = OSError("no such format")
    card, _ = new_card(backend)
    assert (card.capture.rate_hz, card.playback.rate_hz) == (48000, 48000)
    assert [stream.rate_hz for stream in backend.opened if stream.is_open] == [48000, 48000]


def test_error_of_closing_does_not_hide_why_the_stream_did_not_start():
    backend = FakeBackend()
    backend.start_errors[16000] = OSError("no such format")
    backend.close_error = OSError("closed already")
    with pytest.raises(AudioDeviceError, match="cannot be opened: no such format"):
        new_card(backend)
    assert backend.open_streams == 0


def test_stream_whose_start_hangs_is_not_closed():
    backend = FakeBackend()
    backend.start_errors[16000] = StuckError("the audio system does not answer")
    with pytest.raises(AudioDeviceError, match="the audio system does not answer"):
        new_card(backend)
    assert [stream.is_open for stream in backend.opened] == [True]


def test_index_given_as_a_number_selects_that_device():
    backend = FakeBackend()
    backend.present = {"mic": True, "box": True, "webcam": True, "desk": True}
    card, _ = new_card(backend, input=2, output=1)
    assert card.names == {"input": "webcam", "output": "box"}
    assert backend.last("input").device.name == "webcam"


@pytest.mark.parametrize("wanted", ["0", "mi"])
@pytest.mark.parametrize("lost", ["mic", "box"])
def test_side_is_opened_again_by_its_name_when_the_other_one_is_lost(wanted, lost):
    backend = FakeBackend()
    card, notices = new_card(backend, retry_s=0.2, input=wanted, output="1")
    flow(backend)
    seen_s = card.capture.last_callback_s
    backend.last("input" if lost == "mic" else "output").active = False
    backend.present = {"midi": True, "webcam": True, "mic": lost != "mic", "box": lost != "box"}
    for step in range(6):
        for side in (card.capture, card.playback):
            if side is not None:
                side.last_callback_s = seen_s + step * 0.3
        card.check(seen_s + step * 0.3)
    assert backend.refreshed >= 1
    assert len(notices) == 1
    healthy = "output" if lost == "mic" else "input"
    assert card.names == {"input": "mic", "output": "box"}
    assert backend.last(healthy).active
    assert (card.capture is None) is (lost == "mic")
    assert (card.playback is None) is (lost == "box")


def test_silent_device_is_lost_and_opened_again_by_its_name():
    backend = FakeBackend()
    card, notices = new_card(backend, lost_ms=1000)
    flow(backend)
    old, seen_s = card.capture, card.capture.last_callback_s
    card.playback.last_callback_s = seen_s + 1.2
    card.check(seen_s + 0.9)
    assert card.capture is old
    card.check(seen_s + 1.1)
    assert card.capture is not None
    assert card.capture is not old
    assert notices == ["microphone 'mic' is gone; you can type meanwhile", "microphone 'mic' is back"]


def test_ended_stream_is_lost_at_once_and_tried_until_it_is_there():
    backend = FakeBackend()
    card, notices = new_card(backend, retry_s=1.0, output="box")
    flow(backend)
    seen_s = card.playback.last_callback_s
    backend.last("output").active = False
    backend.present["box"] = False
    tries = []
    for step in range(12):
        card.capture.last_callback_s = seen_s + step / 2
        card.check(seen_s + step / 2)
        tries.append(card._failed_tries)
    assert card.playback is None
    assert len(notices) == 1
    assert tries[-1] < 8  # not more than one in a second
    backend.present["box"] = True
    card.capture.last_callback_s = seen_s + 8
    card.check(seen_s + 8)
    assert card.playback is not None
    assert notices[-1] == "loudspeaker 'box' is back"


def test_device_list_is_renewed_after_some_tries_with_both_sides_closed():
    backend = FakeBackend()
    card, _ = new_card(backend, retry_s=0.2, output="box")
    flow(backend)
    healthy = backend.last("input")
    backend.last("output").active = False
    backend.present["box"] = False
    seen_s = card.capture.last_callback_s
    for step in range(6):
        card.check(seen_s + step * 0.3)
    assert backend.refreshed == 1
    assert not healthy.active
    assert card.capture is not None


def test_new_device_may_take_seconds_until_it_flows():
    backend = FakeBackend()
    card, notices = new_card(backend, lost_ms=1000)
    card.check(card.capture.last_callback_s + 3)
    assert notices == []


@pytest.mark.parametrize(("dry", "block"), [(3, 480), (50, 720)])
def test_loudspeaker_that_does_not_stop_running_dry_gets_longer_blocks(dry, block):
    backend = FakeBackend()
    card, notices = new_card(backend, output_block_ms=30)
    flow(backend)
    first = backend.last("output")
    for _ in range(dry):
        first.take(flags=UNDERFLOW)
    card.check(card.playback.last_callback_s)
    assert backend.last("output").block == block
    assert first.active is (block == 480)
    assert len(notices) == (block == 720)
    flow(backend)
    card.check(card.playback.last_callback_s)
    assert backend.last("output").block == block


def test_blocks_are_lengthened_to_a_limit():
    backend = FakeBackend()
    card, _ = new_card(backend, output_block_ms=30)
    for _ in range(8):
        for _ in range(50):
            backend.last("output").take(flags=UNDERFLOW)
        card.check(card.playback.last_callback_s)
    assert [stream.block for stream in backend.opened if stream.direction == "output"] == [
        480,
        720,
        1088,
        1600,
    ]


def test_loudspeaker_that_ran_dry_may_take_seconds_until_it_flows_again():
    backend = FakeBackend()
    card, notices = new_card(backend, lost_ms=1000)
    flow(backend)
    backend.last("output").take(flags=UNDERFLOW)
    for seconds, lost in ((3, 0), (6, 1)):
        card.capture.last_callback_s = card.playback.last_callback_s + seconds
        card.check(card.playback.last_callback_s + seconds)
        assert len([text for text in notices if "gone" in text]) == lost


ALONE = Routes("speaker.monitor", "speaker")
HEARD = Routes("headset", "speaker")


def test_microphone_that_the_server_replaced_by_the_loudspeaker_is_lost_until_there_is_one():
    backend = FakeBackend()
    card, notices = new_card(backend, retry_s=1.0)
    flow(backend)
    now_s = card.capture.last_callback_s
    backend.routed = ALONE
    for step in range(1, 100):  # blocks go on coming, with silence in them
        flow(backend, 1)
        card.capture.last_callback_s = card.playback.last_callback_s = now_s + step / 10
        card.check(now_s + step / 10)
        if card.capture is None:
            break
    assert step / 10 <= 4
    assert notices == ["microphone 'mic' is gone; you can type meanwhile"]
    assert not backend.last("input").active
    for routed in (ALONE, ALONE, HEARD):
        now_s += 5
        card.playback.last_callback_s = now_s
        backend.routed = routed
        card.check(now_s)
        assert (card.capture is None) is (routed is ALONE)
    assert notices[1:] == ["microphone 'mic' is back"]


def test_loudspeaker_that_comes_back_alone_does_not_pass_for_a_microphone():
    backend = FakeBackend()
    card, notices = new_card(backend)
    flow(backend)
    backend.last("input").active = backend.last("output").active = False
    backend.routed = ALONE
    card.check(card.capture.last_callback_s + 1)
    assert card.playback is not None
    assert card.capture is None
    assert "microphone 'mic' is back" not in notices


def test_microphone_that_gives_sound_is_asked_about_now_and_then_only():
    backend = FakeBackend()
    card, notices = new_card(backend)
    flow(backend)
    backend.routed = HEARD
    now_s = card.capture.last_callback_s
    for _ in range(300):  # half a minute
        now_s += 0.1
        card.capture.last_callback_s = card.capture.last_sound_s = card.playback.last_callback_s = now_s
        card.check(now_s)
    assert 2 <= backend.asked <= 4
    assert notices == []


@pytest.mark.parametrize(
    "routed", [None, HEARD, Routes("headset.monitor", "speaker"), Routes("x.monitor", None)]
)
def test_silent_microphone_is_not_lost(routed):
    backend = FakeBackend()
    card, notices = new_card(backend)
    flow(backend)
    backend.routed = routed
    now_s = card.capture.last_callback_s
    for step in range(100):
        card.capture.last_callback_s = card.playback.last_callback_s = now_s + step / 10
        card.check(now_s + step / 10)
    assert backend.asked >= 3
    assert notices == []


def test_side_that_was_closed_for_the_other_and_is_not_there_again_is_told():
    backend = FakeBackend()
    card, notices = new_card(backend, retry_s=0.2, output="box")
    flow(backend)
    backend.last("output").active = False
    backend.present["box"] = False
    seen_s = card.capture.last_callback_s
    for step in range(6):
        backend.present["mic"] = False  # unplugged while nobody listens to it
        if card.capture is not None:
            card.capture.last_callback_s = seen_s + step * 0.3
        card.check(seen_s + step * 0.3)
    assert backend.refreshed >= 1
    assert notices[:2] == [
        "loudspeaker 'box' is gone; you can type meanwhile",
        "microphone 'mic' is gone; you can type meanwhile",
    ]
    backend.present.update(mic=True, box=True)
    card.check(seen_s + 3)
    assert notices[2:] == ["loudspeaker 'box' is back", "microphone 'mic' is back"]


def test_watching_goes_on_after_an_error_of_portaudio():
    backend, notices = FakeBackend(), []
    calls = []

    def fail():
        calls.append(time.monotonic())
        raise OSError("PortAudio not initialized")

    card = SoundCard(DeviceSettings(retry_s=0.2), lambda level, text: notices.append(text), backend)
    card.open()
    backend.refresh = fail
    backend.last("input").active = backend.last("output").active = False
    backend.present.update(mic=False, box=False)
    deadline_s = time.monotonic() + 20
    while len(calls) < 3 and time.monotonic() < deadline_s:
        time.sleep(0.01)
    backend.refresh = lambda: None
    backend.present.update(mic=True, box=True)
    while "microphone 'mic' is back" not in notices and time.monotonic() < deadline_s:
        time.sleep(0.01)
    card.close()
    assert notices.count("checking the sound devices failed: PortAudio not initialized") == 1
    assert calls[2] - calls[0] >= 0.35  # not at every look of the watcher
    assert "microphone 'mic' is back" in notices


class Time:
    def __init__(self):
        self.now_s = 100.0

    def now(self):
        return self.now_s

    def sleep(self, seconds):
        self.now_s += seconds


def test_stalled_microphone_becomes_silence_at_the_pace_of_the_clock():
    backend, clock = FakeBackend(), Time()
    card, _ = new_card(backend)
    source = DeviceSource(card, None, DeviceSettings(stall_ms=200), now=clock.now, sleep=clock.sleep)
    source._take()
    backend.last("input").give(np.full(BLOCK, 0.5))
    assert (source.read() == 0.5).all()
    assert not source.stalled
    silence = np.concatenate([source.read() for _ in range(10)])
    assert source.stalled
    assert not silence.any()
    assert silence.size / RATE_HZ == pytest.approx(clock.now_s - 100.0, abs=0.01)
    backend.last("input").give(np.full(BLOCK, 0.5))
    assert (source.read() == 0.5).all()
    assert not source.stalled


@pytest.mark.parametrize(("idle", "expected_ms"), [(False, 22), (True, 42)])
def test_while_nobody_speaks_two_blocks_are_waited_for(idle, expected_ms):
    waits = []
    backend, clock = FakeBackend(), Time()

    def sleep(seconds):
        waits.append(seconds)
        backend.last("input").give(np.full(BLOCK, 0.5))

    card, _ = new_card(backend)
    source = DeviceSource(card, None, DeviceSettings(), now=clock.now, sleep=sleep)
    source.idle = idle
    card.capture.last_callback_s = clock.now_s
    source._take()
    source.read()
    assert waits == [pytest.approx(expected_ms / 1000)]


@pytest.mark.parametrize("canceller", [None, HalfDuplexGate()])
def test_the_source_tells_how_old_its_last_sample_is(canceller):
    backend = FakeBackend()
    card, _ = new_card(backend)
    source = DeviceSource(card, canceller, DeviceSettings())
    source._take()
    assert source.latency_samples == 0  # nothing is known yet
    backend.last("input").give(np.full(BLOCK, 0.5))
    source.read()
    before = source.latency_samples
    source._now = lambda: time.monotonic() + 0.5
    assert source.latency_samples - before == pytest.approx(0.5 * RATE_HZ, abs=0.2 * RATE_HZ)


def test_time_before_the_first_read_is_no_silence():
    backend, clock = FakeBackend(), Time()
    card, _ = new_card(backend)
    source = DeviceSource(card, None, DeviceSettings(stall_ms=200), now=clock.now, sleep=clock.sleep)
    clock.now_s += 60.0  # the model is being loaded
    assert source.read().size / RATE_HZ < 0.3


def test_a_side_is_not_lost_while_nobody_watches(monkeypatch):
    notices = []
    card = SoundCard(DeviceSettings(), lambda level, text: notices.append(text), FakeBackend())
    card.open(watch=False)
    try:
        for side in (card.capture, card.playback):
            side.last_callback_s -= 60.0
        card.watch()
        card.check(time.monotonic())
        assert notices == []
    finally:
        card.close()


def test_closing_leaves_a_device_call_behind_that_does_not_return(monkeypatch):
    monkeypatch.setattr("taste_agent.audio.sound_card.WATCHER_LIMIT_S", 0.05)
    asked, returns = threading.Event(), threading.Event()
    backend = FakeBackend()
    card = SoundCard(DeviceSettings(), lambda level, text: None, backend)
    card.open(watch=False)

    def hang(now_s):
        asked.set()
        returns.wait()

    monkeypatch.setattr(card, "check", hang)
    card.watch()
    assert asked.wait(10)
    closing = threading.Thread(target=card.close, daemon=True)
    closing.start()
    closing.join(10)
    assert not closing.is_alive()
    assert backend.open_streams == 2  # they may be what the call is about
    returns.set()


def test_opening_is_not_tried_again_where_the_sound_server_hangs():
    backend = FakeBackend(rates=(44100,))
    calls = []

    def hang(*options):
        calls.append(options)
        raise StuckError("the audio system does not answer")

    backend.open = hang
    with pytest.raises(AudioDeviceError, match="does not answer"):
        SoundCard(DeviceSettings(output="box"), lambda level, text: None, backend).open()
    assert len(calls) == 1


def test_source_ends_when_it_is_closed():
    card, _ = new_card(FakeBackend())
    source = DeviceSource(card, None, DeviceSettings())
    source.close()
    assert source.read() is None


class Recorder:
    """A canceller that notes what it is given."""

    rate_hz = RATE_HZ

    def __init__(self):
        self.near, self.far = [], []

    def process(self, near, far):
        self.near.append(near.copy())
        self.far.append(far.copy())
        return near * 2


def test_canceller_gets_every_sample_in_frames():
    backend = FakeBackend()
    card, _ = new_card(backend)
    canceller = Recorder()
    source = DeviceSource(card, canceller, DeviceSettings())
    source._take()
    heard = []
    sent = np.arange(1000, dtype=np.float32)
    for part in np.array_split(sent, 7):
        backend.last("input").give(part)
        heard.append(source._take())
    np.testing.assert_array_equal(np.concatenate(heard), 2 * sent[:960])
    assert {frame.size for frame in canceller.near + canceller.far} == {160}


def sink_on(backend, **settings):
    card, _ = new_card(backend, **settings)
    return card, DeviceSink(card, DeviceSettings(**settings))


def test_sink_tops_up_and_trims_only_silence():
    backend = FakeBackend()
    card, sink = sink_on(backend, output_queue_ms=60, block_ms=20)
    sink.write(np.zeros(BLOCK, dtype=np.float32))
    assert card.playback.queue.available == BLOCK + 960
    for _ in range(10):
        sink.write(np.full(BLOCK, 0.1, dtype=np.float32))
    assert card.playback.queue.available == 11 * BLOCK + 960
    for _ in range(5):
        sink.write(np.zeros(BLOCK, dtype=np.float32))
    assert card.playback.queue.available == 11 * BLOCK + 960


def test_what_longer_blocks_leave_queued_is_not_trimmed():
    backend = FakeBackend()
    card, sink = sink_on(backend, output_queue_ms=60, block_ms=20, output_block_ms=30)
    loud, silence = np.full(BLOCK, 0.1, dtype=np.float32), np.zeros(BLOCK, dtype=np.float32)

    def grows_in_silence():
        for _ in range(6):
            sink.write(loud)
        before = card.playback.queue.available
        sink.write(silence)
        return card.playback.queue.available > before

    flow(backend)
    assert not grows_in_silence()  # 120 ms: more than the target and a block of either side
    for _ in range(50):
        backend.last("output").take(flags=UNDERFLOW)
    card.check(card.playback.last_callback_s)
    assert card.output_block_ms > 30
    assert grows_in_silence()


def test_a_stop_inside_a_word_is_not_lengthened():
    card, sink = sink_on(FakeBackend(), output_queue_ms=100, block_ms=20)
    sink.write(np.full(BLOCK, 0.1, dtype=np.float32))
    for blocks in range(2, 4):
        sink.write(np.zeros(BLOCK, dtype=np.float32))
        assert card.playback.queue.available == blocks * BLOCK
    card.playback.queue.skip(card.playback.queue.available)
    sink.write(np.zeros(10 * BLOCK, dtype=np.float32))  # more than any stop
    assert card.playback.queue.available > 1600


def test_sink_does_not_queue_a_long_silence():
    card, sink = sink_on(FakeBackend(), output_queue_ms=60, block_ms=20)
    sink.write(np.zeros(5 * RATE_HZ, dtype=np.float32))
    assert card.playback.queue.available <= (60 + 20 + 30) * RATE_HZ // 1000  # target, a block of either side


def test_sink_holds_more_after_an_underrun():
    backend = FakeBackend()
    card, sink = sink_on(backend, output_queue_ms=60, output_queue_max_ms=100)
    loud = np.full(BLOCK, 0.1, dtype=np.float32)
    for _ in range(4):
        sink.write(loud)
    for _ in range(6):
        backend.last("output").take()
    sink.write(loud)
    assert sink.underruns == 1
    assert sink.queue_ms == 90
    assert card.playback.prime_samples == 1440


def test_sink_without_a_loudspeaker_takes_everything():
    backend = FakeBackend()
    card, sink = sink_on(backend)
    card._close("output")
    sink.write(np.ones(BLOCK, dtype=np.float32))
    sink.cut(10)
    assert sink.latency_samples == 0
    assert sink.underruns == 0


@pytest.mark.parametrize(
    ("missing", "told"), [("mic", "no microphone here: "), ("box", "no loudspeaker here: ")]
)
def test_a_side_that_is_not_there_is_done_without_until_it_comes(missing, told):
    backend = FakeBackend()
    backend.present[missing] = False
    notices = []
    card = SoundCard(DeviceSettings(), lambda level, text: notices.append(text), backend)
    card.open(watch=False)
    assert (card.capture is None, card.playback is None) == (missing == "mic", missing == "box")
    assert len(notices) == 1
    assert notices[0].startswith(told)
    flow(backend)
    now_s = time.monotonic()
    card.check(now_s)
    backend.present[missing] = True
    card.check(now_s + 0.5)
    assert (backend.refreshed, len(notices)) == (0, 1)  # what there is goes on undisturbed
    flow(backend)
    card._next_try_s -= 10.0
    card.check(now_s + 0.5)
    assert card.capture
    assert card.playback
    assert notices[1].endswith("is there")


def test_a_side_that_was_named_must_be_there():
    backend = FakeBackend()
    backend.present["mic"] = False
    card = SoundCard(DeviceSettings(input="mic"), lambda *_: None, backend)
    with pytest.raises(AudioDeviceError, match="no audio input device"):
        card.open()
    assert backend.open_streams == 0


def test_the_loudspeaker_s_monitor_is_no_microphone():
    backend = FakeBackend()
    backend.routed = Routes("box.monitor", "box")
    notices = []
    card = SoundCard(DeviceSettings(), lambda level, text: notices.append(text), backend)
    card.open(watch=False)
    assert card.capture is None
    assert notices[0].startswith("no microphone")
