"""Translates the session of the protocol to settings of the agent."""

from typing import Any

from pydantic import TypeAdapter, ValidationError

from taste_agent.config import AgentSettings, SamplingSettings
from taste_agent.serve.client_events import SemanticVad, ServerVad, SessionFields, checked, explained
from taste_agent.serve.errors import ProtocolError
from taste_agent.serve.mind import ModelFacts

_fields: TypeAdapter[SessionFields] = TypeAdapter(SessionFields)
OWN_VOICE = "default"
"""Name of the voice of a recording that the server was given."""
_EAGERNESS_MS = {"low": (1200, 3500), "high": (400, 1000)}
"""Shortest and longest silence before an answer, as in configs/agent/patient.yaml and quick.yaml."""


def first_fields(settings: AgentSettings, facts: ModelFacts) -> SessionFields:
    """Return the session before a client changes it."""
    voice = settings.dialog.voice or next(iter(facts.voices), None)
    if voice is not None and voice not in facts.voices:
        voice = OWN_VOICE
    return merged(
        SessionFields(model=facts.name, instructions=settings.dialog.system_prompt),
        {"audio": {"output": {"voice": voice}}},
    )


def merged(fields: SessionFields, update: dict[str, Any]) -> SessionFields:
    """Return the session after an update.

    Raises:
        ProtocolError: the update has a field that is not supported, or a value that is not allowed.
    """
    return checked(_fields, _merge(fields.model_dump(), update), "session")


def _merge(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Merge `new` into `old`, section by section. A section whose `type` changes is replaced."""
    result = dict(old)
    for name, value in new.items():
        before = old.get(name)
        result[name] = value
        if isinstance(before, dict) and isinstance(value, dict):
            kind = before.get("type")
            result[name] = _merge(before, value) if value.get("type", kind) == kind else value
    return result


def settings_for(base: AgentSettings, fields: SessionFields, facts: ModelFacts) -> AgentSettings:
    """Return the agent's settings for a session.

    Raises:
        ProtocolError: a value is out of the agent's range.
    """
    changes: dict[str, dict[str, Any]] = {
        "dialog": {"system_prompt": fields.instructions, "voice": _voice(base, fields, facts)},
        "sampling": _sampling(base.sampling, fields),
    }
    turns = fields.audio.input.turn_detection
    if isinstance(turns, ServerVad):
        changes |= _of_server_vad(base, turns)
    elif isinstance(turns, SemanticVad) and turns.eagerness in _EAGERNESS_MS:
        least, most = _EAGERNESS_MS[turns.eagerness]
        changes["endpointing"] = {"min_silence_ms": least, "max_silence_ms": most}
    if turns is not None:
        changes["barge_in"] = {"enabled": base.barge_in.enabled and turns.interrupt_response}
    try:
        return AgentSettings.model_validate(_merge(base.model_dump(), changes))
    except ValidationError as error:
        raise explained(error.errors()[0], "session") from None


def _voice(base: AgentSettings, fields: SessionFields, facts: ModelFacts) -> str:
    """Return the voice by its name. A client cannot name files of this machine."""
    voice = fields.audio.output.voice
    if voice in (None, OWN_VOICE):
        return base.dialog.voice
    if voice not in facts.voices:
        known = ", ".join(facts.voices) or "none with a name"
        raise ProtocolError(
            "invalid_value",
            f"there is no voice {voice[:100]!r}; voices of {facts.name}: {known}",
            "session.audio.output.voice",
        )
    return voice


def _of_server_vad(base: AgentSettings, turns: ServerVad) -> dict[str, dict[str, Any]]:
    changes: dict[str, dict[str, Any]] = {}
    if turns.silence_duration_ms is not None:
        least = turns.silence_duration_ms
        most = max(least, base.endpointing.max_silence_ms)
        changes["endpointing"] = {"min_silence_ms": least, "max_silence_ms": most}
    if turns.prefix_padding_ms is not None:
        changes["vad"] = {"pre_roll_ms": turns.prefix_padding_ms}
    return changes


def _sampling(base: SamplingSettings, fields: SessionFields) -> dict[str, Any]:
    named = dict(fields.sampling)
    if fields.temperature is not None:
        named.setdefault("text_temperature", fields.temperature)
    if fields.max_output_tokens != "inf":
        named["max_length"] = min(base.max_length, fields.max_output_tokens)
    return named


def shown(fields: SessionFields, session_id: str) -> dict[str, Any]:
    """Return the session object of `session.created` and `session.updated`, without unset fields."""
    dump = fields.model_dump(mode="json", exclude_none=True)
    dump["audio"]["input"].setdefault("turn_detection", None)
    return {"object": "realtime.session", "id": session_id, **dump}
