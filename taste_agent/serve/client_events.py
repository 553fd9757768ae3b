"""The events of the OpenAI Realtime protocol that a client may send, and their validation.

Values without an effect are accepted. Requests for unsupported features are refused by name.
"""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from taste_agent.serve.errors import ProtocolError

Modality = Literal["audio", "text"]
Extension = Literal["taste.words", "taste.latency"]
"""Our own events, which a client may request with `include`."""


class Strict(BaseModel):
    """Unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())


class Pcm(Strict):
    """16 bits, little-endian, mono."""

    type: Literal["audio/pcm"]
    rate: Literal[24000] = 24000


class G711Format(Strict):
    """8 bits, mono."""

    type: Literal["audio/pcmu", "audio/pcma"]
    rate: Literal[8000] = 8000


AudioFormat = Annotated[Pcm | G711Format, Field(discriminator="type")]


class ServerVad(Strict):
    """Turn detection by silence. `threshold` has no effect, because the detector has no such number."""

    type: Literal["server_vad"]
    threshold: float = Field(default=0.5, ge=0, le=1)
    prefix_padding_ms: int | None = None
    silence_duration_ms: int | None = None
    create_response: Literal[True] = True
    interrupt_response: bool = True
    idle_timeout_ms: None = None


class SemanticVad(Strict):
    """Turn detection by silence and by the model, as in chat."""

    type: Literal["semantic_vad"]
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    create_response: Literal[True] = True
    interrupt_response: bool = True


TurnDetection = Annotated[ServerVad | SemanticVad, Field(discriminator="type")]


class Transcription(Strict):
    """Has no effect: the checkpoint's recognizer is the only one, and always on."""

    model: str = "checkpoint"
    language: str | None = None
    prompt: str | None = None


class InputAudio(Strict):
    """Audio from the client."""

    format: AudioFormat = Pcm(type="audio/pcm")
    noise_reduction: None = None
    transcription: Transcription | None = Transcription()
    turn_detection: TurnDetection | None = SemanticVad(type="semantic_vad")


class OutputAudio(Strict):
    """Audio to the client."""

    format: AudioFormat = Pcm(type="audio/pcm")
    voice: str | None = None
    speed: float = Field(default=1.0, ge=1, le=1)


class Audio(Strict):
    """Audio in both directions."""

    input: InputAudio = InputAudio()
    output: OutputAudio = OutputAudio()


class SessionFields(Strict):
    """The session as a client sees it. `sampling` and two values of `include` are our own."""

    type: Literal["realtime"] = "realtime"
    model: str | None = None
    instructions: str = Field(default="", max_length=8000)
    output_modalities: tuple[Modality] = ("audio",)
    audio: Audio = Audio()
    max_output_tokens: int | Literal["inf"] = "inf"
    temperature: float | None = None
    sampling: dict[str, Any] = {}
    include: tuple[Extension, ...] = ()
    tools: tuple[()] = ()
    tool_choice: Literal["auto", "none"] = "auto"
    parallel_tool_calls: bool = False
    tracing: None = None
    truncation: Literal["auto"] = "auto"
    prompt: None = None
    reasoning: None = None


class ClientEvent(Strict):
    """Base of a client's events. An error returns the `event_id`."""

    event_id: str | None = Field(default=None, max_length=512)


class SessionUpdate(ClientEvent):
    """Changes the given fields of the session."""

    type: Literal["session.update"]
    session: dict[str, Any]


class Append(ClientEvent):
    """Appends sound."""

    type: Literal["input_audio_buffer.append"]
    audio: str


class Commit(ClientEvent):
    """Ends what was said."""

    type: Literal["input_audio_buffer.commit"]


class Clear(ClientEvent):
    """Forgets sound that was not committed."""

    type: Literal["input_audio_buffer.clear"]


class InputText(Strict):
    """Typed text."""

    type: Literal["input_text"]
    text: str = Field(min_length=1, max_length=8000)


class InputAudioPart(Strict):
    """A recording. Its transcript, if given, is ignored."""

    type: Literal["input_audio"]
    audio: str
    transcript: str | None = None


class UserMessage(Strict):
    """A person's speech or text. The roles `system` and `assistant` are refused."""

    type: Literal["message"]
    role: Literal["user"]
    content: tuple[Annotated[InputText | InputAudioPart, Field(discriminator="type")]]
    id: str | None = Field(default=None, min_length=1, max_length=64)
    object: Literal["realtime.item"] = "realtime.item"
    status: Literal["completed", "incomplete", "in_progress"] = "completed"


class CreateItem(ClientEvent):
    """Adds a message, which waits for `response.create`."""

    type: Literal["conversation.item.create"]
    item: UserMessage
    previous_item_id: str | None = None


class TruncateItem(ClientEvent):
    """Says how much of the last answer was heard."""

    type: Literal["conversation.item.truncate"]
    item_id: str
    content_index: Literal[0] = 0
    audio_end_ms: int = Field(ge=0)


class DeleteItem(ClientEvent):
    """Removes a message or an answer from the conversation."""

    type: Literal["conversation.item.delete"]
    item_id: str


class RetrieveItem(ClientEvent):
    """Requests an item as the server has it."""

    type: Literal["conversation.item.retrieve"]
    item_id: str


class ResponseFields(Strict):
    """Fields of one response, which must not differ from the session's."""

    output_modalities: tuple[Modality] | None = None
    conversation: Literal["auto"] = "auto"
    metadata: dict[str, str] | None = Field(default=None, max_length=16)
    tools: tuple[()] = ()
    tool_choice: Literal["auto", "none"] = "auto"


class CreateResponse(ClientEvent):
    """Requests an answer now."""

    type: Literal["response.create"]
    response: ResponseFields = ResponseFields()


class CancelResponse(ClientEvent):
    """Stops the answer."""

    type: Literal["response.cancel"]
    response_id: str | None = None


Known = (
    SessionUpdate
    | Append
    | Commit
    | Clear
    | CreateItem
    | TruncateItem
    | DeleteItem
    | RetrieveItem
    | CreateResponse
    | CancelResponse
)
_known: TypeAdapter[Known] = TypeAdapter(Annotated[Known, Field(discriminator="type")])
_SUPPORTED = tuple(kind.model_fields["type"].annotation.__args__[0] for kind in Known.__args__)


def parse(text: str) -> Known:
    """Parse a message.

    Raises:
        ProtocolError: the message is not JSON, not a supported event, or has a field that is not allowed.
    """
    try:
        message = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        raise ProtocolError(
            "invalid_json", "the message is not JSON; send one event as a JSON object"
        ) from None
    if not isinstance(message, dict):
        raise ProtocolError("invalid_event", "the message is not a JSON object with a field `type`")
    kind = message.get("type")
    if kind not in _SUPPORTED:
        raise ProtocolError(
            "unknown_event", f"there is no event {_shown(kind)}; {', '.join(_SUPPORTED)}", "type"
        )
    return checked(_known, message)


def event_id_of(text: str) -> str | None:
    """Return the `event_id` of a message, if it has one."""
    try:
        message = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return None
    found = message.get("event_id") if isinstance(message, dict) else None
    return found[:512] if isinstance(found, str) else None


def checked(adapter: TypeAdapter[Any], message: Any, prefix: str = "") -> Any:
    """Validate a message.

    Raises:
        ProtocolError: describes the first mistake.
    """
    try:
        return adapter.validate_python(message)
    except ValidationError as error:
        raise explained(error.errors()[0], prefix) from None


def explained(found: ErrorDetails, prefix: str = "") -> ProtocolError:
    """Translate an error of pydantic to one of the protocol, without values, which may be long."""
    path = [str(part) for part in found["loc"] if part not in _TAGS]
    param = ".".join([prefix, *path] if prefix else path) or None
    if found["type"] == "extra_forbidden":
        return ProtocolError("unknown_parameter", f"{param} is not supported", param)
    if found["type"] == "missing":
        return ProtocolError("missing_required_parameter", f"{param} is missing", param)
    reason = found["msg"].removeprefix("Value error, ")
    return ProtocolError("invalid_value", f"{param}: {reason[0].lower()}{reason[1:]}", param)


_TAGS = frozenset(
    (*_SUPPORTED, "audio/pcm", "audio/pcmu", "audio/pcma", "server_vad", "semantic_vad", "input_text")
)
"""Parts of pydantic's paths that only name the member of a union."""


def _shown(kind: Any) -> str:
    return repr(kind[:100]) if isinstance(kind, str) else "without a type"
