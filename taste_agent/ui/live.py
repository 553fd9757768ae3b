"""The live view: a pure function from the state to a screen of any size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.text import Text

from taste_agent.ui.state import Figures, TurnView, ViewState
from taste_agent.ui.tables import stages_text, waited_text
from taste_agent.ui.terminal import Line

FLOOR_DBFS = -60.0
PHASES = {
    "loading": ("loading the model", "yellow"),
    "listening": ("listening", "green"),
    "hearing": ("hearing you", "bold green"),
    "thinking": ("thinking", "yellow"),
    "speaking": ("speaking", "bold cyan"),
    "waiting": ("waiting for you", "magenta"),
}
NOTICE_STYLES = {"info": "yellow", "warning": "bold yellow", "error": "bold red"}
COMPACT_HEIGHT = 14
"""A lower screen shows only what a conversation needs."""
INPUT_LINES = 3
SHORT_KEYS = {
    "p push-to-talk": "p push",
    "r stop rec": "r end rec",
    "i interrupt": "i stop",
    "i answer now": "i answer",
}
SHORT_MEASURES = {"own words dropped": "dropped", "underruns": "gaps"}
ECHO_LABELS = {"webrtc": "canceled", "half_duplex": "half duplex", "headphones": "headphones"}
HELP = (
    ("t or Enter", "type; Enter sends, Esc stops, Up recalls"),
    ("i or Esc", "interrupt the agent; while it is silent: answer now"),
    ("m", "mute, unmute"),
    ("p, then space", "push-to-talk; space begins and ends a turn"),
    ("r", "start or stop recording"),
    ("s", "save the transcript"),
    ("Up, Down, PgUp, PgDn", "scroll; End goes back to the newest"),
    ("?", "this help; any key closes it"),
    ("q or Ctrl-C", "quit"),
)
SOUND_KEYS = ("m", "p, then space", "r")


def level_bar(dbfs: float, size: int, style: str) -> Text:
    """Return a level bar of `size` cells for `FLOOR_DBFS` to 0 dB."""
    filled = round(max(0.0, min(1.0, 1 - dbfs / FLOOR_DBFS)) * size)
    return Text.assemble(("█" * filled, style), ("░" * (size - filled), "dim"))


def render(state: ViewState, width: int, height: int) -> RenderableType:
    """Return a screen of exactly `height` lines, none wider than `width`."""
    head, foot = _head(state, width, height), _foot(state, width, height)
    room = height - len(head) - len(foot)
    if room < 1:  # a terminal of a few lines
        foot, room = foot[-1:], max(0, height - len(head) - 1)
    if state.help and height < COMPACT_HEIGHT:
        head, room = [], room + len(head)
    middle = _help(state, width, room) if state.help else _conversation(state, width, room)
    middle = middle[:room] + [Text("")] * (room - len(middle))
    lines = [line.copy() for line in (*head, *middle, *foot)][:height]
    for line in lines:
        line.no_wrap = True
        line.truncate(width, overflow="ellipsis")
    return Group(*lines)


def scroll(state: ViewState, width: int, height: int, how: str) -> ViewState:
    """Scroll the conversation: `line up`, `line down`, `page up`, `page down`, `top` or `end`."""
    room = max(1, height - len(_head(state, width, height)) - len(_foot(state, width, height)))
    last = max(0, sum(len(block) for block in _blocks(state, width)) - room)
    top = last if state.top is None else state.top
    page = max(1, room - 1)
    steps = {"line up": -1, "line down": 1, "page up": -page, "page down": page, "top": -top}
    top = max(0, top + steps.get(how, last))
    return replace(state, top=None if top >= last else top)


def _head(state: ViewState, width: int, height: int) -> list[Text]:
    levels = _levels(state, width)
    if height < COMPACT_HEIGHT:
        return [_header(state, width), *levels[:1]]
    return [_header(state, width), *levels, Text("─" * width, style="dim")]


def _foot(state: ViewState, width: int, height: int) -> list[Text]:
    typed = [] if state.typing is None else _input(state.typing, width)
    if height < COMPACT_HEIGHT:
        notice = [_notice(state)] if state.notice else []
        return [*notice, *typed[-1:], _keys(state, width)]
    rule = Text("─" * width, style="dim")
    return [rule, _notice(state), *_measures(state, width), *typed, _keys(state, width)]


def _phase(state: ViewState) -> tuple[str, str]:
    silent = state.phase in ("listening", "hearing")
    if silent and state.text_only:
        return "ready", "green"
    # Speech from before the microphone was muted may still be processed, but nobody is heard now.
    if silent and state.muted:
        return "not listening", "red"
    if state.phase == "listening" and not state.figures.input_name and state.figures.output_name:
        return "type to talk", "green"
    if state.phase == "listening" and state.talk_key is False:
        return "waiting for space", "green"
    if state.phase == "waiting" and state.person_speaks:
        return PHASES["hearing"]
    return PHASES[state.phase]


def _header(state: ViewState, width: int) -> Text:
    words, style = _phase(state)
    left = Text.assemble(("● ", style), (words, style))
    if state.phase != "loading" and not state.model_loaded:
        left.append("  loading", style="yellow")
    if state.muted:
        left.append("  MUTED", style="bold red")
    elif state.talk_key is not None:
        words, style = ("  TALK", "bold green") if state.talk_key else ("  push to talk", "dim")
        left.append(words, style=style)
    if state.figures.echo_mode == "half_duplex":
        left.append("  HALF DUPLEX", style="bold yellow")
    if state.recording:
        left.append("  ● REC", style="bold red")
    minutes, seconds = divmod(int(state.elapsed_s), 60)
    clock = f"{minutes:d}:{seconds:02d}"
    right = Text(f"{state.model}  {clock}", style="dim")
    if left.cell_len + right.cell_len >= width:
        right = Text(clock, style="dim")
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
    if figures.microphone_advice:
        return figures.microphone_advice, "yellow"
    return f"{figures.input_dbfs:4.0f} dB", "dim"


def _level(label: str, dbfs: float, style: str, width: int) -> Text:
    size = max(10, min(40, width // 3))
    return Text.assemble((f"{label} ", "bold"), level_bar(dbfs, size, style))


def _blocks(state: ViewState, width: int) -> Iterator[list[Text]]:
    """Yield the conversation from its end, in blocks of lines."""
    console = Console(width=width, color_system=None, legacy_windows=False)
    if state.partial:
        partial = Text.assemble(("You: ", "bold green"), (f"{state.partial} …", "italic"))
        yield list(partial.wrap(console, width))
    for turn in reversed(state.turns):
        if turn.words:
            yield list(_turn(turn).wrap(console, width))


def _conversation(state: ViewState, width: int, room: int) -> list[Text]:
    """Return the lines that fit into `room`, with blank lines above them."""
    lines: list[Text] = []
    for block in _blocks(state, width):
        if state.top is None and len(lines) >= room:
            break
        lines = block + lines
    if not lines and state.phase == "listening":
        way = "press t and type" if not state.figures.input_name else "say something, or press t and type"
        lines.append(Text("" if state.typing else way, style="dim"))
    if state.top is not None:
        below = len(lines) - state.top - room
        if below > 0:
            lines = lines[state.top : state.top + room - 1]
            return [*lines, Text(f"↓ {below + 1} more lines, PgDn shows them", style="reverse dim")]
    lines = lines[-room:] if room else []
    return [Text("") for _ in range(room - len(lines))] + lines


def _help(state: ViewState, width: int, room: int) -> list[Text]:
    console = Console(width=width, color_system=None, legacy_windows=False)
    rows = [row for row in HELP if not (state.text_only and row[0] in SOUND_KEYS)]
    texts = [Text.assemble((keys, "bold"), f"  {meaning}") for keys, meaning in rows]
    lines = [line for text in texts for line in text.wrap(console, width)]
    if len(lines) <= room:
        return lines
    return [Text.assemble((keys, "bold"), f"  {meaning.partition(';')[0]}") for keys, meaning in rows]


def _input(line: Line, width: int) -> list[Text]:
    """Return the line that is being typed: up to `INPUT_LINES` rows around the cursor."""
    label = "Type: "
    typed = Text.assemble((label, "bold yellow"), f"{line.text} ")
    cursor = len(label) + line.cursor
    typed.stylize("reverse", cursor, cursor + 1)
    breaks, column = [], 0
    for position, character in enumerate(typed.plain):
        column += cell_len(character)
        if column > width:
            breaks.append(position)
            column = cell_len(character)
    last = sum(position <= cursor for position in breaks)
    return list(typed.divide(breaks))[max(0, last - INPUT_LINES + 1) :][:INPUT_LINES]


def _turn(turn: TurnView) -> Text:
    if turn.role == "user":
        note = (" (not answered)", "magenta") if turn.cut else ""
        return Text.assemble(("You: ", "bold green"), " ".join(turn.words), note)
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
    if state.latency is None:
        first = Text("" if state.phase == "loading" else "no reply yet", style="dim")
    else:
        waited, stages = waited_text(state.latency.latency_ms), stages_text(state.latency.latency_ms)
        first = Text.assemble((waited, "bold"), (f" (stages: {stages})", "dim"))
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
    line = " · ".join(parts)
    if len(line) > width:
        for words, short in SHORT_MEASURES.items():
            line = line.replace(words, short)
    while len(line) > width and " · " in line:
        line = line.rpartition(" · ")[0]
    return Text(line, style="dim")


def _keys(state: ViewState, width: int) -> Text:
    if state.help:
        return Text("any key closes this", style="reverse")
    if state.typing is not None:
        after = "Esc, then q: quit" if state.text_only else "Esc stop typing"
        return Text(f"Enter send · {after}", style="reverse")
    waits = state.phase in ("listening", "hearing") and (state.partial or state.person_speaks)
    keys = ["q quit", "t type", "i answer now" if waits else "i interrupt"]
    if not state.text_only:
        keys += ["m unmute" if state.muted else "m mute", "p push-to-talk"]
        if state.talk_key is not None:
            keys.append("space done" if state.talk_key else "space talk")
        keys.append("r stop rec" if state.recording else "r record")
    keys += ["s save", "? help"]
    for long, short in SHORT_KEYS.items():
        if len(" · ".join(keys)) > width:
            keys = [short if key == long else key for key in keys]
    while len(" · ".join(keys)) > width and len(keys) > 1:
        del keys[-2]  # the help lists them all
    return Text(" · ".join(keys), style="reverse")
