"""Time to answer, memory, time until ready, and size on disk of a checkpoint."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from taste_speech.streaming import Conversation
from taste_speech.streaming.layout import Row as LmRow
from taste_speech.training.evaluation import held_out
from taste_speech.training.evaluation.bench import Bench
from taste_speech.training.evaluation.listening import feed
from taste_speech.training.evaluation.results import Result, Row, at_most
from taste_speech.training.evaluation.sounds import RATE_HZ, Clip
from taste_speech.training.evaluation.subjects import TasteMind

HISTORIES = (100, 2000)
TIMED = 40
"""Number of questions."""
STARTS = 5
"""Number of starts; one may take half as long again as the next."""
_STEPS = 30
_READY = """
import re, sys, time
begun = time.perf_counter()
from taste_speech import TasteForCausalLM, TasteProcessor
model = TasteForCausalLM.from_pretrained(sys.argv[1])
processor = TasteProcessor.from_pretrained(sys.argv[1])
model.voice; processor.recognizer().start()
ready_s = time.perf_counter() - begun
status = open("/proc/self/status").read()
print(ready_s, *(int(re.search(name + r":\\s+(\\d+)", status)[1]) / 1e6 for name in ("VmRSS", "VmHWM")))
"""


def size_rows(bench: Bench) -> list[Row]:
    """Return the rows on the size of the checkpoint, its very first start, and later ones."""
    checkpoint = bench.checkpoint
    sizes = [file.stat().st_size / 1e6 for file in checkpoint.rglob("*") if file.is_file()]
    with tempfile.TemporaryDirectory() as empty:
        first_s, _, peak = _start(checkpoint, {"XDG_CACHE_HOME": empty})
    later = [_start(checkpoint, {}) for _ in range(STARTS)]
    return [
        at_most("committed for the checkpoint", sum(sizes), "MB", 45, len(sizes)),
        at_most("largest file of it", max(sizes), "MB", 15, len(sizes)),
        at_most("ready to use: first start ever", first_s, "s", 20, 1),
        at_most("ready to use: later (median)", statistics.median(s for s, _, _ in later), "s", 5, STARTS),
        at_most("memory after loading", max(resident for _, resident, _ in later), "GB", 1.2, STARTS),
        at_most("memory while converting (peak)", peak, "GB", 2, 1),
    ]


def _start(checkpoint: Path, environment: dict[str, str]) -> Sequence[float]:
    """Return the seconds until a new process is ready, its memory then and its peak memory, in GB."""
    command = [sys.executable, "-c", _READY, str(checkpoint)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | environment)
    return [float(x) for x in run.stdout.splitlines()[-1].split()]


def rows(bench: Bench) -> list[Row]:
    """Return the rows on the time of a reply, recognition included, and of a step of the LM."""
    mind = bench.mind
    recognizer = mind.processor.recognizer()

    def timed(clip: Clip) -> Result:
        feed(recognizer, clip.samples)
        begun = time.perf_counter()
        heard = recognizer.finish().text
        recognition_s = time.perf_counter() - begun
        first_s, samples = None, 0
        speech = bench.mouth.speech()
        if not heard.strip():
            return {}
        # As in the agent, the audio tower takes what the recognizer has encoded.
        turn = mind.spoken_segment(clip.samples, heard, recognizer=recognizer)
        for item in mind.talk().items(turn):
            segment = item["segment"]
            samples += len(speech.feed(segment.text_ids, segment.taste_ids, item["is_complete"]).samples)
            if samples and first_s is None:
                first_s = time.perf_counter() - begun
        if first_s is None:
            return {}
        factor = (time.perf_counter() - begun) / (samples / RATE_HZ)
        return {"recognition": recognition_s, "first": first_s, "factor": factor}

    asked = held_out.our_kinds(bench.split, min(bench.questions, TIMED))
    found = bench.of_clips("speed", [turn.text for turn in asked], bench.voices.asked, timed)
    first, heard, factor = (
        float(np.median([result[name] for result in found] or [0.0]))
        for name in ("first", "recognition", "factor")
    )
    short, long = (step_s(mind, history) for history in HISTORIES)
    name = f"the same after {HISTORIES[1]} rows: times as long"
    return [
        at_most("first audio: compute (median)", 1000 * first, "ms", 400, len(found)),
        at_most("of it recognition after the end (median)", 1000 * heard, "ms", None, len(found)),
        at_most("real-time factor of a reply (median)", factor, "", 0.35, len(found)),
        at_most(f"LM step after {HISTORIES[0]} rows", 1000 * short, "ms", 20, _STEPS),
        at_most(name, long / short, "x", 1.5, _STEPS),
    ]


def step_s(mind: TasteMind, history: int) -> float:
    """Return the median time of one step of the LM after `history` rows."""
    conversation = Conversation(mind.model, mind.processor)
    token = mind.processor.llm_tokenizer.encode(" the", add_special_tokens=False)[0]
    conversation.lm_state.advance_to([LmRow(token, None)] * history)
    times = []
    for _ in range(_STEPS):
        begun = time.perf_counter()
        conversation.lm_state.append(LmRow(token, None))
        times.append(time.perf_counter() - begun)
    return statistics.median(times)
