"""`python -m taste_speech.training evaluate`, and `mind` for a mind alone."""

import datetime
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from taste_speech.configuration_taste import TasteConfig
from taste_speech.training.evaluation import answers, listening, results, speed, streaming, voice
from taste_speech.training.evaluation.bench import Bench
from taste_speech.training.evaluation.results import Part, Row
from taste_speech.training.evaluation.subjects import UntunedMind, trained_mind

logger = logging.getLogger(__name__)
PARTS: dict[str, Callable[[Bench], list[Row]]] = {
    "people": listening.people_rows,
    "listening": listening.rows,
    "answers": lambda bench: answers.rows(bench, UntunedMind),
    "voice": voice.rows,
    "streaming": streaming.rows,
    "speed": speed.rows,
    "size": speed.size_rows,
}


def evaluate(bench: Bench, only: Sequence[str] = ()) -> list[Part]:
    """Measure a checkpoint, and write `evaluation.json` and the table in its model card, except in a trial.

    Args:
        only: the parts of `PARTS` to measure; earlier figures of the other parts are kept if they are of the
            same weights. Empty: everything.

    Returns:
        All parts that are known of these weights; in a trial, those that were measured.
    """
    torch.set_num_threads(bench.threads)
    machine = f"{results.cpu_name()}, {bench.threads} threads, {bench.linear}"
    is_trial = bench.at_most is not None or bench.split == "valid"
    known: list[Part] = []
    for name in only or PARTS:
        logger.info("measuring %s", name)
        part = Part(name, PARTS[name](bench), datetime.date.today(), machine, bench.command)
        known = [*known, part] if is_trial else results.write([part], bench.checkpoint, list(PARTS))
    return known


def measure_mind(
    config: TasteConfig, weights: Path, bench: Bench, tastes: bool, untuned: bool, long_talks: bool
) -> Iterator[str]:
    """Yield the answers of a mind alone, and the rows of its scores.

    Args:
        config: of the checkpoint that is trained.
        weights: of the mind.
        bench: the settings; its checkpoint does not exist yet.
        tastes: whether the mind was trained on taste tokens.
        untuned: also ask the untuned model.
        long_talks: also hold the talks of 40 turns.
    """
    torch.set_num_threads(bench.threads)
    bench.kept = results.Kept(bench.work / bench.split / results.digest([weights]), bench.at_most)
    bench.mind = trained_mind(config, weights, tastes)
    rows = answers.rows(bench, UntunedMind if untuned else None, long_talks)
    for path in sorted(bench.kept.folder.glob("*.jsonl")):
        yield f"# {path.stem}"
        for line in path.read_text(encoding="utf-8").splitlines():
            result = json.loads(line)
            yield f"{result.pop('key')} -> {' | '.join(map(str, result.values()))}"
    yield results.as_table(rows)
