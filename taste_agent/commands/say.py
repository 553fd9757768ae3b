"""`taste-agent say`: a text in the checkpoint's voice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from taste_agent.audio.devices import find_device, list_devices, portaudio
from taste_agent.clock import ENGINE_RATE_HZ
from taste_agent.config import AgentSettings
from taste_agent.dialog.first_use import announce_first_use
from taste_agent.dialog.loading import load_model
from taste_agent.dialog.reading import read_aloud
from taste_agent.dialog.taste_brain import speaker_embedding
from taste_agent.errors import AudioDeviceError, AudioFileError
from taste_agent.ui.quiet import native_stderr_silenced


def say_text(text: str, settings: AgentSettings, out: Path | None) -> float:
    """Speak `text` on the loudspeaker, or write it to the wav file `out`; returns its seconds."""
    if out is None:
        portaudio()
    announce_first_use(settings.model)
    model, processor = load_model(settings.model)
    speaker = speaker_embedding(processor, settings.dialog.voice)
    chunks = read_aloud(model, processor, text, speaker, settings.sampling.seed)
    samples = np.concatenate(list(chunks))
    if out is None:
        _play(samples, settings.devices.output)
    else:
        _write(out, samples)
    return samples.size / ENGINE_RATE_HZ


def _play(samples: np.ndarray, wanted: str) -> None:
    sounddevice = portaudio()
    with native_stderr_silenced():
        device = find_device(list_devices(), wanted, "output")
        try:
            sounddevice.play(samples, ENGINE_RATE_HZ, device=device.index, blocking=True)
        except sounddevice.PortAudioError as error:
            raise AudioDeviceError(
                f"cannot play on {device.name!r}: {error}; choose another with --output or write with --out"
            ) from error


def _write(path: Path, samples: np.ndarray) -> None:
    try:
        soundfile.write(path, samples, ENGINE_RATE_HZ, subtype="PCM_16")
    except (soundfile.SoundFileError, OSError, TypeError, ValueError) as error:
        raise AudioFileError(
            f"cannot write {path} ({error}); name a .wav file in a writable folder"
        ) from error
