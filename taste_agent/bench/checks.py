"""What the figures of a run must satisfy. Ratios are made of the shortest repeats of one run."""

from collections.abc import Iterable, Sequence

from taste_agent.bench import replying, thinking
from taste_agent.bench.hearing import RECOGNITION
from taste_agent.bench.report import Check, Figure
from taste_agent.bench.speaking import FIRST_FLOW, FIRST_VOCODER, ONE_UNIT
from taste_agent.bench.start import BARE_START, HELP_LIMIT_MS, HELP_START
from taste_agent.bench.subject import Subject
from taste_agent.bench.thinking import prefill_name, read_name, step_name


def checks_of(figures: Sequence[Figure], subject: Subject) -> list[Check]:
    """All that can be said of these figures: flat costs, ratios to the naive forms, limits of the machine."""
    found = {figure.name: figure for figure in figures}
    checks = [*_flat(found), *_against_naive(found)]
    if subject.name == "v0" and subject.device.type == "cuda":
        checks += _large_on_gpu(found)
    if subject.name == "small" and subject.device.type == "cpu":
        checks += _small_on_cpu(found)
    if HELP_START in found:
        more = found[HELP_START].least - found[BARE_START].least
        checks.append(Check("start: taste-agent --help, more than Python alone", more, HELP_LIMIT_MS, "ms"))
    return checks


def _flat(found: dict[str, Figure]) -> Iterable[Check]:
    """Costs that must not grow with what came before."""
    short, long = thinking.HISTORIES
    early, late = replying.EARLY, replying.LATE
    streamed, whole = replying.STREAMED, replying.IN_ONE_PIECE
    wanted = (
        (f"LM step: after {long} rows / after {short}", step_name(long), step_name(short), 1.5),
        (f"rows read by a turn's prefill: after {long} / {short}", read_name(long), read_name(short), 1.0),
        (
            f"time of a turn's prefill: after {long} rows / {short}",
            prefill_name(long),
            prefill_name(short),
            None,
        ),
        (
            f"detokenizer: chunk {late} / chunk {early}",
            replying.chunk_name(late),
            replying.chunk_name(early),
            1.2,
        ),
        ("reply: streamed / in one piece", streamed, whole, 1.3),
    )
    return [Check(name, found[a].least / found[b].least, limit) for name, a, b, limit in wanted]


def _against_naive(found: dict[str, Figure]) -> Iterable[Check]:
    """How much slower the naive forms are, where they were run."""
    late, first, whole = replying.late_name(), replying.FIRST_AUDIO, replying.WHOLE_FIRST_AUDIO
    by_word = replying.late_name(by_word=True)
    wanted = (
        (f"naive / streamed: {late}", late, late, 10),
        (f"naive / streamed: {by_word}", by_word, by_word, 10),
        ("naive / streamed: reply at turn 10", replying.STREAMED, replying.STREAMED, 5),
        ("naive / streamed: first audio of the same chunk", first, first, 5),
        ("naive, nothing streamed / streamed: first audio", whole, first, 5),
    )
    return [
        Check(name, slow / found[b].least, limit, at_least=True)
        for name, a, b, limit in wanted
        if (slow := found[a].naive_least) is not None
    ]


def _small_on_cpu(found: dict[str, Figure]) -> Iterable[Check]:
    first = found[replying.FIRST_AUDIO].p50
    if RECOGNITION in found:
        first += found[RECOGNITION].p50
        yield Check("first audio, recognition included (p50)", first, 500, "ms")
    yield Check("RTF of the reply (p50)", found[replying.RTF].p50, 0.3, "")
    step = step_name(thinking.HISTORIES[0])
    yield Check(f"{step} (p50)", found[step].p50, 20, "ms")


def _large_on_gpu(found: dict[str, Figure]) -> Iterable[Check]:
    sound = found[FIRST_FLOW].p50 + found[FIRST_VOCODER].p50
    return [
        Check("one unit (p50)", found[ONE_UNIT].p50, 0.4, "ms"),
        *(
            Check(f"{step_name(rows)} (p50)", found[step_name(rows)].p50, 1.5, "ms")
            for rows in thinking.HISTORIES
        ),
        Check("flow and vocoder, first chunk (p50)", sound, 30, "ms"),
        Check("first audio, without recognition (p50)", found[replying.FIRST_AUDIO].p50, 80, "ms"),
        Check("RTF of the reply (p50)", found[replying.RTF].p50, 0.1, ""),
    ]
