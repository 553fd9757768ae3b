"""Encoding an utterance in windows, so that most of it is encoded while the person still speaks.

The encoder is not causal. A window is encoded with what came before it and some audio after it (look-ahead),
and only its own frames are kept; they are final as soon as the look-ahead has been heard. The result is not
that of one pass over the whole utterance: a checkpoint must be trained for it (`encoder_window_s`), or it
serves as a preview.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from taste_speech.audio_tower.configuration import TowerConfig
from taste_speech.audio_tower.encoder import EncodedAudio, encoder_frames

if TYPE_CHECKING:
    from taste_speech.streaming.configuration import StreamingConfig


@dataclass(frozen=True)
class WindowSpan:
    """One window in mel frames: `start` to `end` are kept, `first` to `last` are encoded."""

    start: int
    end: int
    first: int
    last: int


@dataclass(frozen=True)
class EncoderWindows:
    """Sizes in mel frames; window and left context are even, as two mel frames make one encoder frame.

    Attributes:
        window: frames of a window.
        look_ahead: frames after it that it sees.
        left: frames before it that it sees; None: all.
    """

    window: int
    look_ahead: int
    left: int | None = None

    @classmethod
    def from_config(cls, tower: TowerConfig, streaming: "StreamingConfig") -> "EncoderWindows | None":
        """The windows that a checkpoint was trained with; None: it was trained with one pass."""
        seconds = streaming.encoder_window_s
        return None if seconds is None else cls.of_length(seconds, tower, streaming)

    @classmethod
    def of_length(cls, window_s: float, tower: TowerConfig, streaming: "StreamingConfig") -> "EncoderWindows":
        """Windows of `window_s` seconds with the configured look-ahead and left context.

        A checkpoint whose encoder always sees the padded full length gets all that came before, which costs
        it no more.
        """
        left_s = None if tower.pad_to_max_source else streaming.encoder_left_context_s
        rate = tower.sampling_rate_hz / tower.hop_samples
        return cls(
            window=max(2, 2 * round(window_s * rate / 2)),
            look_ahead=round(streaming.encoder_look_ahead_s * rate),
            left=None if left_s is None else 2 * round(left_s * rate / 2),
        )

    def span(self, index: int) -> WindowSpan:
        """Window `index` of an utterance that has not ended."""
        start = index * self.window
        end = start + self.window
        return WindowSpan(start, end, self._first(start), end + self.look_ahead)

    def spans(self, n_frames: int) -> list[WindowSpan]:
        """All windows of an utterance of `n_frames`; the last ones are cut at its end."""
        return [
            WindowSpan(start, min(start + self.window, n_frames), self._first(start), last)
            for start in range(0, n_frames, self.window)
            for last in (min(start + self.window + self.look_ahead, n_frames),)
        ]

    def _first(self, start: int) -> int:
        return 0 if self.left is None else max(0, start - self.left)


def keep_window(encoded: EncodedAudio, span: WindowSpan) -> EncodedAudio:
    """The window's own frames of the encoded stretch `span.first` to `span.last`."""
    first = (span.start - span.first) // 2
    kept = slice(first, first + encoder_frames(span.end - span.start))
    mask = None if encoded.mask is None else encoded.mask[:, kept]
    return EncodedAudio(encoded.keys[:, kept], encoded.values[:, kept], mask)


def join_windows(windows: list[EncodedAudio]) -> EncodedAudio:
    """Consecutive windows as one encoded utterance."""
    masks: list[Tensor] = []
    if any(window.mask is not None for window in windows):
        masks = [
            torch.ones(window.keys.shape[:2], dtype=torch.bool, device=window.keys.device)
            if window.mask is None
            else window.mask
            for window in windows
        ]
    return EncodedAudio(
        torch.cat([window.keys for window in windows], dim=1),
        torch.cat([window.values for window in windows], dim=1),
        torch.cat(masks, dim=1) if masks else None,
    )
