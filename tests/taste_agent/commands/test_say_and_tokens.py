import importlib
import json

import numpy as np
import pytest
import soundfile
import torch

from taste_agent import cli
from taste_agent.dialog.loading import load_model
from taste_agent.dialog.reading import read_aloud, taste_of_text

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


def test_say_writes_a_file(tiny_checkpoint, monkeypatch, tmp_path, capsys):
    out = tmp_path / "say.wav"
    assert run(monkeypatch, "say", TEXT, "--model", tiny_checkpoint, "--out", out, "--seed", 1) == 0
    samples, rate_hz = soundfile.read(out)
    assert rate_hz == 16000
    assert f"{samples.size / rate_hz:.1f} s of speech in {out}" in capsys.readouterr().out


def test_say_tells_where_it_cannot_write(tiny_checkpoint, monkeypatch, tmp_path, capsys):
    out = tmp_path / "none" / "say.wav"
    assert run(monkeypatch, "say", TEXT, "--model", tiny_checkpoint, "--out", out) == 1
    assert "name a .wav file in a writable folder" in capsys.readouterr().err


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
