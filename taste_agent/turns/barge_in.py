"""What to do when the person speaks over the agent. Pure."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

from taste_agent.clock import samples_of_ms
from taste_agent.config import BargeInSettings

_WORD = re.compile(r"[a-z0-9'-]+")


class BargeInDecision(Enum):
    """What follows for the paused reply."""

    WAIT = "wait"
    CANCEL_SPEECH = "speech"
    CANCEL_WORD = "word"
    RESUME = "resume"


@dataclass(frozen=True, slots=True)
class Interjection:
    """What is known about the speech that paused the reply."""

    speech_samples: int
    """Length so far of what the recogniser has looked at and has not found to be the agent's own words."""
    silence_samples: int
    """Since its last sample; 0 while it goes on."""
    partial_text: str
    """Recognised so far, of pieces that are not complete."""
    final_text: str
    """Recognised of complete pieces."""
    pending: bool
    """Whether a piece is still open or not yet recognised."""


def content_words(text: str, ignored: Collection[str]) -> list[str]:
    """The words of a text that are not ignored, nor single letters."""
    return [word for word in _WORD.findall(text.lower()) if word.strip("-'") not in ignored and len(word) > 1]


def decide_barge_in(
    settings: BargeInSettings, heard: Interjection, weak_words: Collection[str] = ()
) -> BargeInDecision:
    """Cancel after enough speech or a word that is meant; resume after silence with neither.

    A recogniser changes its mind: of what is not complete, the last word does not count yet, nor do
    `weak_words`, which it hears in any murmur; `partial_words` others are needed.
    """
    if heard.speech_samples >= samples_of_ms(settings.cancel_after_ms):
        return BargeInDecision.CANCEL_SPEECH
    if content_words(heard.final_text, settings.backchannels):
        return BargeInDecision.CANCEL_WORD
    settled = " ".join(heard.partial_text.split()[:-1])
    if len(content_words(settled, {*settings.backchannels, *weak_words})) >= settings.partial_words:
        return BargeInDecision.CANCEL_WORD
    if heard.silence_samples >= samples_of_ms(settings.resume_after_ms) and not heard.pending:
        return BargeInDecision.RESUME
    return BargeInDecision.WAIT
