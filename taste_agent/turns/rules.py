"""Rules for the end of a turn and for interruptions of the agent. Pure."""

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


def required_silence_ms(
    settings: EndpointingSettings,
    speaking_probability: float | None,
    text: str,
    finished: float | None = None,
    asks_model: bool = True,
) -> float:
    """Return the silence after which the turn is over.

    A text that must go on waits for the maximum. Otherwise the lower of two probabilities decides, the
    model's probability of speaking or the probability that the turn sounds finished, linearly between
    `unsure_probability` (maximum) and `sure_probability` (minimum). A single word is too short to sound
    finished: if the model is more certain, both combined may decide too, with `UNHEARD_MS` more.

    Args:
        settings: the limits.
        speaking_probability: from the model, which has read the turn; None if not available (yet).
        text: recognized text of the turn.
        finished: probability, judged by the sound, that the person has finished; None, which takes
            `UNHEARD_MS` more, if unknown.
        asks_model: whether the checkpoint has a probability to wait for.
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
    """Combine two independent probabilities of the same event: their odds multiply."""
    both, neither = one * other, (1 - one) * (1 - other)
    return both / (both + neither) if both + neither else 0.5


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
