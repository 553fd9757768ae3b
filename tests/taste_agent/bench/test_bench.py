"""The benchmark's structure on the tiny checkpoint; no test depends on how long anything takes."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from rich.console import Console

from taste_agent.bench import BenchOptions
from taste_agent.bench.report import (
    BY_WORD,
    CHUNKS,
    REPLIES,
    STREAMED,
    Figure,
    Report,
    new_report,
    peak_memory,
    run_benchmark,
)
from taste_agent.bench.turn import (
    QUESTION,
    REPLY,
    REPLY_WORDS,
    FixedRateDetokenizer,
    FixedRateUnits,
    Subject,
    TurnCost,
    UncachedRows,
    audio_segment,
    conversation_before,
    load_subject,
    naive_forms,
)
from taste_agent.bench.turn import Turn as AnyTurn
from taste_agent.commands import bench as command
from taste_agent.errors import AgentError, SettingsError
from taste_speech.streaming.row_cache import RowCache
from taste_speech.vocoder.weight_norm import WeightNormConv

WITH_NAIVE = {
    "LM step, reply, streamed",
    "LM step, reply at turn 20",
    "one unit",
    "flow, first chunk",
    "flow, later chunk",
    "vocoder, first chunk",
    "vocoder, later chunk",
    "chunk 15, one word",
    "chunk 35, one word",
    "first audio",
    "first audio, nothing streamed",
    "RTF of the reply",
    "reply, streamed",
    "reply, in one piece",
    "reply at turn 20",
    "reply at turn 20, word by word",
}
ALONE = {
    "features",
    "encoder",
    "aggregator",
    "RVQ",
    "peak memory",
    "loading",
}
FILES = {"bench.json", "bench.md", "bench.png"}

UNITS_PER_WORD = 4


@pytest.fixture(scope="module", autouse=True)
def _short() -> Iterator[None]:
    """A fast speaker, so that the tests are short."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("taste_agent.bench.turn.UNITS_PER_WORD", UNITS_PER_WORD)
        yield


@pytest.fixture(scope="module")
def subject(tiny_checkpoint: Path) -> Subject:
    return load_subject(BenchOptions(str(tiny_checkpoint), device="cpu"))


@pytest.fixture(scope="module")
def report(tiny_checkpoint: Path) -> Report:
    stages: list[str] = []
    options = BenchOptions(str(tiny_checkpoint), device="cpu", baseline=True, repeats=1)
    report = run_benchmark(options, stages.append)
    assert stages == ["loading", "hearing", "thinking", "speaking", "replies"]
    return report


def test_every_stage_is_there_with_its_ratio(report):
    figures = {figure.name: figure for figure in report.figures}
    assert set(figures) >= WITH_NAIVE | ALONE
    assert all(figure.p50 > 0 and figure.p95 >= figure.p50 for figure in report.figures)
    for name in WITH_NAIVE:
        assert figures[name].ratio == pytest.approx(figures[name].naive / figures[name].p50)
    assert all(figures[name].ratio is None for name in ALONE)
    assert figures["RTF of the reply"].unit == ""
    assert f"{REPLY_WORDS * UNITS_PER_WORD / 50:.1f} s of sound" in figures["RTF of the reply"].note


def test_the_report_says_what_was_not_measured(report):
    assert any("no GPU was measured" in remark for remark in report.remarks)
    assert report.model["compiled"] is False
    assert {"device", "threads", "torch", "load"} <= set(report.machine)


def test_files_and_table(report, tmp_path):
    report.write(tmp_path / "new" / "one")
    assert {path.name for path in (tmp_path / "new" / "one").iterdir()} == FILES
    written = json.loads((tmp_path / "new" / "one" / "bench.json").read_text())
    assert {figure["name"] for figure in written["figures"]} >= WITH_NAIVE
    assert all("ratio" in figure for figure in written["figures"])
    assert (tmp_path / "new" / "one" / "bench.png").read_bytes().startswith(b"\x89PNG")
    markdown = (tmp_path / "new" / "one" / "bench.md").read_text()
    assert markdown.count("\n| ") == len(report.figures) + 1
    assert "million parameters" in markdown


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (300, ["Stage", "p50", "p95", "CPU", "naive p50", "naive CPU", "ratio", "Note"]),
        (80, ["Stage", "p50", "p95", "CPU", "naive p50", "ratio"]),
        (40, ["Stage", "p50", "ratio"]),
    ],
)
def test_no_figure_is_cut_however_narrow_the_terminal(width, columns):
    figures = [
        Figure(
            f"reply at turn {i}, word by word", 2918.3, 3100.2, "ms", 2800.1, 104308.9, 10000.5, "a note " * 9
        )
        for i in range(3)
    ]
    report = Report({"device": "cpu"}, {"name": "small", "dtype": "float32"}, "", figures)
    table = report.table(width)
    assert [column.header for column in table.columns] == columns
    console = Console(width=width, file=io.StringIO())
    console.print(table)
    shown = console.file.getvalue()
    assert "…" not in shown
    assert shown.count("2918 ms") == 3
    assert shown.count("35.7x") == 3


def shown(report: Report, out: Path, monkeypatch: pytest.MonkeyPatch, as_json: bool = False) -> None:
    monkeypatch.setattr(command, "run_benchmark", lambda options, on_stage: report)
    monkeypatch.setenv("COLUMNS", "300")
    command.show_benchmark(BenchOptions(preset="small", out=out), as_json)


@pytest.mark.parametrize("kind", ["a file", "below a file"])
def test_a_folder_that_cannot_be_made_is_told_before_anything_is_measured(tmp_path, monkeypatch, kind):
    (tmp_path / "taken").write_text("here already")
    out = tmp_path / "taken" if kind == "a file" else tmp_path / "taken" / "out"
    monkeypatch.setattr(command, "run_benchmark", lambda *_: pytest.fail("it was measured"))
    with pytest.raises(AgentError, match=r"^cannot write to .*taken.*; name another folder with --out$"):
        command.show_benchmark(BenchOptions(preset="small", out=out))


def test_a_report_that_cannot_be_written_is_shown(report, tmp_path, monkeypatch, capsys):
    (tmp_path / "bench.json").mkdir()
    with pytest.raises(AgentError, match=r"^cannot write to .*; name another folder with --out$"):
        shown(report, tmp_path, monkeypatch)
    assert "RTF of the reply" in capsys.readouterr().out


def test_a_report_that_nobody_reads_is_written(report, tmp_path, monkeypatch):
    def gone(*_):
        raise SystemExit(1)  # as rich ends where the reader of stdout has gone

    monkeypatch.setattr(command.Console, "print_json", gone)
    with pytest.raises(SystemExit):
        shown(report, tmp_path, monkeypatch, as_json=True)
    assert {path.name for path in tmp_path.iterdir()} == FILES


def test_names_in_brackets_are_shown_as_they_are(report, tmp_path, monkeypatch, capsys):
    named = replace(report, model=report.model | {"name": "small[bold]:bug:"})
    shown(named, tmp_path / "o[bold]:bug:", monkeypatch)
    output = capsys.readouterr().out
    assert f"small[bold]:bug:, {report.model['dtype']}" in output
    assert f"Written to {tmp_path / 'o[bold]:bug:'}: bench.json" in output


def Turn(subject: Subject, reply: str = STREAMED) -> AnyTurn:  # noqa: N802
    return AnyTurn(subject, *REPLIES[reply][:2])


def test_both_chunks_see_the_same_length_of_context(subject, monkeypatch):
    windows: list[int] = []
    original = FixedRateUnits.extend

    def seen(self, words, state, *drawing):
        windows.append((len(words), len(state.words), len(state.units)))
        return original(self, words, state, *drawing)

    monkeypatch.setattr(FixedRateUnits, "extend", seen)
    cost = Turn(subject, BY_WORD).run()
    window = subject.model.config.streaming.detokenizer.max_prev_words
    assert len(cost.speak) > max(CHUNKS)
    assert [windows[chunk - 1] for chunk in CHUNKS] == [(1, window, window * UNITS_PER_WORD)] * 2


def test_every_part_of_a_turn_is_timed(subject):
    cost = Turn(subject).run()
    chunks = len(cost.words)
    once = ("features", "encoder", "aggregator", "RVQ")
    assert [len(cost.parts[name]) for name in once] == [1] * 4
    assert [len(cost.parts[name]) for name in ("unit", "flow", "vocoder")] == [chunks] * 3
    for part in ("encoder", "aggregator"):
        assert cost.parts[part][0][0] < cost.tokenize[0]
    for index, speak in enumerate(cost.speak):
        parts = [UNITS_PER_WORD * cost.words[index] * cost.parts["unit"][index][0]]
        parts += [cost.parts[name][index][0] for name in ("flow", "vocoder")]
        assert sum(parts) < speak[0]
    assert "encode" not in vars(subject.model.audio_tower)  # nothing is timed outside the turn


def test_a_step_is_the_mean_of_a_chunk():
    cost = TurnCost(np.zeros(2), np.zeros(2), [2, 4], [np.array((6.0, 4.0)), np.array((8.0, 8.0))])
    assert [step.tolist() for step in cost.steps] == [[3, 2], [2, 2]]


def test_turn_ten_repeats_from_the_same_history(subject):
    turn = Turn(subject)
    before = turn.conversation.segments
    costs = [turn.run() for _ in range(2)]
    assert turn.conversation.segments == before
    for cost in costs:
        assert sum(cost.words) == REPLY_WORDS
        assert cost.words == [2, 4, 8, 12, 12, 2]
        assert cost.audio_s == pytest.approx(REPLY_WORDS * UNITS_PER_WORD / 50, abs=0.05)
    assert costs[0].first_audio[0] < costs[0].tokenize[0] + costs[0].reply[0]


def test_a_late_turn_has_the_longer_history(subject):
    early, late = Turn(subject), Turn(subject, BY_WORD)
    assert (len(early.conversation.segments), len(late.conversation.segments)) == (18, 38)
    assert len(late.conversation.lm_state.rows) > 2 * len(early.conversation.lm_state.rows)


def test_a_reply_forwards_one_row_per_step(subject):
    asked = conversation_before(subject)
    before = asked.lm_state.forwarded_rows
    asked.append(audio_segment(subject, "user", QUESTION))
    asked.prefill()
    question = asked.lm_state.forwarded_rows - before
    turn = Turn(subject)
    turn.run()
    # The role, and each token once, the last of them for its taste token; then the last row of the exchanges.
    assert turn.conversation.lm_state.forwarded_rows - before == question + 1 + REPLY_WORDS + 1


def test_the_naive_lm_reads_everything_and_agrees(subject):
    lm, quantizer = subject.model.spoken_lm, subject.model.audio_tower.quantizer
    conversation = conversation_before(subject, 10)
    rows = conversation.lm_state.rows
    plain, naive = RowCache(lm, quantizer), UncachedRows(lm, quantizer)
    for cache in (plain, naive):
        cache.advance_to(rows[:20])
        cache.append(rows[20])
    torch.testing.assert_close(naive.logits, plain.logits, atol=1e-4, rtol=1e-4)
    assert (plain.forwarded_rows, naive.forwarded_rows) == (21, 41)


def test_naive_forms_change_the_cost_and_not_the_sound(subject):
    segment = audio_segment(subject, "assistant", " ".join(REPLY.split()[:2]))
    estimator = subject.voice.flow.decoder.estimator
    calls: list[int] = []
    hook = estimator.register_forward_pre_hook(lambda module, inputs: calls.append(len(inputs[0])))

    def speak() -> torch.Tensor:
        torch.manual_seed(0)
        chunk = FixedRateDetokenizer(subject).feed(segment.text_ids, segment.taste_ids, final=True)
        return torch.from_numpy(chunk.samples)

    fast = speak()
    # On the CPU a runner of its own, and not the estimator, does both halves of the guidance at once.
    assert calls == []
    with naive_forms(subject):
        naive = speak()
        norms = [m for m in subject.voice.hift.modules() if isinstance(m, WeightNormConv)]
        assert all(part.folded is None for part in norms)
    hook.remove()
    steps = subject.voice.config.flow.num_steps
    assert calls == [1] * (2 * steps)
    torch.testing.assert_close(naive, fast, atol=1e-4, rtol=1e-3)
    assert subject.voice.flow.decoder.estimator is estimator
    assert all(part.folded is not None for part in norms)


def test_a_preset_runs_without_files():
    subject = load_subject(BenchOptions(preset="small", device="cpu"))
    turn = Turn(subject)
    cost = turn.run()
    assert sum(cost.words) == REPLY_WORDS
    # Without training a phone lasts for 80 ms, and each word has one at least.
    assert cost.audio_s > REPLY_WORDS * 0.08
    assert [len(cost.parts[name]) for name in ("unit", "flow", "vocoder")] == [len(cost.words)] * 3


def test_packed_weights_are_counted():
    subjects = [
        load_subject(BenchOptions(preset="small", device="cpu", dtype=dtype))
        for dtype in ("float32", "float16")
    ]
    counts = [new_report(subject, 1).model["parameters"] for subject in subjects]
    assert counts[0] == counts[1] > 0


def test_a_preset_runs_in_int8():
    subject = load_subject(BenchOptions(preset="small", device="cpu", dtype="int8"))
    assert subject.dtype == "int8"
    layers = subject.model.spoken_lm.language_model.model.layers
    kinds = [type(layer) for layer in layers.modules()]
    assert kinds.count(torch.ao.nn.quantized.dynamic.Linear) == 7 * len(layers)
    assert torch.nn.Linear not in kinds
    assert sum(Turn(subject).run().words) == REPLY_WORDS


def test_figures():
    spans = [np.array((wall, wall / 2)) for wall in (1.0, 2.0, 3.0)]
    figure = Figure.of("step", spans, [np.array((8.0, 5.0))])
    assert (figure.p50, figure.cpu, figure.naive, figure.naive_cpu, figure.ratio) == (2, 1, 8, 5, 4)
    assert figure.p95 == pytest.approx(2.9)


@pytest.mark.parametrize(("platform", "most"), [("linux", 3 * 1024), ("darwin", 3 * 1024**2)])
def test_peak_memory_is_in_mib_everywhere(monkeypatch, platform, most):
    usage = SimpleNamespace(ru_maxrss=most)
    monkeypatch.setattr("taste_agent.bench.report.resource.getrusage", lambda _: usage)
    monkeypatch.setattr("taste_agent.bench.report.sys.platform", platform)
    figure = peak_memory(torch.device("cpu"))
    assert (figure.p50, figure.unit) == (3, "MiB")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "v1"}, "preset is 'v1'; choose one of: small, v0"),
        ({"dtype": "int4"}, "dtype is 'int4'; choose one of: auto, float32, bfloat16, float16, int8"),
        ({"device": "tpu"}, "device is 'tpu'; choose one of: auto, cpu, cuda, mps"),
        ({"repeats": 0}, "repeats is 0; give 1 or more"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(SettingsError, match=f"^{message}$"):
        BenchOptions(**options)


def test_help_of_bench_imports_neither_torch_nor_transformers():
    code = (
        "import sys; sys.argv = ['taste-agent', 'bench', '--help']\n"
        "from taste_agent.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('HEAVY', sorted({'torch', 'transformers', 'numpy', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert "HEAVY []" in done.stdout
    assert "--baseline" in done.stdout
