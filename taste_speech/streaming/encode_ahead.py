"""Encoding an utterance while it is still being heard, window by window."""

from dataclasses import dataclass

import torch
from torch import Tensor

from taste_speech.audio_io import Samples
from taste_speech.audio_tower.encoder import EncodedAudio
from taste_speech.audio_tower.tower import AudioTower
from taste_speech.audio_tower.windows import EncoderWindows, WindowSpan, join_windows
from taste_speech.features import LogMelFeatures

_SAME_FEATURES = 1e-4
"""Largest difference by which features computed in pieces may differ from those of the whole by rounding."""


class LogMelStream:
    """Log-mel frames of audio that arrives in pieces; a frame appears once its window has been heard."""

    def __init__(self, features: LogMelFeatures):
        self._features = features
        self._begun = False
        self._tail = torch.zeros(0)  # samples from the next frame's window on
        self._raw: list[Tensor] = []  # pieces of (frames, bins), not yet cut at the utterance's peak
        self.n_frames = 0

    def append(self, samples: Samples) -> None:
        """Take more samples at the tower's rate."""
        config = self._features.config
        self._tail = torch.cat([self._tail, torch.from_numpy(samples)])
        if not self._begun:
            half = config.n_fft // 2
            if self._tail.shape[0] <= half:
                return
            self._tail = torch.cat(
                [self._tail[1 : half + 1].flip(0), self._tail]
            )  # as `raw` mirrors the start
            self._begun = True
        if self._tail.shape[0] >= config.n_fft:
            frames = (self._tail.shape[0] - config.n_fft) // config.hop_samples + 1
            self._raw.append(self._features.raw_interior(self._tail))
            self._tail = self._tail[frames * config.hop_samples :]
            self.n_frames += frames

    def features(self) -> Tensor:
        """(1, frames, bins), cut below the peak of what has been heard so far."""
        if not self._raw:
            return torch.zeros(1, 0, self._features.config.num_mel_bins)
        return self._features.normalize(torch.cat(self._raw))[None]


@dataclass(frozen=True)
class _FrozenWindow:
    """A window that was encoded, and the features (1, frames, bins) that it was encoded from."""

    features: Tensor
    encoded: EncodedAudio

    def fits(self, stretch: Tensor) -> bool:
        """Whether encoding `stretch` would give the same."""
        return stretch.shape == self.features.shape and bool(
            (stretch - self.features).abs().max() < _SAME_FEATURES
        )


class EncodeAhead:
    """Encodes windows of one utterance as soon as their look-ahead has been heard, and keeps them."""

    def __init__(self, tower: AudioTower, features: LogMelFeatures, windows: EncoderWindows):
        self._tower = tower
        self._windows = windows
        self._stream = LogMelStream(features)
        self._frozen: list[_FrozenWindow] = []
        self._hop_s = features.config.hop_samples / features.config.sampling_rate_hz

    @property
    def frozen_s(self) -> float:
        """Seconds of audio whose windows are encoded for good."""
        return len(self._frozen) * self._windows.window * self._hop_s

    def append(self, samples: Samples) -> None:
        """Take more samples at the tower's rate; nothing is encoded yet."""
        self._stream.append(samples)

    def advance(self) -> None:
        """Encode the windows that are complete."""
        if self._windows.span(len(self._frozen)).last > self._stream.n_frames:
            return
        features = self._stream.features()
        while (span := self._windows.span(len(self._frozen))).last <= self._stream.n_frames:
            stretch = features[:, span.first : span.last]
            self._frozen.append(_FrozenWindow(stretch, self._encode(features, span)))

    def preview(self) -> EncodedAudio | None:
        """The frozen windows, and what follows them encoded without its look-ahead; None before any frame."""
        self.advance()
        features = self._stream.features()
        rest = self._windows.spans(self._stream.n_frames)[len(self._frozen) :]
        parts = [window.encoded for window in self._frozen] + [self._encode(features, span) for span in rest]
        return join_windows(parts) if parts else None

    def finish(self, features: Tensor) -> tuple[EncodedAudio, int]:
        """The utterance in windows, from its final features (1, frames, bins).

        A frozen window is used again unless its features changed, which happens when a later, louder part
        moves the cut below the peak.

        Returns:
            what `AudioTower.encode` gives for these windows, and how many windows were encoded ahead.
        """
        parts: list[EncodedAudio] = []
        reused = 0
        for index, span in enumerate(self._windows.spans(features.shape[1])):
            frozen = self._frozen[index] if index < len(self._frozen) else None
            if frozen is not None and frozen.fits(features[:, span.first : span.last]):
                parts.append(frozen.encoded)
                reused += 1
            else:
                parts.append(self._encode(features, span))
        return join_windows(parts), reused

    def _encode(self, features: Tensor, span: WindowSpan) -> EncodedAudio:
        return self._tower.encode_window(features, span)
