"""Measures how many conversations this machine can hold in real time."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from taste_agent.audio.ports import Samples
from taste_agent.clock import ENGINE_RATE_HZ, samples_of_ms, seconds_of_samples
from taste_agent.config import AgentSettings
from taste_agent.serve.mind import Mind
from taste_speech.audio_io import load_audio

QUESTION = Path(__file__).parents[1] / "demo" / "question.wav"
USABLE = 0.8
"""Share of the time that may be spent on average; the rest is a reserve for coincidences."""


@dataclass(frozen=True)
class Capacity:
    """Computing time per second of sound, for hearing and for speaking."""

    hearing_rtf: float
    speaking_rtf: float

    @property
    def sessions(self) -> int:
        """Number of conversations in real time, even if all are at their most expensive."""
        return int(USABLE / max(self.hearing_rtf, self.speaking_rtf, 1e-9))


def measure_capacity(mind: Mind, settings: AgentSettings) -> Capacity:
    """Answer a recorded question twice and time the second answer. The first one is a warm-up."""
    question = load_audio(QUESTION, ENGINE_RATE_HZ)
    _answer(mind, settings, question)
    return _answer(mind, settings, question)


def _answer(mind: Mind, settings: AgentSettings, question: Samples) -> Capacity:
    start_s = time.perf_counter()
    text = _recognize(mind, settings, question)
    heard_s = time.perf_counter()
    mind.prefill(mind.tokenize(text, question))
    samples = 0
    for item in mind.reply():
        samples += len(mind.speak(item).samples)
    spoken_s = time.perf_counter()
    mind.discard()
    return Capacity(
        (heard_s - start_s) / seconds_of_samples(len(question)),
        (spoken_s - heard_s) / max(seconds_of_samples(samples), 0.1),
    )


def _recognize(mind: Mind, settings: AgentSettings, question: Samples) -> str:
    recognizer = mind.recognizer()
    recognizer.start()
    every = samples_of_ms(settings.recognition.partial_every_ms) or len(question)
    for first in range(0, len(question), every):
        recognizer.accept(np.asarray(question[first : first + every], np.float32))
        if settings.recognition.partial_every_ms:
            recognizer.partial()
    return recognizer.finish().text
