"""`taste-agent say`: speaks a text with the checkpoint's voice."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import soundfile

from taste_agent.audio.devices import PortAudioBackend, StuckError, find_device, portaudio
from taste_agent.audio.filters import StreamResampler
from taste_agent.audio.sound_card import FADE_S, MAX_BLOCK_MS, START_S, open_stream
from taste_agent.audio.streams import PlaybackSide
from taste_agent.clock import ENGINE_RATE_HZ
from taste_agent.config import AgentSettings
from taste_agent.dialog.brain_loader import announce_first_use, check_names
from taste_agent.dialog.loading import device_of, load_model
from taste_agent.dialog.sound import read_aloud
from taste_agent.dialog.taste_brain import speaker_embedding
from taste_agent.errors import AudioDeviceError, AudioFileError
from taste_agent.output_folder import check_writable
from taste_agent.ui.terminal import native_stderr_silenced
from taste_speech import TasteProcessor
from taste_speech.words import split_words

_FORMATS = (".wav", ".flac", ".ogg", ".mp3")


def say_text(text: str, settings: AgentSettings, out: Path | None) -> float:
    """Speak a text on the loudspeaker or to a sound file, and return its duration in seconds.

    Args:
        text: at least one word; `-` reads the text from stdin.
        settings: settings of the agent, of which model, voice, loudspeaker and seed are used.
        out: the sound file, whose suffix is its format.

    Raises:
        AudioDeviceError: PortAudio or the loudspeaker is missing, cannot be opened, or stops.
        AudioFileError: `out` cannot be written.
        TextError: the text has no words, or words that cannot be spoken.
    """
    if text == "-":
        text = sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
    split_words(text)
    check_names(settings)
    device_of(settings.model)
    if out is None:
        portaudio()
    else:
        _check_out(out)
    announce_first_use(settings.model)
    processor = TasteProcessor.from_pretrained(settings.model.checkpoint)
    processor.split_text(text)
    speaker = speaker_embedding(processor, settings.dialog.voice)
    model, processor = load_model(settings.model)
    chunks = read_aloud(model, processor, text, speaker, settings.sampling.seed)
    samples = np.concatenate(list(chunks))
    if out is None:
        _play(samples, settings.devices.output)
    else:
        _write(out, samples)
    return samples.size / ENGINE_RATE_HZ


def _play(samples: np.ndarray, wanted: str) -> None:
    backend = PortAudioBackend()
    with native_stderr_silenced():
        try:
            device = find_device(backend.list_devices(), wanted, "output")
            stream, side = open_stream(backend, device, "output", MAX_BLOCK_MS, _new_side)
            try:
                _feed(samples, side)
            finally:
                with suppress(StuckError):
                    stream.close()
        except AudioDeviceError as error:
            raise AudioDeviceError(f"{error}; or write a sound file with --out") from error


def _new_side(rate_hz: int) -> PlaybackSide:
    """Return a side for the longest blocks, which survive the longest hiccups; latency does not matter."""
    return PlaybackSide(
        rate_hz, prime_samples=0, fade_samples=round(rate_hz * FADE_S), latency_s=2 * MAX_BLOCK_MS / 1000
    )


def _feed(samples: np.ndarray, side: PlaybackSide) -> None:
    resampler = StreamResampler(ENGINE_RATE_HZ, side.rate_hz)
    # With a block of silence at the end, the speech is over when that block has gone to the device.
    silence = np.zeros(side.rate_hz * MAX_BLOCK_MS // 1000, dtype=np.float32)
    left = np.concatenate((resampler.feed(samples), resampler.finish(), silence))
    while left.size or side.queue.available:
        if time.monotonic() - side.last_callback_s > START_S:
            raise AudioDeviceError("the loudspeaker stopped; choose another with --output")
        left = left[side.queue.write(left[: side.queue.free]) :]
        time.sleep(MAX_BLOCK_MS / 1000)
    time.sleep(side.delay_s)


def _check_out(path: Path) -> None:
    if path.suffix.lower() not in _FORMATS:
        raise AudioFileError(f"cannot write {path}; its name must end in {', '.join(_FORMATS)}")
    if not path.parent.is_dir() or path.is_dir():
        raise AudioFileError(f"cannot write {path}; name a .wav file in an existing folder")
    check_writable(path.parent)


def _write(path: Path, samples: np.ndarray) -> None:
    try:
        soundfile.write(path, samples, ENGINE_RATE_HZ)
    except (soundfile.SoundFileError, OSError, TypeError, ValueError) as error:
        raise AudioFileError(
            f"cannot write {path} ({error}); name a .wav file in a writable folder"
        ) from error
