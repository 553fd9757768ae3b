"""`session.png`: both waveforms over time, with speech, turns, interruptions, words and latencies."""

import math
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from taste_agent import events as ev
from taste_agent.audio.ports import Samples
from taste_agent.clock import ENGINE_RATE_HZ, seconds_of_samples
from taste_agent.session.transcript import Transcript, Turn

_BIN_SAMPLES = ENGINE_RATE_HZ // 50
_PERSON, _AGENT, _SPEECH = "#2563a8", "#d9622b", "#cfe3f7"
_THINKING, _PAUSED, _ALARM, _QUIET, _INK = "#fdf0c4", "#f6d5d5", "#c0262d", "#8a8f98", "#22262b"
_ROW_S, _MAX_ROWS, _COLUMNS = 20.0, 12, 1600
_LANE = {"user": 0.55, "assistant": -0.55}
_LANE_HEIGHT = 0.36
_WORDS_UP_TO_S = 45.0
"""Rows that last longer show turns only, for words would lie on each other."""


@dataclass
class Envelope:
    """Peaks of a waveform, one per 20 ms: an hour takes less than a megabyte."""

    peaks: array = field(default_factory=lambda: array("f"))
    _rest: Samples = field(default_factory=lambda: np.zeros(0, np.float32))

    def add(self, samples: Samples) -> None:
        """Takes the next samples."""
        pending = np.concatenate([self._rest, samples])
        count = len(pending) // _BIN_SAMPLES
        bins = np.abs(pending[: count * _BIN_SAMPLES]).reshape(count, _BIN_SAMPLES)
        self.peaks.extend(bins.max(axis=1).astype(float) if count else ())
        self._rest = pending[count * _BIN_SAMPLES :]

    def between(self, start_s: float, end_s: float, columns: int) -> tuple[np.ndarray, np.ndarray]:
        """Times and peaks of a stretch, at most `columns` of them."""
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
    """Collects what the picture shows while the session runs, and draws it at the end."""

    def __init__(self) -> None:
        self.person = Envelope()
        self.agent = Envelope()
        self._spans: list[_Span] = []
        self._open: dict[str, float] = {}

    def take(self, event: ev.Event) -> None:
        """Adds what an event tells."""
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
                self._end("latency", at_s, f"{event.since_end_of_speech_ms:.0f} ms")
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
        """Writes the picture.

        Raises:
            OSError: the file cannot be written.
        """
        from matplotlib import rc_context

        with rc_context({"text.parse_math": False}):  # a dollar sign is one
            self._draw(path, transcript, title)

    def _draw(self, path: Path, transcript: Transcript, title: str) -> None:
        from matplotlib.figure import Figure

        duration_s = max(1.0, len(self.person.peaks) * _BIN_SAMPLES / ENGINE_RATE_HZ)
        rows = min(_MAX_ROWS, math.ceil(duration_s / _ROW_S))
        row_s = max(duration_s / rows, 4.0)
        figure = Figure(figsize=(16, 1.1 + 2.5 * rows), layout="constrained", facecolor="white")
        grid = figure.subplots(rows, 1, squeeze=False)[:, 0]
        peak = max(max(self.person.peaks, default=0.0), 0.02), max(max(self.agent.peaks, default=0.0), 0.02)
        for index, axes in enumerate(grid):
            self._draw_row(axes, index * row_s, (index + 1) * row_s, peak, transcript.turns)
        grid[-1].set_xlabel("seconds", color=_QUIET)
        figure.suptitle(title or "Session", x=0.01, ha="left", fontsize=13, color=_INK, fontweight="bold")
        _draw_legend(figure)
        figure.savefig(path, dpi=100, metadata={"Software": None})

    def _draw_row(
        self, axes: Any, start_s: float, end_s: float, peak: tuple[float, float], turns: list[Turn]
    ) -> None:
        axes.set_xlim(start_s, end_s)
        axes.set_ylim(-1.25, 1.25)
        axes.set_yticks([_LANE["user"], _LANE["assistant"]], ["person", "agent"], color=_INK)
        axes.tick_params(length=0, colors=_INK)
        axes.grid(axis="x", color="#e6e8eb", linewidth=0.6)
        axes.set_axisbelow(True)
        for side in ("top", "right", "left", "bottom"):
            axes.spines[side].set_visible(False)
        for span in self._spans:
            if span.end_s >= start_s and span.start_s <= end_s:
                _draw_span(axes, span, start_s, end_s)
        for envelope, role, color, top in (
            (self.person, "user", _PERSON, peak[0]),
            (self.agent, "assistant", _AGENT, peak[1]),
        ):
            times, peaks = envelope.between(start_s, end_s, _COLUMNS)
            height = peaks / top * _LANE_HEIGHT
            axes.fill_between(times, _LANE[role] - height, _LANE[role] + height, color=color, linewidth=0)
        for turn in turns:
            if turn.end_s >= start_s and turn.start_s <= end_s:
                _draw_text(axes, turn, start_s, end_s)


def _draw_span(axes: Any, span: _Span, start_s: float, end_s: float) -> None:
    low, high = _LANE["user"] - 0.42, _LANE["user"] + 0.42
    middle = (max(span.start_s, start_s) + min(span.end_s, end_s)) / 2
    if span.kind == "speech":
        axes.fill_between([span.start_s, span.end_s], low, high, color=_SPEECH, linewidth=0)
    elif span.kind in ("thinking", "paused"):
        color = _THINKING if span.kind == "thinking" else _PAUSED
        lane = _LANE["assistant"]
        axes.fill_between([span.start_s, span.end_s], lane - 0.42, lane + 0.42, color=color, linewidth=0)
        if span.label:
            axes.text(middle, lane + 0.44, span.label, ha="center", va="bottom", fontsize=7, color=_QUIET)
        if span.kind == "thinking":
            axes.plot([span.start_s] * 2, [-1.0, 1.0], color=_QUIET, linewidth=0.9, linestyle=(0, (3, 2)))
    elif span.kind == "latency":
        arrow = {"arrowstyle": "<->", "color": _INK, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", (span.start_s, 0.0), (span.end_s, 0.0), arrowprops=arrow)
        axes.text(
            span.end_s, 0.0, f" {span.label}", ha="left", va="center", fontsize=8, color=_INK, clip_on=True
        )
    elif span.kind == "cut" and start_s <= span.start_s < end_s:
        axes.plot([span.start_s] * 2, [-1.0, 1.0], color=_ALARM, linewidth=1.4)
        axes.text(span.start_s, 0.0, "interrupted ", color=_ALARM, fontsize=8, ha="right", va="center")


def _draw_text(axes: Any, turn: Turn, start_s: float, end_s: float) -> None:
    person = turn.role == "user"
    color = _PERSON if person else _AGENT
    y, va = (1.0, "bottom") if person else (-1.0, "top")
    if end_s - start_s > _WORDS_UP_TO_S:
        if start_s <= turn.start_s < end_s:
            text = turn.heard_text if len(turn.heard_text) < 40 else turn.heard_text[:38] + "…"
            axes.text(turn.start_s, y, text, fontsize=6, color=color, va=va, clip_on=True)
        return
    slant = 20 if person else -20
    for word in turn.words:
        if start_s <= word.start_s < end_s:
            axes.text(word.start_s, y, word.text.strip(), fontsize=7.5, color=color, va=va, rotation=slant)
    if turn.cut_text and start_s <= turn.end_s < end_s:
        text = turn.cut_text if len(turn.cut_text) < 32 else turn.cut_text[:30] + "…"
        style = {"fontsize": 7.5, "color": _QUIET, "style": "italic", "clip_on": True}
        axes.text(turn.end_s, _LANE["assistant"], f"  {text}", va="center", zorder=1, **style)


def _draw_legend(figure: Any) -> None:
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
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles), fontsize=8, frameon=False)
