"""How long the command takes to start: nothing heavy may be imported before it is needed."""

import resource
import subprocess
import sys
import time

from taste_agent.bench.report import Figure
from taste_agent.bench.timing import Span

BARE_START, HELP_START = "start: python", "start: taste-agent --help"
BEST_OF = 5
HELP_LIMIT_MS = 300.0
"""`taste-agent --help` may take so much longer than Python alone."""
_HELP = "import sys; sys.argv = ['taste-agent', '--help']; from taste_agent.cli import main; main()"


def start_figures(best_of: int = BEST_OF) -> list[Figure]:
    """Python alone, and the command's help; best of some runs in processes of their own."""
    bare, shown = (_best(code, best_of) for code in ("pass", _HELP))
    more = shown.wall_ms - bare.wall_ms
    verdict = "within" if more <= HELP_LIMIT_MS else "over"
    limit = f"{verdict} the {HELP_LIMIT_MS:.0f} ms allowed"
    note = f"best of {best_of}; {more:.0f} ms more than Python alone, {limit}"
    return [
        Figure(BARE_START, bare.wall_ms, bare.wall_ms, cpu=bare.cpu_ms, note=f"best of {best_of}"),
        Figure(HELP_START, shown.wall_ms, shown.wall_ms, cpu=shown.cpu_ms, note=note),
    ]


def _best(code: str, best_of: int) -> Span:
    spans = [_run(code) for _ in range(best_of)]
    return Span(min(span.wall_ms for span in spans), min(span.cpu_ms for span in spans))


def _run(code: str) -> Span:
    begin, before = time.perf_counter(), _children_s()
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    return Span(1000 * (time.perf_counter() - begin), 1000 * (_children_s() - before))


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
