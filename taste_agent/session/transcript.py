"""The turns of a session, made from its events."""

import json
from dataclasses import asdict, dataclass, field

from taste_agent import events as ev
from taste_agent.clock import seconds_of_samples


@dataclass(slots=True)
class TranscriptWord:
    """A word with its times in seconds."""

    text: str
    start_s: float
    end_s: float


@dataclass(slots=True)
class Turn:
    """A turn of either side; the agent's `text` is `heard_text` and `cut_text` together."""

    role: str
    generation: int
    text: str = ""
    start_s: float = 0.0
    end_s: float = 0.0
    heard_text: str = ""
    cut_text: str = ""
    words: list[TranscriptWord] = field(default_factory=list)
    latency_ms: dict[str, float] = field(default_factory=dict)
    """The agent's latencies, as in `FirstAudio`: the total, its parts and the stages."""
    rtf: float | None = None
    underruns: int = 0
    interrupted_by: str = ""
    answered: bool = False
    unanswered: bool = False
    """Whether a person's turn gets no reply."""


class Transcript:
    """Collects turns from events; `turns` is always up to date."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []

    def take(self, event: ev.Event) -> None:
        """Take an event."""
        last = self.turns[-1] if self.turns else None
        at_s = seconds_of_samples(event.at)
        match event:
            case ev.UserTurn():
                self._take_user(event, last)
            case ev.NoSpeech():
                if last is not None:
                    last.unanswered = last.role == "user" and last.generation == event.generation
            case ev.SpeechDropped(reason="unanswered", text=text):
                told = last is not None and last.unanswered and last.text == text
                if text and not told:
                    self.turns.append(Turn("user", 0, text, at_s, at_s, heard_text=text, unanswered=True))
            case ev.FirstAudio(generation=generation):
                if last is not None:
                    last.answered = True
                turn = Turn("assistant", generation, start_s=at_s, end_s=at_s, latency_ms=event.latency_ms)
                self.turns.append(turn)
            case ev.WordHeard() | ev.ReplyCancelled() | ev.Underrun() | ev.ReplyFinished():
                turns = (turn for turn in reversed(self.turns) if turn.role == "assistant")
                reply = next((turn for turn in turns if turn.generation == event.generation), None)
                if reply is not None:
                    _tell(reply, event, at_s)

    def _take_user(self, event: ev.UserTurn, last: Turn | None) -> None:
        start_s, end_s = seconds_of_samples(event.start), seconds_of_samples(event.end)
        if last is not None and last.role == "user" and not last.answered and last.start_s == start_s:
            self.turns.pop()  # the person has continued this turn
        words = [
            TranscriptWord(word.text, seconds_of_samples(word.start), seconds_of_samples(word.end))
            for word in event.words
        ]
        text = event.text
        self.turns.append(Turn("user", event.generation, text, start_s, end_s, heard_text=text, words=words))

    def as_json(self) -> str:
        """Return `{"turns": [...]}` as indented JSON."""
        turns = [ev.rounded(asdict(turn)) for turn in self.turns]
        return json.dumps({"turns": turns}, ensure_ascii=False, indent=2) + "\n"

    def as_text(self) -> str:
        """Return one line per turn, with unheard words in brackets."""
        return "".join(f"{line_of(turn)}\n" for turn in self.turns)


def _tell(
    reply: Turn, event: ev.WordHeard | ev.ReplyCancelled | ev.Underrun | ev.ReplyFinished, at_s: float
) -> None:
    match event:
        case ev.WordHeard(text=text):
            start_s = reply.words[-1].end_s if reply.words else reply.start_s
            reply.words.append(TranscriptWord(text, start_s, at_s))
            reply.heard_text = reply.text = f"{reply.heard_text} {text.strip()}".strip()
            reply.end_s = at_s
        case ev.ReplyCancelled():
            reply.heard_text, reply.cut_text = event.heard_text, event.cut_text
            reply.text = f"{event.heard_text} {event.cut_text}".strip()
            reply.interrupted_by, reply.end_s = event.reason, at_s
        case ev.Underrun():
            reply.underruns += 1
        case ev.ReplyFinished():
            reply.text = reply.heard_text = event.text
            reply.rtf, reply.underruns, reply.end_s = event.rtf, event.underruns, at_s


def line_of(turn: Turn) -> str:
    """Return a turn as one line of text."""
    who = "You" if turn.role == "user" else "Agent"
    cut = f" [not heard: {turn.cut_text}]" if turn.cut_text else ""
    note = " [not answered]" if turn.unanswered else ""
    return f"[{turn.start_s:7.2f}-{turn.end_s:7.2f}] {who}: {turn.heard_text}{cut}{note}"
