"""The benchmark's structure on the tiny checkpoint; no test depends on how long anything takes."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from taste_agent.bench.baseline import UncachedRows, naive_forms
from taste_agent.bench.material import (
    REPLY_WORDS,
    FixedRateDetokenizer,
    audio_segment,
    conversation_before_turn_ten,
    reply_words,
)
from taste_agent.bench.options import BenchOptions
from taste_agent.bench.report import Figure, Report
from taste_agent.bench.run import run_benchmark, write_report
from taste_agent.bench.subject import Subject, load_subject
from taste_agent.bench.synthetic import SyntheticTokenizer
from taste_agent.bench.timing import Span, Times, measure
from taste_agent.bench.turn import Turn
from taste_agent.errors import SettingsError
from taste_speech.streaming import TASTESegment
from taste_speech.streaming.row_cache import RowCache
from taste_speech.vocoder.weight_norm import WeightNormConv

WITH_NAIVE = {
    "sampler tables",
    "prefill of turn 10",
    "LM step after 30 rows",
    "LM step after 60 rows",
    "one unit",
    "flow, first chunk",
    "flow, later chunk",
    "vocoder, first chunk",
    "vocoder, later chunk",
    "chunk 2, one word",
    "chunk 30, one word",
    "first audio",
    "first audio, nothing streamed",
    "RTF of the reply",
}
ALONE = {
    "features",
    "encoder",
    "aggregator",
    "RVQ",
    "taste tokens, encoded ahead",
    "resampler",
    "peak memory",
    "loading",
}


UNITS_PER_WORD = 4


@pytest.fixture(scope="module", autouse=True)
def _short() -> Iterator[None]:
    """A fast speaker and short histories, so that the tests are short."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("taste_agent.bench.thinking.HISTORIES", (30, 60))
        for name in ("material", "speaking"):
            patch.setattr(f"taste_agent.bench.{name}.UNITS_PER_WORD", UNITS_PER_WORD)
        yield


@pytest.fixture(scope="module")
def subject(tiny_checkpoint: Path) -> Subject:
    return load_subject(BenchOptions(str(tiny_checkpoint), device="cpu"))


@pytest.fixture(scope="module")
def report(tiny_checkpoint: Path) -> Report:
    stages: list[str] = []
    options = BenchOptions(
        str(tiny_checkpoint), device="cpu", baseline=True, repeats=1, check_start=False, static_shapes=True
    )
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
    assert report.model["static_steps"] is True
    assert report.model["cuda_graphs"] is False
    assert {"device", "threads", "torch", "load"} <= set(report.machine)


def test_files_and_table(report, tmp_path):
    write_report(report, tmp_path / "new")
    written = json.loads((tmp_path / "new" / "bench.json").read_text())
    assert {figure["name"] for figure in written["figures"]} >= WITH_NAIVE
    assert all("ratio" in figure for figure in written["figures"])
    assert (tmp_path / "new" / "bench.png").read_bytes().startswith(b"\x89PNG")
    markdown = (tmp_path / "new" / "bench.md").read_text()
    assert markdown.count("\n| ") == len(report.figures) + 1
    assert "million parameters" in markdown
    assert len(report.table(notes=False).columns) + 1 == len(report.table().columns)


def test_turn_ten_repeats_from_the_same_history(subject):
    turn = Turn(subject)
    before = turn.conversation.segments
    costs = [turn.run() for _ in range(2)]
    assert turn.conversation.segments == before
    for cost in costs:
        assert sum(chunk.words for chunk in cost.chunks) == REPLY_WORDS
        assert [chunk.words for chunk in cost.chunks] == [2, 4, 8, 12, 12, 2]
        assert cost.audio_s == pytest.approx(REPLY_WORDS * UNITS_PER_WORD / 50, abs=0.05)
    assert costs[0].first_audio.wall_ms < costs[0].tokenize.wall_ms + costs[0].reply.wall_ms


def test_a_reply_forwards_one_row_per_step(subject):
    conversation = conversation_before_turn_ten(subject)
    conversation.append(audio_segment(subject, "user", "what is it"))
    conversation.prefill()
    cache, turn = conversation.lm_state, Turn(subject)
    turn.conversation = conversation
    conversation.speak_probability = 1.0
    before = cache.forwarded_rows
    list(turn._items())
    # The role, and each token once, the last of them for its taste token.
    assert cache.forwarded_rows - before == 1 + REPLY_WORDS


def test_the_naive_lm_reads_everything_and_agrees(subject):
    lm, quantizer = subject.model.spoken_lm, subject.model.audio_tower.quantizer
    conversation = conversation_before_turn_ten(subject)
    rows = conversation.lm_state.rows
    plain, naive = RowCache(lm, quantizer), UncachedRows(lm, quantizer)
    for cache in (plain, naive):
        cache.advance_to(rows[:20])
        cache.append(rows[20])
    torch.testing.assert_close(naive.logits, plain.logits, atol=1e-4, rtol=1e-4)
    assert (plain.forwarded_rows, naive.forwarded_rows) == (21, 41)


def test_naive_forms_change_the_cost_and_not_the_sound(subject):
    segment = TASTESegment.from_words("assistant", reply_words(subject)[:2], subject.model.num_quantizers)
    estimator = subject.voice.flow.decoder.estimator
    calls: list[int] = []
    hook = estimator.register_forward_pre_hook(lambda module, inputs: calls.append(len(inputs[0])))

    def speak() -> torch.Tensor:
        torch.manual_seed(0)
        chunk = FixedRateDetokenizer(subject).feed(segment.text_ids, segment.taste_ids, final=True)
        return torch.from_numpy(chunk.samples)

    fast = speak()
    with naive_forms(subject):
        naive = speak()
        norms = [m for m in subject.voice.hift.modules() if isinstance(m, WeightNormConv)]
        assert all(part.folded is None for part in norms)
    hook.remove()
    steps = subject.voice.config.flow.num_steps
    assert calls == [2] * steps + [1] * (2 * steps)
    torch.testing.assert_close(naive, fast, atol=1e-4, rtol=1e-3)
    assert subject.voice.flow.decoder.estimator is estimator
    assert all(part.folded is not None for part in norms)


def test_the_short_preset_runs_without_files():
    subject = load_subject(BenchOptions(preset="v0-short", device="cpu"))
    turn = Turn(subject)
    cost = turn.run()
    assert sum(chunk.words for chunk in cost.chunks) == REPLY_WORDS
    assert cost.audio_s == pytest.approx(REPLY_WORDS * UNITS_PER_WORD / 50, abs=0.1)


def test_figures():
    times = Times(tuple(Span(wall, wall / 2) for wall in (1.0, 2.0, 3.0)))
    figure = Figure.of("step", times, Times((Span(8.0, 5.0),)))
    assert (figure.p50, figure.cpu, figure.naive, figure.naive_cpu, figure.ratio) == (2, 1, 8, 5, 4)
    assert times.p95 == pytest.approx(2.9)
    assert times.divided(2).p50 == 1


def test_measure_warms_up_and_prepares():
    calls: list[str] = []
    times = measure(
        lambda: calls.append("run"), torch.device("cpu"), 3, before=lambda: calls.append("before")
    )
    assert calls == ["before", "run"] * 5
    assert len(times.spans) == 3


def test_synthetic_tokens_come_back():
    tokenizer = SyntheticTokenizer(2000, 1900)
    ids = tokenizer.encode(" something is there\n")
    assert ids[-1] == 0
    words = tokenizer.decode(ids[:-1])
    assert tokenizer.encode(words) == ids[:-1]
    assert len(words.split()) == 3
    assert all(0 < i < 1900 for i in ids[:-1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "v1"}, "preset is 'v1'; choose one of: v0, v0-short"),
        ({"dtype": "int4"}, "dtype is 'int4'; choose one of: auto, float32, bfloat16, float16, int8"),
        ({"device": "tpu"}, "device is 'tpu'; choose cpu, cuda, mps or auto"),
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
