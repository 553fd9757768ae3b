"""`python -m taste_speech.training evaluate`."""

import datetime
import logging
from collections.abc import Callable, Sequence

import torch

from taste_speech.cpu import cpu_name
from taste_speech.training.evaluation import answers, listening, results, speed, streaming, voice
from taste_speech.training.evaluation.bench import Bench
from taste_speech.training.evaluation.results import Part, Row

logger = logging.getLogger(__name__)
PARTS: dict[str, Callable[[Bench], list[Row]]] = {
    "people": listening.people_rows,
    "listening": listening.rows,
    "answers": answers.rows,
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
    machine = f"{cpu_name()}, {bench.threads} threads, {bench.linear}"
    is_trial = bench.at_most is not None or bench.split == "valid"
    known: list[Part] = []
    for name in only or PARTS:
        logger.info("measuring %s", name)
        part = Part(name, PARTS[name](bench), datetime.date.today(), machine, bench.command)
        known = [*known, part] if is_trial else results.write([part], bench.checkpoint, list(PARTS))
    return known
