"""Answers to typed turns: correct, remembered, short and speakable, in talks of up to 40 turns."""

from collections.abc import Mapping, Sequence

from taste_speech.training.evaluation import held_out, scoring
from taste_speech.training.evaluation.bench import Bench
from taste_speech.training.evaluation.held_out import Asked, Split
from taste_speech.training.evaluation.results import Kept, Result, Row, at_least, at_most, share
from taste_speech.training.evaluation.scoring import accepts, percent
from taste_speech.training.evaluation.subjects import Mind, UntunedMind, ask_all

BRIEF = "Answer briefly."
AGAIN = ("Say that again.", "Repeat that, please.", "Once more.", "Can you repeat that?", "What did you say?")
WHO = "Who are you?"
PAIRS = 40
TURNS_A_ROW = 5
_STORY = "story"


def rows(bench: Bench) -> list[Row]:
    """Return the rows on answers to text, some of them compared with the untuned model."""
    mind, kept, split, questions = bench.mind, bench.kept, bench.split, bench.questions
    kinds = {turn.text: turn for turn in held_out.our_kinds(split, questions)}
    everyday = {turn.text: turn for turn in held_out.everyday(split)}
    cut = {turn.text: turn for turn in held_out.cut_off_turns(split, questions // 2)}
    talks = {f"{split} {n}": talk for n, talk in enumerate(held_out.long_talks(split))}

    def asked(name: str, turns: dict[str, Asked], whom: Mind, system: str = "") -> dict[str, Result]:
        return kept.each(name, turns, lambda turn: {"answer": answer(whom, turn, system)})

    plain = asked("kinds typed", kinds, mind)
    brief = asked("kinds typed, briefly", kinds, mind, BRIEF)
    found = asked("everyday", everyday, mind)
    other = asked("everyday, untuned", everyday, UntunedMind())
    long = kept.each("long talks", talks, lambda talk: _answers(mind, talk))
    silent = asked("cut off, typed", cut, mind)
    replies = [result["answer"] for result in found.values()]
    for key, result in long.items():
        pairs = zip(talks[key], result["answers"], strict=True)
        replies += [said for turn, said in pairs if turn.kind != _STORY]
    hits, complete = right(kinds, plain), [bool(r["answer"]) for r in (*plain.values(), *found.values())]
    lost = percent(right(kinds, brief)) - percent(hits)
    return [
        share("our kinds, typed: answered right", hits),
        at_least('told "Answer briefly.": right, against no prompt', lost, "points", -5, len(brief)),
        share("cut-off turns given no_speech, typed", [not r["answer"] for r in silent.values()], 93),
        share("complete turns answered, typed", complete, 97),
        *everyday_rows(everyday, found, other),
        *talk_rows([talks[key] for key in long], [long[key]["answers"] for key in long]),
        *_memory_rows(mind, kept, split),
        *_pair_rows(mind, kept, [kinds[key] for key in plain]),
        *_again_rows(mind, kept),
        *form_rows(replies),
    ]


def answer(mind: Mind, turn: Asked, system: str = "") -> str:
    """Return the answer to a turn in a new talk that begins with the lines before it."""
    talk = mind.talk(system)
    for role, text in turn.before:
        talk.add(role, text)
    return talk.ask(turn.text)


def _answers(mind: Mind, talk: Sequence[Asked]) -> Result:
    return {"answers": ask_all(mind, [turn.text for turn in talk])}


def right(asked: Mapping[str, Asked], found: Mapping[str, Result]) -> list[bool]:
    """Return for each answer whether it is accepted."""
    return [accepts(asked[key].accept or "", result["answer"]) for key, result in found.items()]


def everyday_rows(
    asked: Mapping[str, Asked], found: Mapping[str, Result], untuned: Mapping[str, Result]
) -> list[Row]:
    """Return the rows on everyday questions, also compared with the answers of the untuned model."""
    hits = right(asked, found)
    echoes = percent([accepts(asked[key].accept or "", key) for key in found])
    rows = [
        share("everyday questions: answered to the point", hits, 70),
        at_most("the same: by a reply that echoes the question", echoes, "%", 10, len(found)),
    ]
    for kind, name in (("fact", "facts"), ("other", "others")):
        own = [hit for key, hit in zip(found, hits, strict=True) if asked[key].kind == kind]
        rows.append(share(f"the same: {name}", own))
    if untuned:
        theirs = right(asked, untuned)
        better = percent(hits) - percent(theirs)
        rows.append(share("the same: SmolLM2 untuned, with a system prompt", theirs))
        rows.append(at_least("the same: better than it", better, "points", 15, len(hits)))
    return rows


def talk_rows(talks: Sequence[Sequence[Asked]], answers: Sequence[Sequence[str]]) -> list[Row]:
    """Return the rows on long talks: correct answers early, late and turn by turn."""
    judged = [
        (number, turn.block, accepts(turn.accept, said))
        for talk, of_talk in zip(talks, answers, strict=True)
        for number, (turn, said) in enumerate(zip(talk, of_talk, strict=True))
        if turn.accept is not None and turn.kind != _STORY
    ]
    if not judged:
        return []
    early, late = ([hit for _, block, hit in judged if block == name] for name in ("early", "late"))
    lost = percent(late) - percent(early)
    rows = [
        share("talks of 40 turns: right in turns 1 to 10", early),
        share("talks of 40 turns: right in turns 31 to 40", late),
        at_least("talks of 40 turns: late against early", lost, "points", -5, len(late)),
    ]
    for first in range(0, held_out.TURNS, TURNS_A_ROW):
        own = [hit for number, _, hit in judged if first <= number < first + TURNS_A_ROW]
        rows.append(share(f"talks of 40 turns: right in turns {first + 1} to {first + TURNS_A_ROW}", own))
    return rows


def _memory_rows(mind: Mind, kept: Kept, split: Split) -> list[Row]:
    talks = {" / ".join(turn.text for turn in talk): talk for talk in held_out.remembered(split)}
    found = kept.each("memory", talks, lambda talk: _answers(mind, talk))
    last = [(talks[key][-1], result["answers"][-1]) for key, result in found.items()]
    hits = [(turn.kind, accepts(turn.accept or "", said)) for turn, said in last]
    names = [hit for kind, hit in hits if kind == "name"]
    named = share("what was told is recalled: names", names)
    return [share("what was told is recalled", [hit for _, hit in hits]), named] if found else []


def _pair_rows(mind: Mind, kept: Kept, turns: Sequence[Asked]) -> list[Row]:
    asked = [turn for turn in turns if turn.text.endswith("?")][: 2 * PAIRS]
    pairs = {f"{a.text} {b.text}": (a, b) for a, b in zip(asked[::2], asked[1::2], strict=False)}
    questions = {key: key for key in pairs}
    found = kept.each("two questions", questions, lambda text: {"answer": mind.talk().ask(text)})
    hits = [[accepts(turn.accept or "", r["answer"]) for turn in pairs[key]] for key, r in found.items()]
    return [
        share("two questions in one turn: both answered", [all(pair) for pair in hits]),
        share("two questions in one turn: one at least", [any(pair) for pair in hits]),
    ]


def _again_rows(mind: Mind, kept: Kept) -> list[Row]:
    def asked(request: str) -> Result:
        first = mind.talk().ask(request)
        before, later = ask_all(mind, [WHO, request])
        return {"first": first, "before": before, "later": later}

    found = kept.found("say that again", AGAIN, asked)
    sound = [
        bool(said) and scoring.is_short(said) and scoring.most_repeats(said) < 3 and said not in AGAIN
        for said in (result["first"] for result in found)
    ]
    same = [bool(r["before"]) and scoring.norm(r["before"]) in scoring.norm(r["later"]) for r in found]
    return [
        share('"say that again" first: a short answer, nothing thrice', sound, 100),
        share('"say that again" later: the same again', same),
    ]


def form_rows(replies: Sequence[str]) -> list[Row]:
    """Return the rows on replies that are short, and that can be read aloud as they are."""
    said = [reply for reply in replies if reply]
    return [
        share("replies of at most 30 words", [scoring.is_short(reply) for reply in said], 98),
        share("replies that are speakable", [scoring.is_speakable(reply) for reply in said], 98),
    ]
