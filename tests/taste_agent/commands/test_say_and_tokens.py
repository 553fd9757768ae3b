import importlib
import io
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from taste_agent import cli
from taste_agent.dialog.loading import load_model
from taste_agent.dialog.sound import read_aloud, taste_of_text
from taste_agent.errors import AudioDeviceError
from tests.taste_agent.audio.fake_backend import FakeBackend

QUESTION = Path(cli.__file__).parent / "demo" / "question.wav"
TEXT = "the train leaves at half past nine from the old city."


def run(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["taste-agent", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code


def test_every_word_gets_a_taste_token(tiny_model, tiny_processor):
    segment = taste_of_text(tiny_model, tiny_processor, TEXT)
    assert len(segment.words) == len(TEXT.split())
    for word in segment.words:
        assert len(word.taste) == tiny_model.num_quantizers
        assert all(0 <= code < 16 for code in word.taste)


def test_a_word_depends_on_what_came_before_and_not_on_what_follows(tiny_model, tiny_processor):
    whole = taste_of_text(tiny_model, tiny_processor, TEXT).words
    half = taste_of_text(tiny_model, tiny_processor, " ".join(TEXT.split()[:5])).words
    assert whole[:5] == half


def test_same_seed_same_sound(tiny_model, tiny_processor):
    voice = tiny_processor.voices()["ada"]
    first, again, other = (
        np.concatenate(list(read_aloud(tiny_model, tiny_processor, TEXT, voice, seed))) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert first.size > 1000
    assert first.shape != other.shape or not np.array_equal(first, other)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("text", ["hello there", "stop", TEXT])
def test_what_is_said_begins_and_ends_in_silence(text, seed, tiny_model, tiny_processor):
    voice = tiny_processor.voices()["ada"]
    samples = np.concatenate(list(read_aloud(tiny_model, tiny_processor, text, voice, seed)))
    assert np.sqrt(np.mean(samples[:320] ** 2)) < 10 ** (-50 / 20)
    assert np.sqrt(np.mean(samples[-160:] ** 2)) < 10 ** (-50 / 20)


def test_what_is_said_is_a_whole_sentence(tiny_model, tiny_processor, monkeypatch):
    read = []

    def reading(model, processor, text):
        read.append(text)
        return taste_of_text(model, processor, text)

    monkeypatch.setattr("taste_agent.dialog.sound.taste_of_text", reading)
    list(read_aloud(tiny_model, tiny_processor, "hello there", tiny_processor.voices()["ada"], 1))
    assert read == ["Hello there."]


def test_say_names_what_it_cannot_say_before_it_loads(monkeypatch, tmp_path, capsys):
    say = importlib.import_module("taste_agent.commands.say")
    monkeypatch.setattr(say, "load_model", lambda *_: pytest.fail("the model was loaded"))
    assert run(monkeypatch, "say", "Say 你好 to her.", "--out", tmp_path / "say.wav") == 1
    assert (
        capsys.readouterr()
        .err.strip()
        .endswith("cannot say '你好' (Chinese); this checkpoint speaks only English; write it in English")
    )


def test_say_writes_a_file(tiny_checkpoint, monkeypatch, tmp_path, capsys):
    out = tmp_path / "say.wav"
    assert run(monkeypatch, "say", TEXT, "--model", tiny_checkpoint, "--out", out, "--seed", 1) == 0
    samples, rate_hz = soundfile.read(out)
    assert rate_hz == 16000
    assert f"{samples.size / rate_hz:.1f} s of speech in {out}" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", ["flac", "ogg", "mp3"])
def test_say_writes_the_format_of_the_name(tiny_checkpoint, monkeypatch, tmp_path, suffix):
    out = tmp_path / f"say.{suffix}"
    assert run(monkeypatch, "say", TEXT, "--model", tiny_checkpoint, "--out", out, "--seed", 1) == 0
    assert soundfile.info(out).format == suffix.upper()


def test_say_reads_stdin(tiny_checkpoint, monkeypatch, tmp_path):
    for name, text in (("a.wav", TEXT), ("b.wav", "-")):
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(f"{TEXT}\n".encode())))
        arguments = ("--model", tiny_checkpoint, "--out", tmp_path / name, "--seed", 1)
        assert run(monkeypatch, "say", text, *arguments) == 0
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


@pytest.fixture
def _nothing_is_loaded(monkeypatch):
    for command in ("say", "tokens"):
        module = importlib.import_module(f"taste_agent.commands.{command}")
        monkeypatch.setattr(module, "load_model", lambda *_, **__: pytest.fail("the model was loaded"))


@pytest.mark.usefixtures("_nothing_is_loaded")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("say", TEXT, "--out", "none/say.wav"), "none/say.wav; name a .wav file in an existing folder"),
        (("say", TEXT, "--out", "say.xyz"), "its name must end in .wav, .flac, .ogg, .mp3"),
        (("say", TEXT, "--out", "a.wav", "--voice", "nobody"), "no voice and no audio file 'nobody'"),
        (("say", TEXT, "--out", "a.wav", "--voice", "none.wav"), "the recording none.wav does not exist"),
        (("say", TEXT, "--out", "a.wav", "--device", "mps"), "device mps is not available here"),
        (("say", " ", "--out", "a.wav"), "the text is empty; give at least one word"),
        (("tokens", "none.wav"), "none.wav does not exist"),
        (("tokens", "long.wav"), "long.wav lasts 31.0 s; at most 30 s are allowed: split it into parts"),
        (("tokens", "long.wav", "--text", ""), "the text is empty; give at least one word"),
    ],
)
def test_what_can_be_checked_is_checked_first(
    tiny_checkpoint, monkeypatch, tmp_path, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    soundfile.write("long.wav", np.random.default_rng(0).standard_normal(31 * 16000) * 0.1, 16000)
    assert run(monkeypatch, *arguments, "--model", tiny_checkpoint) == 1
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["long.wav"]


@pytest.mark.usefixtures("_nothing_is_loaded")
@pytest.mark.parametrize("arguments", [("say", TEXT, "--out", "a.wav"), ("tokens", "nothere.wav")])
def test_a_mistyped_checkpoint_is_told_first(monkeypatch, tmp_path, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *arguments, "--model", "smal") == 1
    assert "no checkpoint 'smal'" in capsys.readouterr().err


class Loudspeaker:
    """Takes blocks while `say` sleeps; `lives_s` is when it stops to."""

    def __init__(self, backend, monkeypatch, lives_s=1e9):
        self.now_s, self.heard = 0.0, []
        self._backend, self._lives_s = backend, lives_s
        say = importlib.import_module("taste_agent.commands.say")
        monkeypatch.setattr(say, "PortAudioBackend", lambda: backend)
        monkeypatch.setattr(say, "portaudio", lambda: None)
        for module in ("commands.say", "audio.sound_card", "audio.streams"):
            clock = SimpleNamespace(sleep=self._sleep, monotonic=lambda: self.now_s)
            monkeypatch.setattr(f"taste_agent.{module}.time", clock)

    def _sleep(self, seconds):
        stream = self._backend.last("output")
        block_s = stream.block / stream.rate_hz
        for _ in range(round(seconds / block_s)):
            self.now_s += block_s
            assert self.now_s < 60, "it does not end"
            if self.now_s < self._lives_s:
                self.heard.append(stream.take(stream.block))

    def samples(self):
        return np.concatenate(self.heard)


@pytest.mark.parametrize(("rate_hz", "channels"), [(16000, 1), (48000, 2)])
def test_say_plays_at_a_rate_of_the_device(tiny_checkpoint, monkeypatch, tmp_path, rate_hz, channels):
    backend = FakeBackend(rates=(rate_hz,), channels=(channels,))
    loudspeaker = Loudspeaker(backend, monkeypatch)
    out = tmp_path / "say.wav"
    spoken = ("say", TEXT, "--model", tiny_checkpoint, "--seed", 1)
    assert run(monkeypatch, *spoken) == 0
    assert run(monkeypatch, *spoken, "--out", out) == 0
    assert (backend.last("output").rate_hz, backend.last("output").channels) == (rate_hz, channels)
    assert backend.open_streams == 0
    written, _ = soundfile.read(out)
    heard = loudspeaker.samples()[:: rate_hz // 16000]
    begins, ends = np.flatnonzero(heard)[[0, -1]]
    assert (ends - begins) / 16000 == pytest.approx(np.ptp(np.flatnonzero(written)) / 16000, abs=0.05)


@pytest.mark.parametrize("size", [700, 25 * 16000 + 7])  # less than a block, more than the queue holds
def test_say_plays_everything_without_a_gap(monkeypatch, size):
    loudspeaker = Loudspeaker(FakeBackend(), monkeypatch)
    say = importlib.import_module("taste_agent.commands.say")
    samples = np.random.default_rng(0).standard_normal(size).astype(np.float32)
    say._play(samples, "")
    heard = loudspeaker.samples()
    faded = 128  # 8 ms at the start
    np.testing.assert_array_equal(heard[faded:size], samples[faded:])
    assert not heard[size:].any()


@pytest.mark.parametrize(
    ("rates", "lives_s", "wanted", "reason"),
    [
        ((), 1e9, "", "'box' cannot be opened: Invalid sample rate; choose another with --output .*"),
        ((16000,), 1.0, "", "the loudspeaker stopped; choose another with --output"),
        ((16000,), 1e9, "9", "there is no output device 9; allowed: 1 'box'"),
    ],
)
def test_say_tells_why_nothing_is_heard_and_the_way_out(monkeypatch, rates, lives_s, wanted, reason):
    backend = FakeBackend(rates=rates)
    Loudspeaker(backend, monkeypatch, lives_s)
    say = importlib.import_module("taste_agent.commands.say")
    with pytest.raises(AudioDeviceError, match=f"{reason}; or write a sound file with --out$"):
        say._play(np.ones(5 * 16000, dtype=np.float32), wanted)
    assert backend.open_streams == 0


def test_tokens_lists_each_word(tiny_checkpoint, monkeypatch, tmp_path, capsys):
    wav = tmp_path / "noise.wav"
    soundfile.write(wav, np.random.default_rng(0).standard_normal(16000) * 0.1, 16000)
    assert (
        run(monkeypatch, "tokens", wav, "--model", tiny_checkpoint, "--text", "the old library", "--json")
        == 0
    )
    rows = json.loads(capsys.readouterr().out)
    assert [row["word"] for row in rows] == ["the", "old", "library"]
    assert all(len(row["taste"]) == 3 for row in rows)
    assert [row["start_s"] for row in rows] == [None] * 3, "noise says nothing, so it has no times"


def test_tokens_tells_when_and_how_high(tiny_checkpoint, monkeypatch, capsys):
    said = ("--text", "what is the capital of italy")
    assert run(monkeypatch, "tokens", QUESTION, "--model", tiny_checkpoint, *said, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert all(0.5 < row["start_s"] < row["end_s"] < 3.0 for row in rows)
    assert all(90 < row["pitch_hz"] < 170 for row in rows), "a man's"
    assert [row["start_s"] for row in rows] == sorted(row["start_s"] for row in rows)
    assert run(monkeypatch, "tokens", QUESTION, "--model", tiny_checkpoint, *said) == 0
    shown = capsys.readouterr().out
    start_s, end_s, pitch_hz = (rows[3][name] for name in ("start_s", "end_s", "pitch_hz"))
    length_ms = 1000 * (end_s - start_s)
    assert re.search(rf"capital .* {start_s:.2f} s .* {length_ms:.0f} ms .* {pitch_hz:.0f} Hz", shown)
    monkeypatch.setenv("COLUMNS", "40")
    assert run(monkeypatch, "tokens", QUESTION, "--model", tiny_checkpoint, *said) == 0
    shown = capsys.readouterr().out
    assert re.search(rf"capital .* {start_s:.2f} s .* {pitch_hz:.0f} Hz", shown)
    assert "…" not in shown


def test_tokens_of_a_pipe(tiny_checkpoint, monkeypatch, capsys):
    with QUESTION.open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        arguments = ("--model", tiny_checkpoint, "--text", "what is the capital of italy", "--json")
        assert run(monkeypatch, "tokens", "-", *arguments) == 0
    assert len(json.loads(capsys.readouterr().out)) == 6


def test_tokens_of_a_missing_file(monkeypatch, capsys):
    assert run(monkeypatch, "tokens", "nowhere.wav") == 1
    assert "nowhere.wav does not exist" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["say", "tokens"])
def test_the_number_type_of_the_settings_holds(command, tiny_checkpoint, monkeypatch, tmp_path):
    module = importlib.import_module(f"taste_agent.commands.{command}")
    loaded = []

    def spy(*arguments, **options):
        loaded.append(load_model(*arguments, **options))
        return loaded[-1]

    monkeypatch.setattr(module, "load_model", spy)
    wav, config = tmp_path / "noise.wav", tmp_path / "my.yaml"
    soundfile.write(wav, np.random.default_rng(0).standard_normal(16000) * 0.1, 16000)
    config.write_text(f"model: {{checkpoint: '{tiny_checkpoint}', device: cpu, dtype: bfloat16}}")
    of_command = {"say": (TEXT, "--out", tmp_path / "said.wav"), "tokens": (wav, "--text", "the old library")}
    assert run(monkeypatch, command, *of_command[command], "--config", config) == 0
    assert (
        run(monkeypatch, command, *of_command[command], "--config", config, "--set", "model.dtype=int8") == 0
    )
    (first, _), (second, _) = loaded
    assert first.spoken_lm.language_model.dtype == torch.bfloat16
    kinds = {type(module).__module__ for module in second.spoken_lm.modules()}
    assert any("quantized" in kind for kind in kinds)
