import time

import numpy as np
import pytest
import soundfile

from taste_agent.audio.echo import WebRtcCanceller
from taste_agent.audio.loudspeaker import DeviceSink
from taste_agent.audio.microphone import DeviceSource
from taste_agent.audio.sound_card import SoundCard
from taste_agent.commands import say
from taste_agent.config import DeviceSettings

pytestmark = pytest.mark.audio
RATE_HZ = 16000


class Loop:
    """The engine's loop without an engine: plays prepared samples and keeps what it reads."""

    def __init__(self, settings, canceller=None, lead_ms=30):
        self.notices = []
        self.card = SoundCard(settings, lambda level, text: self.notices.append(text))
        self.card.open()
        self.source = DeviceSource(self.card, canceller, settings, lead_ms=lead_ms)
        self.sink = DeviceSink(self.card, settings)
        self.heard = []
        self.latencies = []

    def run(self, seconds, play=()):
        """Go on for that long; returns all that was read since `heard` was cleared."""
        play = np.asarray(play, dtype=np.float32)
        done = 0
        while done < seconds * RATE_HZ:
            block = self.source.read()
            self.heard.append(block)
            out = np.zeros(block.size, dtype=np.float32)
            part = play[done : done + block.size]
            out[: part.size] = part
            self.sink.write(out)
            self.latencies.append(self.sink.latency_samples)
            done += block.size
        return np.concatenate(self.heard)

    def run_until(self, condition, limit_s=15):
        deadline_s = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < deadline_s
            self.run(0.1)

    def close(self):
        self.source.close()
        self.sink.close()
        self.card.close()


def level_db(samples):
    return 10 * np.log10(np.mean(np.square(samples)) + 1e-12)


def delay_of(recorded, played):
    """Where `played` begins in `recorded`, in samples, and how alike they are (1 = the same)."""
    size = recorded.size + played.size
    spectrum = np.fft.rfft(recorded, size) * np.conj(np.fft.rfft(played, size))
    found = int(np.argmax(np.fft.irfft(spectrum, size)[: recorded.size]))
    part = recorded[found : found + played.size]
    return found, float(np.corrcoef(part, played[: part.size])[0, 1])


@pytest.fixture
def new_loop(sound):
    loops = []

    def make(*arguments, **options):
        loops.append(Loop(*arguments, **options))
        return loops[-1]

    yield make
    for loop in loops:
        loop.close()


@pytest.fixture
def voice(spoken):
    return soundfile.read(spoken, dtype="float32")[0]


@pytest.mark.soak  # latency and underruns are those of the machine: wants one that does nothing else
def test_what_is_written_is_heard_and_what_is_said_is_read(sound, new_loop, spoken, voice, tmp_path):
    loop = new_loop(DeviceSettings(input="microphone", output="speaker"))
    recorder = sound.record(tmp_path / "speaker.wav")
    loop.run(1.5)
    loop.latencies.clear()
    sound.say(spoken)
    heard = loop.run(4.0, play=voice)
    recorder.terminate()
    recorder.wait()
    recorded, _ = soundfile.read(tmp_path / "speaker.wav", dtype="float32")
    assert delay_of(recorded, voice)[1] > 0.98
    assert delay_of(heard, voice)[1] > 0.98
    assert loop.sink.underruns == 0
    assert 0.03 * RATE_HZ < np.median(loop.latencies) < 0.3 * RATE_HZ


def test_device_with_another_rate_is_converted(sound, new_loop, spoken, voice, monkeypatch):
    monkeypatch.setattr("taste_agent.audio.sound_card.ENGINE_RATE_HZ", 44100)
    loop = new_loop(DeviceSettings())
    assert loop.card.capture.rate_hz == loop.card.playback.rate_hz == 44100
    loop.run(0.5)
    sound.say(spoken)
    heard = loop.run(3.5)
    assert delay_of(heard, voice)[1] > 0.4  # a wrong rate gives below 0.2, a dropped block still 0.5


@pytest.mark.parametrize("rate_hz", [16000, 44100])
def test_say_is_heard_to_its_end(sound, voice, tmp_path, monkeypatch, rate_hz):
    monkeypatch.setattr("taste_agent.audio.sound_card.ENGINE_RATE_HZ", rate_hz)
    wav = tmp_path / "speaker.wav"
    recorder = sound.record(wav)
    deadline_s = time.monotonic() + 15
    while not wav.exists() or wav.stat().st_size < RATE_HZ:  # half a second; it begins late
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
    say._play(voice, "speaker")
    time.sleep(0.5)  # what comes too late for the recorder is not to pass for what was cut off
    recorder.terminate()
    recorder.wait()
    recorded, _ = soundfile.read(wav, dtype="float32")
    assert delay_of(recorded, voice)[1] > 0.98


@pytest.mark.soak  # what the canceller reaches depends on how steadily the machine keeps time
@pytest.mark.parametrize(("delay_ms", "gain_db"), [(20, 0), (200, -6)])
def test_echo_is_cancelled_and_the_person_is_not(sound, new_loop, speech, delay_ms, gain_db):
    answer, _ = soundfile.read(speech("A long answer about the sea. " * 9, voice="high"), dtype="float32")
    question = speech("Please stop, I would like to ask you something else.", voice="low")
    person, _ = soundfile.read(question, dtype="float32")
    sound.echo(delay_ms, gain_db)
    canceller = WebRtcCanceller()
    loop = new_loop(DeviceSettings(), canceller)
    loop.run(1.5)
    loop.heard.clear()
    alone = loop.run(6.0, play=answer)[2 * RATE_HZ :]
    loop.heard.clear()
    sound.say(question)
    both = loop.run(3.5, play=answer[6 * RATE_HZ :])
    assert canceller.figures().enhancement_db > 20
    assert level_db(alone) < -55
    assert level_db(both) > level_db(person) - 12


def test_cut_silences_what_is_queued(sound, new_loop, voice, tmp_path):
    loop = new_loop(DeviceSettings(output_queue_ms=400))
    recorder = sound.record(tmp_path / "speaker.wav")
    loop.run(1.5)
    loop.run(1.5, play=voice)
    loop.sink.cut(0)
    loop.run(1.0)
    recorder.terminate()
    recorder.wait()
    recorded, _ = soundfile.read(tmp_path / "speaker.wav", dtype="float32")
    sounding = np.flatnonzero(np.abs(recorded) > 1e-3)
    # 1.5 s were written, 0.4 s of them were still queued.
    assert 0.3 * RATE_HZ < sounding[-1] - sounding[0] < 1.3 * RATE_HZ


@pytest.mark.soak  # the loss of the source is not always noticed in time
@pytest.mark.parametrize("what", ["room", "speaker", "server"])
def test_lost_device_comes_back(sound, new_loop, spoken, voice, what, tmp_path):
    loop = new_loop(DeviceSettings(input="microphone", output="speaker", retry_s=0.3))
    loop.run(0.5)
    if what == "server":
        sound.stop()
    else:
        sound.remove_sink(what)
    loop.run_until(lambda: loop.notices)
    if what == "server":
        sound.start()
    else:
        sound.add_sink(what)
    loop.run_until(lambda: loop.card.capture and loop.card.playback)
    loop.heard.clear()
    recorder = sound.record(tmp_path / "speaker.wav")
    loop.run(0.5)
    sound.say(spoken)
    heard = loop.run(4.0, play=voice)
    recorder.terminate()
    recorder.wait()
    recorded, _ = soundfile.read(tmp_path / "speaker.wav", dtype="float32")
    assert delay_of(heard, voice)[1] > 0.98
    assert delay_of(recorded, voice)[1] > 0.98
    assert "is back" in loop.notices[-1]
