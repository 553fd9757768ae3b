"""The state of the live view, and how events change it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from taste_agent import events as ev
from taste_agent.ui.terminal import Line

MAX_TURNS = 1000
NOTHING_TO_SAY = "it has nothing to say to that"
AGENT = "assistant"


@dataclass(frozen=True)
class TurnView:
    """A turn of the conversation. Of an agent's `words`, the first `heard` have sounded."""

    role: str
    words: tuple[str, ...]
    generation: int = 0
    heard: int = 0
    cut: bool = False
    """Interrupted; for a person's turn, not answered."""
    start: int = 0
    """First sample of a person's turn."""


@dataclass(frozen=True)
class Figures:
    """Measurements, which the view requests many times a second."""

    input_dbfs: float = -100.0
    output_dbfs: float = -100.0
    is_speech: bool = False
    echo_mode: str = ""
    echo_return_loss_db: float | None = None
    echo_enhancement_db: float | None = None
    gated_words: int = 0
    device_underruns: int = 0
    latency_ms: float = 0.0
    drift_ppm: float = 0.0
    input_name: str = ""
    output_name: str = ""
    microphone_advice: str = ""
    """What is wrong with the microphone's level."""


@dataclass(frozen=True)
class ViewState:
    """Everything on the screen."""

    phase: str = "loading"
    """`loading`, `listening`, `hearing`, `thinking`, `speaking` or `waiting` (paused by the person)."""
    model_loaded: bool = False
    person_speaks: bool = False
    elapsed_s: float = 0.0
    model: str = ""
    turns: tuple[TurnView, ...] = ()
    partial: str = ""
    latency: ev.FirstAudio | None = None
    reply_underruns: int = 0
    muted: bool = False
    talk_key: bool | None = None
    """With push-to-talk: whether the person may talk now; None without it."""
    recording: str = ""
    typing: Line | None = None
    """The line that is being typed; None while keys are commands."""
    history: tuple[str, ...] = ()
    """The lines typed before, oldest first."""
    help: bool = False
    """Whether the help is shown instead of the conversation."""
    top: int | None = None
    """First visible line of the conversation when scrolled back; None at its end."""
    notice: str = ""
    notice_level: str = "info"
    text_only: bool = False
    figures: Figures = field(default_factory=Figures)


def reduce(state: ViewState, event: ev.Event) -> ViewState:
    """Return the state after `event`."""
    match event:
        case ev.SessionStarted():
            return replace(state, phase="listening", model=event.model)
        case ev.SpeechStarted():
            phase = "hearing" if state.phase == "listening" else state.phase
            return replace(state, phase=phase, person_speaks=True, notice="")
        case ev.SpeechEnded():
            phase = "listening" if state.phase == "hearing" else state.phase
            return replace(state, phase=phase, person_speaks=False)
        case ev.PartialHeard() | ev.PieceRecognized():
            return replace(state, partial=event.text)
        case ev.SpeechDropped():
            return _dropped(state, event)
        case ev.UserTurn():
            return _person_said(state, event)
        case ev.NoSpeech():
            state = _change(state, "user", event.generation, lambda turn: replace(turn, cut=True))
            return replace(state, phase="listening", notice=NOTHING_TO_SAY)
        case ev.Underrun():
            return replace(state, reply_underruns=state.reply_underruns + 1)
        case ev.Notice():
            return replace(state, notice=event.text, notice_level=event.level)
        case _:
            return _reply(state, event)


def _reply(state: ViewState, event: ev.Event) -> ViewState:
    match event:
        case ev.ReplyChunk():
            return _change(state, AGENT, event.generation, lambda t: replace(t, words=t.words + event.words))
        case ev.FirstAudio():
            return replace(state, phase="speaking", latency=event)
        case ev.WordHeard():
            return _change(state, AGENT, event.generation, lambda t: replace(t, heard=event.index + 1))
        case ev.PlaybackPaused():
            return replace(state, phase="waiting")
        case ev.PlaybackResumed():
            return replace(state, phase="speaking", partial="")
        case ev.ReplyTakenUp():
            agent = TurnView(AGENT, (), event.generation)
            return replace(state, phase="thinking", partial="", turns=(*state.turns, agent)[-MAX_TURNS:])
        case ev.ReplyCancelled():
            state = replace(state, phase="hearing" if state.person_speaks else "listening")
            heard, cut = event.heard_words, bool(event.cut_text)
            return _change(state, AGENT, event.generation, lambda t: replace(t, heard=heard, cut=cut))
        case ev.ReplyFinished():
            return replace(state, phase="listening")
    return state


def _dropped(state: ViewState, event: ev.SpeechDropped) -> ViewState:
    notices = {
        "nothing_recognized": "did not catch that",
        "echo": "heard only my own echo",
        "backchannel": "",
        "typed": "",
    }
    if event.text and state.notice != NOTHING_TO_SAY:
        notices["unanswered"] = f"not answered: {event.text}"
    if event.reason in notices:
        state = replace(state, notice=notices[event.reason], notice_level="info")
    phase = "listening" if state.phase == "hearing" else state.phase
    return replace(state, phase=phase, partial="")


def _person_said(state: ViewState, event: ev.UserTurn) -> ViewState:
    turns = state.turns
    if turns and turns[-1].role == AGENT and not turns[-1].words:
        turns = turns[:-1]
        # A turn that continued before it was answered is reported again, as a whole.
        if turns and turns[-1].role == "user" and turns[-1].start == event.start:
            turns = turns[:-1]
    person = TurnView("user", tuple(event.text.split()), event.generation, start=event.start)
    turns = (*turns, person, TurnView(AGENT, (), event.generation))[-MAX_TURNS:]
    return replace(state, phase="thinking", partial="", notice="", turns=turns)


def _change(
    state: ViewState, role: str, generation: int, change: Callable[[TurnView], TurnView]
) -> ViewState:
    """Change the turns of `role` in a generation."""
    turns = (change(t) if (t.role, t.generation) == (role, generation) else t for t in state.turns)
    return replace(state, turns=tuple(turns))
