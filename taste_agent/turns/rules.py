"""Rules for the end of a turn and for interruptions of the agent. Pure."""

import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

from taste_agent.clock import samples_of_ms
from taste_agent.config import BargeInSettings, EndpointingSettings

_SENTENCE_END = re.compile(r"([.?!])['\")]*$")
# fmt: off
_MAY_END = frozenset((
    "at", "for", "from", "in", "is", "of", "so", "then", "to", "when", "where", "which", "with",
))
# fmt: on
"""Hanging words that may also end a sentence ("I think so."). After any other one a period means nothing,
because a recognizer ends everything with a period, even "and the"."""
UNHEARD_MS = 400
"""Extra silence if the sound does not tell whether the person has finished."""
_LEAST_PROBABILITY = 1e-3
"""Where a probability counts as certain, it counts no more than this."""
_GOES_ON = (",", "-", "...", "…", ";", ":")


def ends_hanging(text: str, hanging_words: tuple[str, ...]) -> bool:
    """Return whether more must follow: the text ends with a word like "and", a comma, dash or ellipsis."""
    if text.rstrip().endswith(_GOES_ON):  # before checking for a period: an ellipsis ends with one
        return True
    words = re.findall(r"[a-z'-]+", text.lower())
    if not words or words[-1] not in hanging_words:
        return False
    mark = _SENTENCE_END.search(text.rstrip())
    return mark is None or (mark[1] == "." and words[-1] not in _MAY_END)


def probability_over(
    settings: EndpointingSettings, text: str, speaking: float | None, finished: float | None
) -> float | None:
    """Return the probability that the turn is over; 0 for a text that must go on, None if nothing tells.

    Where both are known, their logits are added up with the weights of the settings.

    Args:
        settings: the weights.
        text: recognized text of the turn.
        speaking: the model's probability of speaking, after it has read the turn.
        finished: probability, judged by the sound, that the person has finished.
    """
    if ends_hanging(text, settings.hanging_words):
        return 0.0
    if speaking is None or finished is None:
        return speaking if finished is None else finished
    logit = settings.text_weight * _logit(speaking) + settings.sound_weight * _logit(finished)
    return 1 / (1 + math.exp(-logit - settings.weight_offset))


def _logit(probability: float) -> float:
    certain = min(max(probability, _LEAST_PROBABILITY), 1 - _LEAST_PROBABILITY)
    return math.log(certain / (1 - certain))


def required_silence_ms(settings: EndpointingSettings, over: float | None, heard: bool) -> float:
    """Return the silence after which the turn is over.

    It falls linearly from `unsure_probability` (maximum) to `sure_probability` (minimum).

    Args:
        settings: the limits.
        over: `probability_over`; None, which counts as sure, where nothing tells.
        heard: whether the sound tells something; otherwise the minimum is longer by `UNHEARD_MS`.
    """
    high_ms = settings.max_silence_ms
    least_ms = min(high_ms, settings.min_silence_ms + (0 if heard else UNHEARD_MS))
    return high_ms - (1.0 if over is None else _sureness(settings, over)) * (high_ms - least_ms)


def _sureness(settings: EndpointingSettings, probability: float) -> float:
    span = settings.sure_probability - settings.unsure_probability
    if span <= 0:
        return float(probability >= settings.sure_probability)
    return min(max((probability - settings.unsure_probability) / span, 0.0), 1.0)


class BargeInDecision(Enum):
    """What to do with the paused reply."""

    WAIT = "wait"
    CANCEL_SPEECH = "speech"
    CANCEL_WORD = "word"
    RESUME = "resume"


@dataclass(frozen=True, slots=True)
class Interjection:
    """Speech that paused the reply."""

    speech_samples: int
    """Length of recognized speech that is not the agent's own."""
    silence_samples: int
    """Silence since its last sample; 0 while it continues."""
    partial_text: str
    """Text so far of incomplete pieces."""
    final_text: str
    """Text of complete pieces."""
    pending: bool
    """Whether a piece is still open or not yet recognized."""


def content_words(text: str, ignored: Collection[str]) -> list[str]:
    """Return the words of a text, without ignored words and single letters."""
    words = re.findall(r"[a-z0-9'-]+", text.lower())
    return [word for word in words if word.strip("-'") not in ignored and len(word) > 1]


def decide_barge_in(
    settings: BargeInSettings, heard: Interjection, weak_words: Collection[str] = ()
) -> BargeInDecision:
    """Cancel the reply after enough speech or a meaningful word; resume it after silence with neither.

    Partial text may still change: its last word does not count, nor do `weak_words`, which are recognized in
    any murmur. `partial_words` other words are needed.
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
