"""When the person has finished, and what follows when they speak over the agent. Pure."""

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
"""Words that may hang and may end a sentence as well ("I think so."). Behind any other a period says nothing:
a recognizer puts one behind whatever it has heard, behind "and the", too."""
UNHEARD_MS = 400
"""Silence beyond the minimum where nothing tells whether the person sounds finished."""
_GOES_ON = (",", "-", "...", "…", ";", ":")


def ends_hanging(text: str, hanging_words: tuple[str, ...]) -> bool:
    """Whether the last word promises more (`and`, `the`), or the text ends with a comma, dash or ellipsis."""
    if text.rstrip().endswith(_GOES_ON):  # before the full stop: an ellipsis ends with one
        return True
    words = re.findall(r"[a-z'-]+", text.lower())
    if not words or words[-1] not in hanging_words:
        return False
    mark = _SENTENCE_END.search(text.rstrip())
    return mark is None or (mark[1] == "." and words[-1] not in _MAY_END)


def required_silence_ms(
    settings: EndpointingSettings,
    speaking_probability: float | None,
    text: str,
    finished: float | None = None,
    asks_model: bool = True,
) -> float:
    """Silence after which the turn is over.

    A text that hangs in the air waits for the maximum. Else the less sure one of two decides: the model's
    own probability of speaking, and how finished the turn sounds; linearly between `unsure_probability`
    (maximum) and `sure_probability` (minimum). One word is too short to sound finished: where the model is
    the surer one, both together decide, and the minimum is that for where nothing tells from the sound.

    Args:
        settings: limits.
        speaking_probability: of the model that has read the turn; None if it has none (or not yet).
        text: what was recognized of the turn.
        finished: probability that the person has finished, by how it sounds; None where nothing tells, which
            takes `UNHEARD_MS` more.
        asks_model: False if the checkpoint has no probability to wait for.
    """
    high_ms = settings.max_silence_ms
    if ends_hanging(text, settings.hanging_words) or (speaking_probability is None and asks_model):
        return high_ms
    told = [probability for probability in (speaking_probability, finished) if probability is not None]
    less_sure = min((_sureness(settings, probability) for probability in told), default=1.0)
    ways = [(less_sure, UNHEARD_MS if finished is None else 0)]
    if len(text.split()) == 1 and len(told) == 2 and told[0] > told[1]:
        ways.append((_sureness(settings, _together(*told)), UNHEARD_MS))
    return min(
        high_ms - sureness * (high_ms - min(high_ms, settings.min_silence_ms + more_ms))
        for sureness, more_ms in ways
    )


def _together(one: float, other: float) -> float:
    """Probability by two independent signs of the same: their odds multiply."""
    both, neither = one * other, (1 - one) * (1 - other)
    return both / (both + neither) if both + neither else 0.5


def _sureness(settings: EndpointingSettings, probability: float) -> float:
    span = settings.sure_probability - settings.unsure_probability
    if span <= 0:
        return float(probability >= settings.sure_probability)
    return min(max((probability - settings.unsure_probability) / span, 0.0), 1.0)


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
    """Length so far of what the recognizer has taken in and has not found to be the agent's own words."""
    silence_samples: int
    """Since its last sample; 0 while it goes on."""
    partial_text: str
    """Recognized so far, of pieces that are not complete."""
    final_text: str
    """Recognized of complete pieces."""
    pending: bool
    """Whether a piece is still open or not yet recognized."""


def content_words(text: str, ignored: Collection[str]) -> list[str]:
    """The words of a text that are not ignored, nor single letters."""
    words = re.findall(r"[a-z0-9'-]+", text.lower())
    return [word for word in words if word.strip("-'") not in ignored and len(word) > 1]


def decide_barge_in(
    settings: BargeInSettings, heard: Interjection, weak_words: Collection[str] = ()
) -> BargeInDecision:
    """Cancel after enough speech or a word that is meant; resume after silence with neither.

    A recognizer changes its mind: of what is not complete, the last word does not count yet, nor do
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
