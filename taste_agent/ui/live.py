"""The live view: a pure function from what is known to what is drawn, for any terminal from 40x12 up."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.text import Text

from taste_agent.ui.level_bar import level_bar
from taste_agent.ui.state import Figures, TurnView, ViewState

PHASES = {
    "loading": ("loading the model", "yellow"),
    "listening": ("listening", "green"),
    "hearing": ("hearing you", "bold green"),
    "thinking": ("thinking", "yellow"),
    "speaking": ("speaking", "bold cyan"),
    "waiting": ("waiting for you", "magenta"),
}
NOTICE_STYLES = {"info": "yellow", "warning": "bold yellow", "error": "bold red"}
QUIET_DBFS = -45.0
# Clocks differ by less; what looks like more is sound that a busy machine has lost.
MAX_DRIFT_PPM = 1000
MIN_WIDTH = 40
MIN_HEIGHT = 12
SHORT_KEYS = {"i interrupt": "i stop", "p push-to-talk": "p push", "r stop rec": "r end rec"}
SHORT_MEASURES = {"own words dropped": "dropped", "underruns": "gaps"}
ECHO_LABELS = {
    "webrtc": "cancelled",
    "half_duplex": "half duplex",
    "headphones": "headphones",
}


def render(state: ViewState, width: int, height: int) -> RenderableType:
    """A renderable of exactly `height` lines, none wider than `width`."""
    width, height = max(width, MIN_WIDTH), max(height, MIN_HEIGHT)
    head = [_header(state, width), *_levels(state, width), Text("─" * width, style="dim")]
    foot = [Text("─" * width, style="dim"), _notice(state), *_measures(state, width), _keys(state, width)]
    room = height - len(head) - len(foot)
    lines = [*head, *_conversation(state, width, room), *foot]
    for line in lines:
        line.no_wrap = True
        line.truncate(width, overflow="ellipsis")
    return Group(*lines)


def _header(state: ViewState, width: int) -> Text:
    # What was heard before the microphone was muted is still worked on; but nobody is being heard now.
    phase = "listening" if state.muted and state.phase == "hearing" else state.phase
    words, style = PHASES[phase]
    left = Text.assemble(("● ", style), (words, style))
    if state.muted:
        left.append("  MUTED", style="bold red")
    if state.talk_key is not None:
        left.append(
            "  TALK" if state.talk_key else "  push to talk", style="bold green" if state.talk_key else "dim"
        )
    if state.figures.echo_mode == "half_duplex":
        left.append("  HALF DUPLEX", style="bold yellow")
    if state.recording:
        left.append("  ● REC", style="bold red")
    minutes, seconds = divmod(int(state.elapsed_s), 60)
    right = Text(f"{state.model}  {minutes:d}:{seconds:02d}", style="dim")
    left.append(" " * max(1, width - left.cell_len - right.cell_len))
    left.append_text(right)
    return left


def _levels(state: ViewState, width: int) -> list[Text]:
    figures = state.figures
    if state.text_only:
        return [Text("text only: nothing is recorded or played", style="dim")]
    hint, style = _input_hint(state)
    you = _level("you  ", figures.input_dbfs, "green" if figures.is_speech else "dim green", width)
    you.append(f" {hint}", style=style)
    agent = _level("agent", figures.output_dbfs, "cyan", width)
    if not figures.output_name and state.phase != "loading":
        agent.append(" no loudspeaker: read instead", style="bold red")
    return [you, agent]


def _input_hint(state: ViewState) -> tuple[str, str]:
    figures = state.figures
    if state.phase == "loading":
        return "", ""
    if not figures.input_name:
        return "no microphone: type instead", "bold red"
    if state.muted:
        return "muted", "red"
    if figures.input_dbfs <= -99.0:
        return "no sound at all: is it muted?", "yellow"
    if figures.is_speech and figures.input_dbfs < QUIET_DBFS:
        return "very quiet: come closer or raise it", "yellow"
    return f"{figures.input_dbfs:4.0f} dB", "dim"


def _level(label: str, dbfs: float, style: str, width: int) -> Text:
    size = max(10, min(40, width // 3))
    return Text.assemble((f"{label} ", "bold"), level_bar(dbfs, size, style))


def _conversation(state: ViewState, width: int, room: int) -> list[Text]:
    """The newest lines that fit into `room`, and blank ones above where there are fewer."""
    console = Console(width=width, color_system=None, legacy_windows=False)
    lines: list[Text] = []
    for turn in state.turns:
        if turn.words:
            lines += _turn(turn).wrap(console, width)
    if state.partial:
        lines += Text.assemble(("You: ", "bold green"), (f"{state.partial} …", "italic")).wrap(console, width)
    if state.typing is not None:
        typed = Text.assemble(("Type: ", "bold yellow"), state.typing, ("▏", "blink"))
        lines += typed.wrap(console, width)
    if not lines and state.phase == "listening":
        lines.append(Text("say something, or press t and type", style="dim"))
    lines = lines[-room:]
    return [Text("") for _ in range(room - len(lines))] + list(lines)


def _turn(turn: TurnView) -> Text:
    if turn.role == "user":
        return Text.assemble(("You: ", "bold green"), " ".join(turn.words))
    text = Text.assemble(("Agent: ", "bold cyan"))
    heard = " ".join(turn.words[: turn.heard])
    rest = " ".join(turn.words[turn.heard :])
    text.append(heard, style="bold")
    if heard and rest:
        text.append(" ")
    text.append(rest, style="dim strike" if turn.cut else "dim")
    if turn.cut:
        text.append(" (interrupted)", style="magenta")
    return text


def _notice(state: ViewState) -> Text:
    return Text(state.notice, style=NOTICE_STYLES.get(state.notice_level, ""))


def _measures(state: ViewState, width: int) -> list[Text]:
    latency = state.latency
    if latency is None:
        first = Text("" if state.phase == "loading" else "no reply yet", style="dim")
    else:
        first = Text.assemble(
            (f"reply after {latency.since_end_of_speech_ms:.0f} ms", "bold"),
            (
                f": pause {latency.endpoint_ms:.0f} asr {latency.recognise_ms:.0f}"
                f" taste {latency.tokenize_ms:.0f} read {latency.prefill_ms:.0f}"
                f" think {latency.generate_ms:.0f} voice {latency.detokenize_ms:.0f}",
                "dim",
            ),
        )
    return [first, _audio_measures(state.figures, state.reply_underruns, width)]


def _audio_measures(figures: Figures, reply_underruns: int, width: int) -> Text:
    if not figures.echo_mode:
        return Text()
    parts = [f"echo {ECHO_LABELS[figures.echo_mode]}"]
    if figures.echo_enhancement_db is not None:
        parts[0] += f" {figures.echo_enhancement_db:.0f} dB"
    elif figures.echo_return_loss_db is not None and figures.echo_mode == "webrtc":
        parts[0] = "no echo comes back"
    if figures.gated_words:
        parts.append(f"own words dropped {figures.gated_words}")
    parts.append(f"underruns {figures.device_underruns} card, {reply_underruns} model")
    parts.append(f"out {figures.latency_ms:.0f} ms")
    if 1 <= abs(figures.drift_ppm) < MAX_DRIFT_PPM:
        parts.append(f"drift {figures.drift_ppm:+.0f} ppm")
    line = " · ".join(parts)
    if len(line) > width:
        for words, short in SHORT_MEASURES.items():
            line = line.replace(words, short)
    while len(line) > width and " · " in line:
        line = line.rpartition(" · ")[0]
    return Text(line, style="dim")


def _keys(state: ViewState, width: int) -> Text:
    if state.phase == "loading":  # no key is read yet
        return Text("Ctrl-C quit", style="reverse")
    if state.typing is not None:
        after = "Esc, then q: quit" if state.text_only else "Esc stop typing"
        return Text(f"Enter send · {after}", style="reverse")
    keys = ["q quit", "t type", "i interrupt"]
    if not state.text_only:
        keys += ["m unmute" if state.muted else "m mute", "p push-to-talk"]
        if state.talk_key is not None:
            keys.append("space done" if state.talk_key else "space talk")
        keys.append("r stop rec" if state.recording else "r record")
    keys.append("s save")
    line = " · ".join(keys)
    if len(line) > width:
        line = " · ".join(SHORT_KEYS.get(key, key) for key in keys)
    return Text(line, style="reverse")
