"""How long the person waited for a reply, in the same words everywhere."""

from collections.abc import Mapping

STAGES = ("recognise", "tokenize", "read", "think", "voice")
"""What computing consists of, in order; a part of it is done during the silence already."""


def waited_text(latency_ms: Mapping[str, float]) -> str:
    """What the person waited and what it is the sum of; `latency_ms` as of `FirstAudio`."""
    silence, computing, card = (round(latency_ms[name]) for name in ("silence", "computing", "card"))
    total = silence + computing + card
    return f"you waited {total} ms = silence {silence} + computing {computing} + card {card}"


def stages_text(latency_ms: Mapping[str, float]) -> str:
    """What the stages took."""
    return ", ".join(f"{name} {latency_ms[name]:.0f}" for name in STAGES)
