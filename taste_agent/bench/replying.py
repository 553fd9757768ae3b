"""Whole replies: first audio, real-time factor, and whether a late chunk costs more than an early one."""

from collections.abc import Callable
from dataclasses import replace

from taste_agent.bench.baseline import NaiveTurn, naive_forms
from taste_agent.bench.material import REPLY_WORDS, FixedRateDetokenizer, reply_words
from taste_agent.bench.report import Figure
from taste_agent.bench.subject import Subject
from taste_agent.bench.timing import Span, Times, measure
from taste_agent.bench.turn import Turn, TurnCost
from taste_speech.streaming import TASTESegment
from taste_speech.streaming.emit_timing import every_words

EARLY, LATE = 2, 30
_NAIVE_REPEATS, _WHOLE_REPEATS = 1, 3
_IN_ONE_PIECE = every_words(REPLY_WORDS + 1)


def reply_figures(subject: Subject, repeats: int, baseline: bool) -> list[Figure]:
    """First audio and its parts, and the real-time factor, of the reply at turn ten."""
    costs = _run(Turn(subject), repeats, warm_ups=1)
    whole = _run(Turn(subject, _IN_ONE_PIECE), min(repeats, _WHOLE_REPEATS), warm_ups=1)
    naive: list[TurnCost] = []
    naive_whole: list[TurnCost] = []
    if baseline:
        with naive_forms(subject):
            naive = _run(NaiveTurn(subject), _NAIVE_REPEATS, warm_ups=0)
            naive_whole = _run(NaiveTurn(subject, _IN_ONE_PIECE), _NAIVE_REPEATS, warm_ups=0)
    first = costs[0].chunks[0]
    rtf = _figure("RTF of the reply", costs, naive, lambda cost: cost.reply.divided(1000 * cost.audio_s))
    sound = f"{costs[0].audio_s:.1f} s of sound in {len(costs[0].chunks)} chunks, without taste tokens"
    return [
        _figure("first audio", costs, naive, lambda cost: cost.first_audio),
        _figure("- taste tokens", costs, naive, lambda cost: cost.tokenize),
        _figure("- prefill", costs, naive, lambda cost: cost.prefill),
        _figure("- first words", costs, naive, lambda cost: cost.chunks[0].generate, f"{first.words} words"),
        _figure("- their sound", costs, naive, lambda cost: cost.chunks[0].speak),
        _whole_figure(whole, naive_whole, costs),
        replace(rtf, unit="", note=sound),
    ]


def chunk_figures(subject: Subject, repeats: int, baseline: bool) -> list[Figure]:
    """The sound of one more word as the 2nd and as the 30th chunk of a reply."""
    detokenizer = FixedRateDetokenizer(subject)
    parts = [
        TASTESegment.from_words("assistant", [word], subject.model.num_quantizers)
        for word in reply_words(subject)[:LATE]
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
    naive = _said_again(subject, (EARLY, LATE)) if baseline else (None, None)
    note = f"{late.p50 / early.p50:.2f} times chunk {EARLY}" if early.p50 else ""
    return [
        Figure.of(f"chunk {EARLY}, one word", early, naive[0]),
        Figure.of(f"chunk {LATE}, one word", late, naive[1], note),
    ]


def _said_again(subject: Subject, chunks: tuple[int, int]) -> tuple[Times, Times]:
    """Times of the same chunks when everything so far is said again."""
    with naive_forms(subject):
        turn = NaiveTurn(subject)
        words = reply_words(subject)
        early, late = (
            measure(
                lambda count=count: turn.speak(words[:count], final=False),  # type: ignore[misc]
                subject.device,
                _NAIVE_REPEATS,
                before=turn.start_reply,
                warm_ups=0,
            )
            for count in chunks
        )
        return early, late


def _whole_figure(whole: list[TurnCost], naive: list[TurnCost], streamed: list[TurnCost]) -> Figure:
    """First audio when all of the reply is made before any of it is heard."""
    figure = _figure("first audio, nothing streamed", whole, naive, lambda cost: cost.first_audio)
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
