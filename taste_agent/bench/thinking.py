"""Stages of the spoken LM: reading a turn, and one step at some lengths of the history."""

from collections.abc import Callable

import torch

from taste_agent.bench.baseline import UncachedRows, naive_forms
from taste_agent.bench.material import TALK, audio_segment, conversation_before
from taste_agent.bench.report import Figure
from taste_agent.bench.subject import Subject
from taste_agent.bench.timing import Times, measure
from taste_speech.spoken_lm.sampling import sample_text
from taste_speech.spoken_lm.vocabulary import build_vocabulary
from taste_speech.streaming import Conversation
from taste_speech.streaming.layout import Row, row_list
from taste_speech.streaming.row_cache import RowCache

HISTORIES = (100, 2000)
_NAIVE_REPEATS = 3
_STEPS = 2  # steps of a run of the naive form, which is slow


def thinking_figures(subject: Subject, repeats: int, baseline: bool) -> list[Figure]:
    """Sampler tables, prefill of turn ten, and after each of `HISTORIES` a turn's prefill and one step."""
    return [
        _tables(subject, repeats, baseline),
        _prefill(subject, repeats, baseline),
        *(figure for rows in HISTORIES for figure in _prefill_after(subject, rows, repeats)),
        *(_step(subject, rows, repeats, baseline) for rows in HISTORIES),
    ]


def _tables(subject: Subject, repeats: int, baseline: bool) -> Figure:
    model, tokenizer = subject.model, subject.processor.llm_tokenizer
    size = model.config.text_config.vocab_size

    def build() -> object:
        return build_vocabulary(tokenizer, size, model.config.vocabulary)

    fast = measure(lambda: model.vocabulary(tokenizer), subject.device, repeats)
    naive = measure(build, subject.device, _NAIVE_REPEATS, warm_ups=0) if baseline else None
    return Figure.of("sampler tables", fast, naive, f"{size} text tokens; naive: built at each reply")


def _prefill(subject: Subject, repeats: int, baseline: bool) -> Figure:
    conversation = conversation_before(subject, len(TALK))
    question = audio_segment(subject, "user", TALK[-1][0])
    before = row_list(conversation.segments, conversation.format)
    after = row_list([*conversation.segments, question], conversation.format)
    ending = [Row(token, None) for token in conversation.format.reply_opening]

    def time_of(cache: RowCache, count: int) -> Times:
        return measure(
            lambda: cache.advance_to([*after, *ending]),
            subject.device,
            count,
            before=lambda: cache.advance_to(before),
            warm_ups=1,
        )

    fast = time_of(conversation.lm_state, repeats)
    naive = _naively(subject, baseline, lambda cache: time_of(cache, _NAIVE_REPEATS))
    new = len(after) + len(ending) - len(before)
    return Figure.of("prefill of turn 10", fast, naive, f"{new} new rows after {len(before)}")


def prefill_name(history: int) -> str:
    """Of the figure: a turn's prefill after so many rows."""
    return f"prefill after {history} rows"


def read_name(history: int) -> str:
    """Of the figure: how many rows that prefill reads."""
    return f"rows read by it, after {history}"


def step_name(history: int) -> str:
    """Of the figure: one step after so many rows."""
    return f"LM step after {history} rows"


def _prefill_after(subject: Subject, history: int, repeats: int) -> list[Figure]:
    """The new rows of turn ten after a history of so many others: time, and how many rows were read."""
    model = subject.model
    conversation = Conversation(model, subject.processor)
    question = audio_segment(subject, "user", TALK[-1][0])
    new = row_list([question], conversation.format)[1:]  # without the row that begins a conversation
    new += [Row(token, None) for token in conversation.format.reply_opening]
    rows, cache = _rows(subject, history), RowCache(model.spoken_lm, model.audio_tower.quantizer)
    read = 0

    def prefill() -> None:
        nonlocal read
        before = cache.forwarded_rows
        cache.advance_to([*rows, *new])
        read = cache.forwarded_rows - before

    times = measure(prefill, subject.device, repeats, before=lambda: cache.advance_to(rows))
    return [
        Figure.of(prefill_name(history), times, note=f"{len(new)} new rows"),
        Figure(read_name(history), read, read, "rows"),
    ]


def _step(subject: Subject, history: int, repeats: int, baseline: bool) -> Figure:
    """Steps on a history of so many rows; what a step adds is cut off again."""
    model = subject.model
    rows = _rows(subject, history)
    banned = model.vocabulary(subject.processor.llm_tokenizer).banned_but().to(subject.device)
    seen = torch.tensor(sorted({row.text_id for row in rows[:40]}), device=subject.device)

    def time_of(cache: RowCache, count: int) -> Times:
        cache.advance_to(rows)

        def step() -> None:
            cache.append(rows[-1])
            sample_text(cache.logits, banned, seen, top_p=0.3, temperature=0.5, repetition_penalty=1.1)

        return measure(step, subject.device, count)

    fast = time_of(RowCache(model.spoken_lm, model.audio_tower.quantizer), repeats)
    naive = _naively(subject, baseline, lambda cache: time_of(cache, _STEPS))
    return Figure.of(step_name(history), fast, naive, "with the draw of a token")


def _rows(subject: Subject, count: int) -> list[Row]:
    model = subject.model
    ids = torch.randint(model.config.vocabulary.first_special_id, (count,), generator=_generator()).tolist()
    sizes = (count, model.num_quantizers)
    size = model.audio_tower.quantizer.codebooks.shape[1]
    codes = torch.randint(size, sizes, generator=_generator()).tolist()
    return [Row(text_id, tuple(taste)) for text_id, taste in zip(ids, codes, strict=True)]


def _naively(subject: Subject, wanted: bool, run: Callable[[RowCache], Times]) -> Times | None:
    if not wanted:
        return None
    with naive_forms(subject):
        return run(UncachedRows(subject.model.spoken_lm, subject.model.audio_tower.quantizer))


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
