"""One line per thing that happened, for logs, pipes and screen readers."""

from __future__ import annotations

from taste_agent import events as ev
from taste_agent.clock import seconds_of_samples
from taste_agent.events import TYPING
from taste_agent.ui.latency import waited_text


def plain_line(event: ev.Event) -> str | None:
    """The line for `event`; None where it is not worth one."""
    text = _text(event)
    return None if text is None else f"[{seconds_of_samples(event.at):8.2f}] {text}"


def _text(event: ev.Event) -> str | None:
    match event:
        case ev.SessionStarted():
            return f"{'ready' if event.source == TYPING else 'listening'} ({event.model})"
        case ev.UserTurn():
            return f"You: {event.text}"
        case ev.SpeechDropped(reason="nothing_recognised"):
            return "did not catch that"
        case ev.SpeechDropped(reason="echo"):
            return "heard only my own echo"
        case ev.SpeechDropped(reason="unanswered") if event.text:
            return f"not answered: {event.text}"
        case ev.NoSpeech():
            return "nothing to say to that"
        case ev.ReplyTakenUp():
            return "the reply goes on"
        case ev.FirstAudio():
            return waited_text(event.latency_ms)
        case ev.ReplyFinished():
            return f"Agent: {event.text}"
        case ev.ReplyCancelled():
            cut = f"[not heard: {event.cut_text}]" if event.cut_text else ""
            return " ".join(part for part in ("Agent:", event.heard_text, cut) if part)
        case ev.Underrun():
            return f"playback ran dry for {seconds_of_samples(event.gap_samples) * 1000:.0f} ms"
        case ev.Notice():
            return f"{event.level}: {event.text}"
        case ev.SessionEnded():
            return f"ended ({event.reason})"
    return None
