"""When the person has finished: how much silence it takes. Pure."""

import re

from taste_agent.config import EndpointingSettings

_SENTENCE_END = re.compile(r"[.?!]['\")]*$")
_GOES_ON = (",", "-", "...", "…", ";", ":")
_WORD = re.compile(r"[a-z'-]+")


def ends_hanging(text: str, hanging_words: tuple[str, ...]) -> bool:
    """Whether the last word promises more (`and`, `the`), or the text ends with a comma, dash or ellipsis."""
    if text.rstrip().endswith(_GOES_ON):  # before the full stop: an ellipsis ends with one
        return True
    if _SENTENCE_END.search(text.rstrip()):
        return False
    words = _WORD.findall(text.lower())
    return bool(words) and words[-1] in hanging_words


def required_silence_ms(
    settings: EndpointingSettings, speaking_probability: float | None, text: str, asks_model: bool = True
) -> float:
    """Silence after which the turn is over.

    A text that hangs in the air waits for the maximum. Else the model's own probability of speaking
    decides, linearly between `unsure_probability` (maximum) and `sure_probability` (minimum).

    Args:
        settings: limits.
        speaking_probability: of the model that has read the turn; None if it has none (or not yet).
        text: what was recognised of the turn.
        asks_model: False if the checkpoint has no probability to wait for; then the text alone decides.
    """
    low_ms, high_ms = settings.min_silence_ms, settings.max_silence_ms
    if ends_hanging(text, settings.hanging_words):
        return high_ms
    if speaking_probability is None:
        return high_ms if asks_model else low_ms
    span = settings.sure_probability - settings.unsure_probability
    if span <= 0:
        return low_ms if speaking_probability >= settings.sure_probability else high_ms
    sureness = (speaking_probability - settings.unsure_probability) / span
    return high_ms - min(max(sureness, 0.0), 1.0) * (high_ms - low_ms)
