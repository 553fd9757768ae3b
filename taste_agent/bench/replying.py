"""Whole replies: first audio, real-time factor, what streaming costs, and late chunks against early ones."""

import itertools
from collections.abc import Callable
from dataclasses import replace

from taste_agent.bench.baseline import NaiveTurn, naive_forms
from taste_agent.bench.material import REPLY_WORDS, FixedRateDetokenizer, reply_words
from taste_agent.bench.report import Figure
from taste_agent.bench.subject import Subject
from taste_agent.bench.timing import Span, Times, measure
from taste_agent.bench.turn import Turn, TurnCost
from taste_speech.streaming import SegmentWord, TASTESegment
from taste_speech.streaming.emit_timing import every_words

EARLY, LATE = 2, 30
LATE_TURN = 20
STREAMED, IN_ONE_PIECE = "reply, streamed", "reply, in one piece"
RTF, FIRST_AUDIO = "RTF of the reply", "first audio"
WHOLE_FIRST_AUDIO = "first audio, nothing streamed"
_NAIVE_REPEATS, _LATE_REPEATS = 1, 3
_ONE_ITEM = every_words(REPLY_WORDS + 1)


def reply_figures(subject: Subject, repeats: int, baseline: bool) -> list[Figure]:
    """Replies at turn ten (first audio and its parts, all of the compute, real-time factor) and turn 20."""
    costs = _run(Turn(subject), repeats, warm_ups=1)
    whole = _run(Turn(subject, _ONE_ITEM), repeats, warm_ups=1)
    naive: list[TurnCost] = []
    naive_whole: list[TurnCost] = []
    if baseline:
        with naive_forms(subject):
            naive = _run(NaiveTurn(subject), _NAIVE_REPEATS, warm_ups=0)
            naive_whole = _run(NaiveTurn(subject, _ONE_ITEM), _NAIVE_REPEATS, warm_ups=0)
    first = costs[0].chunks[0]
    rtf = _figure(RTF, costs, naive, lambda cost: cost.reply.divided(1000 * cost.audio_s))
    sound = f"{costs[0].audio_s:.1f} s of sound in {len(costs[0].chunks)} chunks, without taste tokens"
    return [
        _figure(FIRST_AUDIO, costs, naive, lambda cost: cost.first_audio),
        _figure("- taste tokens", costs, naive, lambda cost: cost.tokenize),
        _figure("- prefill", costs, naive, lambda cost: cost.prefill),
        _figure("- first words", costs, naive, lambda cost: cost.chunks[0].generate, f"{first.words} words"),
        _figure("- their sound", costs, naive, lambda cost: cost.chunks[0].speak),
        _whole_figure(whole, naive_whole, costs),
        replace(rtf, unit="", note=sound),
        _figure(STREAMED, costs, naive, lambda cost: cost.reply, "prefill, words and sound"),
        _figure(IN_ONE_PIECE, whole, naive_whole, lambda cost: cost.reply, "the same as one chunk"),
        *(_late_figure(subject, min(repeats, _LATE_REPEATS), baseline, by_word) for by_word in (False, True)),
    ]


def late_name(by_word: bool = False) -> str:
    """Of the figure: a reply late in the talk, in chunks as always, or each word as soon as it is there."""
    return f"reply at turn {LATE_TURN}{', word by word' if by_word else ''}"


def _late_figure(subject: Subject, repeats: int, baseline: bool, by_word: bool) -> Figure:
    """All of the reply's compute after many turns."""
    emit = every_words(1) if by_word else None
    turn = Turn(subject, emit, LATE_TURN)
    history = len(turn.conversation.lm_state.rows)
    costs = _run(turn, repeats, warm_ups=1)
    naive: list[TurnCost] = []
    if baseline:
        with naive_forms(subject):
            naive = _run(NaiveTurn(subject, emit, LATE_TURN), _NAIVE_REPEATS, warm_ups=0)
    return _figure(
        late_name(by_word), costs, naive, lambda cost: cost.reply, f"after {history} rows of history"
    )


def chunk_figures(subject: Subject, repeats: int, baseline: bool) -> list[Figure]:
    """The sound of one more word as the 2nd and as the 30th chunk of a reply.

    The first chunk fills the window of words, so that both see the same length of context.
    """
    detokenizer = FixedRateDetokenizer(subject)
    before = max(1, subject.model.config.streaming.detokenizer.max_prev_words)
    words = list(itertools.islice(itertools.cycle(reply_words(subject)), before + LATE - 1))
    parts = [
        TASTESegment.from_words("assistant", part, subject.model.num_quantizers)
        for part in (words[:before], *([word] for word in words[before:]))
    ]
    states = []
    for part in parts:
        states.append(detokenizer.state.clone())
        detokenizer.feed(part.text_ids, part.taste_ids)

    def time_of(chunk: int) -> Times:
        part = parts[chunk - 1]

        def restore() -> None:
            detokenizer.state = states[chunk - 1].clone()

        return measure(
            lambda: detokenizer.feed(part.text_ids, part.taste_ids), subject.device, repeats, restore
        )

    early, late = time_of(EARLY), time_of(LATE)
    naive = _said_again(subject, words, before) if baseline else (None, None)
    note = f"after {before} words in the first chunk"
    return [
        Figure.of(chunk_name(EARLY), early, naive[0], note),
        Figure.of(chunk_name(LATE), late, naive[1], note),
    ]


def chunk_name(number: int) -> str:
    """Of the figure: one word as such a chunk."""
    return f"chunk {number}, one word"


def _said_again(subject: Subject, words: list[SegmentWord], before: int) -> tuple[Times, Times]:
    """Times of the same chunks when everything so far is said again."""
    with naive_forms(subject):
        turn = NaiveTurn(subject)
        early, late = (
            measure(
                lambda count=count: turn.speak(words[:count], final=False),  # type: ignore[misc]
                subject.device,
                _NAIVE_REPEATS,
                before=turn.start_reply,
                warm_ups=0,
            )
            for count in (before + EARLY - 1, before + LATE - 1)
        )
        return early, late


def _whole_figure(whole: list[TurnCost], naive: list[TurnCost], streamed: list[TurnCost]) -> Figure:
    """First audio when all of the reply is made before any of it is heard."""
    figure = _figure(WHOLE_FIRST_AUDIO, whole, naive, lambda cost: cost.first_audio)
    first = Times(tuple(cost.first_audio for cost in streamed)).p50
    slowest = figure.p50 if figure.naive is None else figure.naive
    return replace(figure, note=f"{'naive: ' if naive else ''}{slowest / first:.1f} times the streamed one")


def _run(turn: Turn, repeats: int, warm_ups: int) -> list[TurnCost]:
    return [turn.run() for _ in range(warm_ups + repeats)][warm_ups:]


def _figure(
    name: str,
    costs: list[TurnCost],
    naive: list[TurnCost],
    part: Callable[[TurnCost], Span],
    note: str = "",
) -> Figure:
    fast, slow = (Times(tuple(part(cost) for cost in runs)) for runs in (costs, naive))
    return Figure.of(name, fast, slow if naive else None, note)
