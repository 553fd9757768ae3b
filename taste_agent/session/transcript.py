"""Turns of a session, made from its events as they come."""

import json
from dataclasses import asdict, dataclass, field

from taste_agent import events as ev
from taste_agent.clock import seconds_of_samples


@dataclass(slots=True)
class TranscriptWord:
    """A word and when it was said, in seconds."""

    text: str
    start_s: float
    end_s: float


@dataclass(slots=True)
class Turn:
    """One turn of either side. For the agent, `text` is `heard_text` and `cut_text` together."""

    role: str
    generation: int
    text: str = ""
    start_s: float = 0.0
    end_s: float = 0.0
    heard_text: str = ""
    cut_text: str = ""
    words: list[TranscriptWord] = field(default_factory=list)
    latency_ms: dict[str, float] = field(default_factory=dict)
    """For the agent, as `FirstAudio` has them: waited, its parts, and the stages."""
    rtf: float | None = None
    underruns: int = 0
    interrupted_by: str = ""
    answered: bool = False
    unanswered: bool = False
    """A person's turn to which there will be no reply."""


class Transcript:
    """Collects turns from events; `turns` is complete at any moment."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []

    def take(self, event: ev.Event) -> None:
        """Adds what an event tells."""
        match event:
            case ev.UserTurn():
                self._take_user(event)
            case ev.NoSpeech():
                for last in self.turns[-1:]:
                    last.unanswered = last.role == "user" and last.generation == event.generation
            case ev.SpeechDropped(reason="unanswered"):
                self._take_unanswered(event)
            case ev.FirstAudio():
                self._take_first_audio(event)
            case ev.WordHeard():
                self._take_word(event)
            case ev.ReplyCancelled():
                if (turn := self._reply(event.generation)) is not None:
                    turn.heard_text, turn.cut_text = event.heard_text, event.cut_text
                    turn.text = f"{event.heard_text} {event.cut_text}".strip()
                    turn.interrupted_by = event.reason
                    turn.end_s = seconds_of_samples(event.at)
            case ev.Underrun():
                if (turn := self._reply(event.generation)) is not None:
                    turn.underruns += 1
            case ev.ReplyFinished():
                if (turn := self._reply(event.generation)) is not None:
                    turn.text = turn.heard_text = event.text
                    turn.rtf, turn.underruns = event.rtf, event.underruns
                    turn.end_s = seconds_of_samples(event.at)

    def as_json(self) -> str:
        """`{"turns": [...]}`, indented."""
        turns = [ev.rounded(asdict(turn)) for turn in self.turns]
        return json.dumps({"turns": turns}, ensure_ascii=False, indent=2) + "\n"

    def as_text(self) -> str:
        """One line a turn; what was not heard stands in brackets."""
        return "".join(f"{line_of(turn)}\n" for turn in self.turns)

    def _take_user(self, event: ev.UserTurn) -> None:
        last = self.turns[-1] if self.turns else None
        start_s = seconds_of_samples(event.start)
        if last is not None and last.role == "user" and not last.answered and last.start_s == start_s:
            self.turns.pop()  # the same turn, which the person went on with
        words = [_word(w.text, w.start, w.end) for w in event.words]
        end_s = seconds_of_samples(event.end)
        self.turns.append(
            Turn("user", event.generation, event.text, start_s, end_s, heard_text=event.text, words=words)
        )

    def _take_unanswered(self, event: ev.SpeechDropped) -> None:
        told = bool(self.turns) and self.turns[-1].unanswered and self.turns[-1].text == event.text
        if event.text and not told:
            at_s = seconds_of_samples(event.at)
            turn = Turn("user", 0, event.text, at_s, at_s, heard_text=event.text, unanswered=True)
            self.turns.append(turn)

    def _take_first_audio(self, event: ev.FirstAudio) -> None:
        if self.turns:
            self.turns[-1].answered = True
        at_s = seconds_of_samples(event.at)
        self.turns.append(
            Turn("assistant", event.generation, start_s=at_s, end_s=at_s, latency_ms=event.latency_ms)
        )

    def _take_word(self, event: ev.WordHeard) -> None:
        turn = self._reply(event.generation)
        if turn is None:
            return
        at_s = seconds_of_samples(event.at)
        turn.words.append(
            TranscriptWord(event.text, turn.words[-1].end_s if turn.words else turn.start_s, at_s)
        )
        turn.heard_text = turn.text = f"{turn.heard_text} {event.text.strip()}".strip()
        turn.end_s = at_s

    def _reply(self, generation: int) -> Turn | None:
        turns = reversed(self.turns)
        return next((t for t in turns if t.role == "assistant" and t.generation == generation), None)


def line_of(turn: Turn) -> str:
    """A turn as one line of text."""
    who = "You" if turn.role == "user" else "Agent"
    cut = f" [not heard: {turn.cut_text}]" if turn.cut_text else ""
    note = " [not answered]" if turn.unanswered else ""
    return f"[{turn.start_s:7.2f}-{turn.end_s:7.2f}] {who}: {turn.heard_text}{cut}{note}"


def _word(text: str, start: int, end: int) -> TranscriptWord:
    return TranscriptWord(text, seconds_of_samples(start), seconds_of_samples(end))
