"""The state of the live view, and how events and keys change it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from taste_agent import events as ev
from taste_agent.ui import terminal as keys
from taste_agent.ui.terminal import Key, Line, Paste, edit

MAX_TURNS = 1000
NOTHING_TO_SAY = "it has nothing to say to that"
AGENT = "assistant"
SCROLL_KEYS = {
    keys.UP: "line up",
    keys.DOWN: "line down",
    keys.PAGE_UP: "page up",
    keys.PAGE_DOWN: "page down",
    keys.HOME: "top",
    keys.END: "end",
}


@dataclass(frozen=True)
class TurnView:
    """A turn of the conversation. The first `heard` of an agent's `words` have been played."""

    role: str
    words: tuple[str, ...]
    generation: int = 0
    heard: int = 0
    cut: bool = False
    """Whether an agent's turn was interrupted, or a person's turn was not answered."""
    start: int = 0
    """First sample of a person's turn."""


@dataclass(frozen=True)
class Figures:
    """Measurements that the view reads many times a second."""

    input_dbfs: float = -100.0
    output_dbfs: float = -100.0
    is_speech: bool = False
    echo_mode: str = ""
    echo_return_loss_db: float | None = None
    echo_enhancement_db: float | None = None
    gated_words: int = 0
    device_underruns: int = 0
    latency_ms: float = 0.0
    input_name: str = ""
    output_name: str = ""
    microphone_advice: str = ""
    """A problem with the microphone's level."""


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
    """Whether the person may talk now; None without push-to-talk."""
    recording: str = ""
    typing: Line | None = None
    """The line being typed; None while keys are commands."""
    history: tuple[str, ...] = ()
    """Earlier typed lines, oldest first."""
    help: bool = False
    """Whether the help is shown instead of the conversation."""
    top: int | None = None
    """First visible line of the conversation when scrolled back; None at the end."""
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
        # A turn that went on before it was answered is reported again as a whole.
        if turns and turns[-1].role == "user" and turns[-1].start == event.start:
            turns = turns[:-1]
    person = TurnView("user", tuple(event.text.split()), event.generation, start=event.start)
    turns = (*turns, person, TurnView(AGENT, (), event.generation))[-MAX_TURNS:]
    return replace(state, phase="thinking", partial="", notice="", turns=turns)


def _change(
    state: ViewState, role: str, generation: int, change: Callable[[TurnView], TurnView]
) -> ViewState:
    turns = (change(t) if (t.role, t.generation) == (role, generation) else t for t in state.turns)
    return replace(state, turns=tuple(turns))


@dataclass(frozen=True)
class KeyOutcome:
    """The state after a key, and a command for the engine or the screen, with its text."""

    state: ViewState
    action: str = ""
    text: str = ""


def press(state: ViewState, key: Key) -> KeyOutcome:
    """Return what `key` does in `state`."""
    if state.help and not isinstance(key, Paste):
        return KeyOutcome(replace(state, help=False))
    if key in (keys.PAGE_UP, keys.PAGE_DOWN) or (state.typing is None and key in SCROLL_KEYS):
        return KeyOutcome(state, "scroll", SCROLL_KEYS[str(key)])
    if state.typing is not None:
        return _press_while_typing(state, state.typing, key)
    match key:
        case Paste():
            return KeyOutcome(replace(state, typing=edit(Line(), key), help=False))
        case "q":
            return KeyOutcome(state, "quit")
        case "t" | keys.ENTER:
            return KeyOutcome(replace(state, typing=Line()))
        case "i" | keys.ESCAPE:
            return KeyOutcome(state, "interrupt")
        case "s":
            return KeyOutcome(state, "save")
        case "?":
            return KeyOutcome(replace(state, help=True))
    if not state.text_only:
        match key:
            case "m":
                return KeyOutcome(replace(state, muted=not state.muted), "mute")
            case "r":
                return KeyOutcome(state, "record")
            case "p":
                talk_key = False if state.talk_key is None else None
                return KeyOutcome(replace(state, talk_key=talk_key), "talk")
            case " " if state.talk_key is not None:
                return KeyOutcome(replace(state, talk_key=not state.talk_key), "talk")
    return KeyOutcome(state)


def _press_while_typing(state: ViewState, line: Line, key: Key) -> KeyOutcome:
    if key not in (keys.ENTER, keys.ESCAPE):
        return KeyOutcome(replace(state, typing=edit(line, key, state.history)))
    text = line.text.strip()
    # Text that is not sent can be recalled.
    history = (*state.history, text) if text and state.history[-1:] != (text,) else state.history
    state = replace(state, typing=None, history=history)
    if key == keys.ESCAPE:
        return KeyOutcome(state)
    if state.text_only:
        state = replace(state, typing=Line())
    return KeyOutcome(replace(state, top=None), "type" if text else "", text)
