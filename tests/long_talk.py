"""A long talk with interruptions at random, and what it uses.

`python -m tests.long_talk CHECKPOINT TURNS MAX_HISTORY_TOKENS` writes JSON.
"""

import gc
import itertools
import json
import os
import random
import sys
import tracemalloc
from pathlib import Path
from typing import Any, NamedTuple

import torch

from taste_speech import TasteForCausalLM, TasteProcessor
from taste_speech.streaming import (
    Conversation,
    StreamingDetokenizer,
    TASTESegment,
    every_words,
    taste_tokenize,
)
from tests.talk import stream

LOOK_EVERY, RATE_HZ = 25, 16000
QUESTIONS = (
    "what time is it?",
    "yes.",
    "please tell me something about the old library in the city.",
    "and then what?",
    "i think that we could walk along the river.",
)


class Usage(NamedTuple):
    traced_kib: float
    """Memory of Python objects."""
    resident_kib: float
    """Memory of the process."""
    threads: int
    """Threads of the process, torch's own included."""
    rows: int
    """Rows that the conversation holds."""


def usage(conversation: Conversation) -> Usage:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    resident = pages * os.sysconf("SC_PAGE_SIZE") / 1024
    traced = tracemalloc.get_traced_memory()[0] / 1024
    return Usage(traced, resident, len(os.listdir("/proc/self/task")), len(conversation.lm_state.rows))


class Talk:
    """One conversation that goes on and on, with everything that the agent uses of a reply."""

    def __init__(self, model: Any, processor: Any) -> None:
        self.model, self.processor = model, processor
        self.conversation = Conversation(model, processor)
        self.rng = random.Random(0)
        self.voice = next(iter(processor.voices().values()))

    def turn(self, number: int) -> None:
        """A question, and an answer that is cut somewhere, or not."""
        rng, conversation = self.rng, self.conversation
        for _ in range(rng.choice((1, 1, 1, 2))):
            conversation.append(self.question(rng.choice(QUESTIONS)))
        speech = StreamingDetokenizer(
            self.model, self.processor, self.voice, RATE_HZ, torch.Generator().manual_seed(number)
        )
        stops_at = rng.randrange(24)
        steps = itertools.count()
        items = stream(
            conversation,
            self.model,
            self.processor,
            seed=number,
            max_length=16,
            emit_timing_func=every_words(2),
            should_stop=lambda: next(steps) >= stops_at,
        )
        said = 0
        for item in itertools.islice(items, rng.randrange(4)):
            segment = item["segment"]
            speech.feed(segment.text_ids, segment.taste_ids, item["is_complete"])
            said += len(segment.words)
        items.close()  # type: ignore[attr-defined]
        if conversation.reply is not None:
            conversation.commit_heard(rng.randint(0, said))

    def question(self, text: str) -> TASTESegment:
        samples = 0.1 * torch.randn(1, RATE_HZ * self.rng.randint(2, 4) // 2)
        text_ids = self.processor.process_text(text)["llm_token_ids"]
        taste_ids = taste_tokenize(self.model, self.processor, samples, text_ids, RATE_HZ)
        return TASTESegment("user", "audio", text_ids, taste_ids)


def looks(talk: Talk, turns: int, look_every: int) -> list[Usage]:
    """What is used after every so many turns."""
    tracemalloc.start()
    try:
        result = []
        for number in range(1, turns + 1):
            talk.turn(number)
            if number % look_every == 0:
                result.append(usage(talk.conversation))
        return result
    finally:
        tracemalloc.stop()


def main(checkpoint: str, turns: int, max_history_tokens: int) -> None:
    """Write what is used, as JSON, on stdout."""
    torch.set_num_threads(1)
    talk = Talk(TasteForCausalLM.from_pretrained(checkpoint), TasteProcessor.from_pretrained(checkpoint))
    window = {"max_history_tokens": max_history_tokens}
    talk.conversation.config = talk.conversation.config.model_copy(update=window)
    json.dump(looks(talk, turns, LOOK_EVERY), sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
