"""`session.png`: both waveforms over time, with speech, turns, interruptions, words and latencies."""

import math
from array import array
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from taste_agent import events as ev
from taste_agent.audio.ports import Samples
from taste_agent.clock import ENGINE_RATE_HZ, seconds_of_samples
from taste_agent.output_folder import owner_only
from taste_agent.session.transcript import Transcript, Turn
from taste_agent.ui.picture_layout import MIN_SHARE, Caption, Row, captions, rows_of

_BIN_SAMPLES = ENGINE_RATE_HZ // 50
_PERSON, _AGENT, _SPEECH = "#2563a8", "#d9622b", "#cfe3f7"
_THINKING, _PAUSED, _ALARM, _QUIET, _INK = "#fdf0c4", "#f6d5d5", "#c0262d", "#6c727c", "#22262b"
_FILLS = {"speech": _SPEECH, "thinking": _THINKING, "paused": _PAUSED}
_LANE = {"user": 0.55, "assistant": -0.55}
_LANE_HEIGHT, _EDGE = 0.36, 1.05
_COLUMNS = 1600
_WIDTH_IN, _LEFT_IN, _RIGHT_IN, _TITLE_IN, _TICKS_IN = 16.0, 0.7, 0.2, 0.6, 0.35
_UNIT_IN = 0.85
"""Height of a unit of the rows' y axis. A line of text is `_LINE` units high."""
_LINE, _TEXT_PT, _LETTERS = 0.19, 8.5, 205
"""`_LETTERS` letters of size `_TEXT_PT` fit into a row."""
_TICK_STEPS_S = (1, 2, 5, 10, 30, 60, 300)


@dataclass
class Envelope:
    """The peaks of a waveform, one every 20 ms. An hour takes less than a megabyte."""

    peaks: array = field(default_factory=lambda: array("f"))
    _rest: Samples = field(default_factory=lambda: np.zeros(0, np.float32))

    def add(self, samples: Samples) -> None:
        """Add the next samples."""
        pending = np.concatenate([self._rest, samples])
        count = len(pending) // _BIN_SAMPLES
        bins = np.abs(pending[: count * _BIN_SAMPLES]).reshape(count, _BIN_SAMPLES)
        self.peaks.extend(bins.max(axis=1).astype(float) if count else ())
        self._rest = pending[count * _BIN_SAMPLES :]

    def between(self, start_s: float, end_s: float, columns: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the times and peaks of a stretch, at most `columns` of them."""
        bins_per_s = ENGINE_RATE_HZ / _BIN_SAMPLES
        first, last = int(start_s * bins_per_s), min(int(end_s * bins_per_s), len(self.peaks))
        peaks = np.asarray(self.peaks[first:last], np.float32)
        step = max(1, math.ceil(len(peaks) / columns))
        peaks = np.pad(peaks, (0, -len(peaks) % step)).reshape(-1, step).max(axis=1, initial=0.0)
        return start_s + np.arange(len(peaks)) * step / bins_per_s, peaks


@dataclass(frozen=True, slots=True)
class _Span:
    kind: str
    start_s: float
    end_s: float
    label: str = ""


class SessionPicture:
    """Collects the events of a session and draws them at the end."""

    def __init__(self) -> None:
        self.person = Envelope()
        self.agent = Envelope()
        self._spans: list[_Span] = []
        self._open: dict[str, float] = {}

    def take(self, event: ev.Event) -> None:
        """Add an event."""
        at_s = seconds_of_samples(event.at)
        match event:
            case ev.SpeechStarted():
                self._open["speech"] = seconds_of_samples(event.first_sample)
            case ev.SpeechEnded():
                self._end("speech", seconds_of_samples(event.last_sample))
            case ev.TurnEnded():
                self._open["thinking"] = at_s
                self._open["latency"] = seconds_of_samples(event.end_of_speech)
            case ev.FirstAudio():
                self._end("thinking", at_s)
                self._end("latency", at_s, f"{event.latency_ms['waited']:.0f} ms")
            case ev.NoSpeech():
                self._end("thinking", at_s, "stays silent")
                self._open.pop("latency", None)
            case ev.PlaybackPaused():
                self._open["paused"] = at_s
            case ev.PlaybackResumed():
                self._end("paused", at_s, "goes on")
            case ev.ReplyCancelled():
                self._end("paused", at_s)
                self._end("thinking", at_s)
                self._open.pop("latency", None)
                self._spans.append(_Span("cut", at_s, at_s, "interrupted"))
            case ev.SessionEnded():
                for kind in list(self._open):
                    self._end(kind, at_s)

    def _end(self, kind: str, at_s: float, label: str = "") -> None:
        start_s = self._open.pop(kind, None)
        if start_s is not None:
            self._spans.append(_Span(kind, start_s, at_s, label))

    def draw(self, path: Path, transcript: Transcript, title: str = "") -> None:
        """Write the picture, readable only by its owner.

        Raises:
            OSError: the file cannot be written.
        """
        from matplotlib import rc_context

        with rc_context({"text.parse_math": False}):  # a dollar sign is a dollar sign
            figure = self._figure(transcript.turns, title)
            with open(path, "wb", opener=owner_only) as file:
                figure.savefig(file, format="png", dpi=100, metadata={"Software": None})

    def _figure(self, turns: list[Turn], title: str) -> Any:
        from matplotlib.figure import Figure

        duration_s = max(1.0, len(self.person.peaks) * _BIN_SAMPLES / ENGINE_RATE_HZ)
        busy = [(span.start_s, span.end_s) for span in self._spans]
        rows = rows_of(duration_s, busy + [(turn.start_s, turn.end_s) for turn in turns], turns)
        sides = {role: [turn for turn in turns if turn.role == role] for role in ("user", "assistant")}
        texts = [{role: captions(row, side, _LETTERS) for role, side in sides.items()} for row in rows]
        limits = [(-_EDGE - _height(text["assistant"]), _EDGE + _height(text["user"])) for text in texts]
        heights = [(top - bottom) * _UNIT_IN + _TICKS_IN for bottom, top in limits]
        height = sum(heights) + _TITLE_IN
        figure = Figure(figsize=(_WIDTH_IN, height), facecolor="white")
        peaks = {"user": max(self.person.peaks, default=0.0), "assistant": max(self.agent.peaks, default=0.0)}
        below = height - _TITLE_IN
        for row, text, (bottom, top), row_height in zip(rows, texts, limits, heights, strict=True):
            below -= row_height
            box = (
                _LEFT_IN / _WIDTH_IN,
                (below + _TICKS_IN) / height,
                (_WIDTH_IN - _LEFT_IN - _RIGHT_IN) / _WIDTH_IN,
                (row_height - _TICKS_IN) / height,
            )
            axes = figure.add_axes(box)
            axes.set_ylim(bottom, top)
            self._draw_row(axes, row, peaks)
            for role, color in (("user", _PERSON), ("assistant", _AGENT)):
                _draw_captions(axes, text[role], role == "user", color)
        at = 1 - 0.12 / height
        shown = drawable(title, "") or "Session"
        figure.text(0.01, at, shown, ha="left", va="top", fontsize=13, color=_INK, fontweight="bold")
        _draw_legend(figure, at)
        return figure

    def _draw_row(self, axes: Any, row: Row, peaks: dict[str, float]) -> None:
        axes.set_xlim(0, row.width_s)
        axes.set_yticks([_LANE["user"], _LANE["assistant"]], ["person", "agent"], color=_INK)
        axes.tick_params(length=0, colors=_INK)
        axes.grid(axis="x", color="#e6e8eb", linewidth=0.6)
        axes.set_axisbelow(True)
        for side in ("top", "right", "left", "bottom"):
            axes.spines[side].set_visible(False)
        _draw_ticks(axes, row)
        for span in self._spans:
            _draw_span(axes, span, row)
        for envelope, role, color in ((self.person, "user", _PERSON), (self.agent, "assistant", _AGENT)):
            for stretch in row.stretches:
                columns = max(2, int(_COLUMNS * (stretch.end_s - stretch.start_s) / row.width_s))
                times, loud = envelope.between(stretch.start_s, stretch.end_s, columns)
                height = loud / max(peaks[role], 0.02) * _LANE_HEIGHT
                x = stretch.x + times - stretch.start_s
                axes.fill_between(x, _LANE[role] - height, _LANE[role] + height, color=color, linewidth=0)


def _height(texts: list[Caption]) -> float:
    """Return the height of the tallest text, in units of the y axis."""
    lines = max((len(text.heard) + len(text.cut) for text in texts), default=0)
    return lines * _LINE + (0.1 if lines else 0.0)


def _draw_ticks(axes: Any, row: Row) -> None:
    step = next((step for step in _TICK_STEPS_S if step * 16 >= row.width_s), _TICK_STEPS_S[-1])
    ticks = [
        second
        for stretch in row.stretches
        for second in range(math.ceil(stretch.start_s / step) * step, math.ceil(stretch.end_s), step)
    ]
    labels = [f"{second // 60}:{second % 60:02d}" for second in ticks]
    axes.set_xticks([row.x_of(second) for second in ticks], labels, fontsize=8, color=_QUIET)
    for left, right in pairwise(row.stretches):
        if right.start_s - left.end_s < 0.05:
            continue
        end = left.x + left.end_s - left.start_s
        axes.axvspan(end, right.x, color="#f1f2f4", linewidth=0)
        style = {"ha": "center", "va": "center", "fontsize": 8, "color": _QUIET}
        axes.text((end + right.x) / 2, 0.0, f"{right.start_s - left.end_s:.0f} s", rotation=90, **style)


def _draw_span(axes: Any, span: _Span, row: Row) -> None:
    if span.end_s < row.stretches[0].start_s or span.start_s >= row.stretches[-1].end_s:
        return
    start, end = row.x_of(span.start_s), row.x_of(span.end_s)
    lane = _LANE["user" if span.kind == "speech" else "assistant"]
    if span.kind in _FILLS:
        axes.fill_between([start, end], lane - 0.42, lane + 0.42, color=_FILLS[span.kind], linewidth=0)
        if span.label:
            place = {"ha": "center", "va": "bottom", "fontsize": 7, "color": _QUIET}
            axes.text((start + end) / 2, lane + 0.44, span.label, **place)
        if span.kind == "thinking" and row.holds(span.start_s):
            axes.plot([start] * 2, [-1.0, 1.0], color=_QUIET, linewidth=0.9, linestyle=(0, (3, 2)))
    elif span.kind == "latency":
        arrow = {"arrowstyle": "<->", "color": _INK, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", (start, 0.0), (end, 0.0), arrowprops=arrow)
        at_end = end > (1 - MIN_SHARE) * row.width_s
        _draw_label(axes, span.label, start if at_end else end, at_end, _INK)
    elif span.kind == "cut" and row.holds(span.start_s):
        axes.plot([start] * 2, [-1.0, 1.0], color=_ALARM, linewidth=1.4)
        # To the right, the arrow to the next answer may be in the way.
        _draw_label(axes, span.label, start, start > MIN_SHARE * row.width_s, _ALARM)


def _draw_label(axes: Any, text: str, x: float, to_left: bool, color: str) -> None:
    """Write `text` between the lanes, to the left or to the right of `x`."""
    place = {"ha": "right" if to_left else "left", "va": "center", "fontsize": 8, "color": color}
    axes.text(x, 0.0, f" {text} ", **place)


def _draw_captions(axes: Any, texts: list[Caption], above: bool, color: str) -> None:
    for text in texts:
        lines = [
            *((line, color, "normal") for line in text.heard),
            *((line, _QUIET, "italic") for line in text.cut),
        ]
        for number, (line, ink, style) in enumerate(lines):
            y = _EDGE + (len(lines) - number) * _LINE if above else -_EDGE - number * _LINE
            axes.text(text.x, y, drawable(line, "?"), fontsize=_TEXT_PT, color=ink, style=style, va="top")


def drawable(text: str, instead: str) -> str:
    """Replace the characters that the font lacks with `instead`; if that is empty, drop the whole text."""
    known = _letters_of_font()
    if instead:
        return "".join(letter if ord(letter) in known else instead for letter in text)
    return text if all(ord(letter) in known for letter in text) else ""


@cache
def _letters_of_font() -> frozenset[int]:
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont("DejaVu Sans")).get_charmap())


def _draw_legend(figure: Any, top: float) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [
        Patch(color=_PERSON, label="person"),
        Patch(color=_SPEECH, label="speech (VAD)"),
        Line2D([], [], color=_QUIET, linestyle=(0, (3, 2)), label="end of turn"),
        Patch(color=_THINKING, label="thinking"),
        Patch(color=_AGENT, label="agent"),
        Line2D([], [], color=_INK, marker="_", label="end of speech to first audio"),
        Patch(color=_PAUSED, label="paused"),
        Line2D([], [], color=_ALARM, label="interrupted"),
    ]
    place = {"loc": "upper right", "bbox_to_anchor": (0.995, top), "borderaxespad": 0.0}
    figure.legend(handles=handles, ncols=len(handles), fontsize=8, frameon=False, **place)
