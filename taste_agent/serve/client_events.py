"""What a client may send: the events of the OpenAI Realtime protocol that are supported, checked.

Values that would change nothing are taken; what asks for something that there is not is refused, by its name.
"""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from taste_agent.serve.errors import ProtocolError

Modality = Literal["audio", "text"]
Extension = Literal["taste.words", "taste.latency"]
"""Events of our own that a client may ask for with `include`."""


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
    """Turns by silence. `threshold` is taken without effect: the detector has no such number."""

    type: Literal["server_vad"]
    threshold: float = Field(default=0.5, ge=0, le=1)
    prefix_padding_ms: int | None = None
    silence_duration_ms: int | None = None
    create_response: Literal[True] = True
    interrupt_response: bool = True
    idle_timeout_ms: None = None


class SemanticVad(Strict):
    """Turns by silence and by what the model makes of the words, as in chat."""

    type: Literal["semantic_vad"]
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    create_response: Literal[True] = True
    interrupt_response: bool = True


TurnDetection = Annotated[ServerVad | SemanticVad, Field(discriminator="type")]


class Transcription(Strict):
    """Taken without effect: the checkpoint's recognizer is the only one, and always on."""

    model: str = "checkpoint"
    language: str | None = None
    prompt: str | None = None


class InputAudio(Strict):
    """What comes from the client."""

    format: AudioFormat = Pcm(type="audio/pcm")
    noise_reduction: None = None
    transcription: Transcription | None = Transcription()
    turn_detection: TurnDetection | None = SemanticVad(type="semantic_vad")


class OutputAudio(Strict):
    """What goes to the client."""

    format: AudioFormat = Pcm(type="audio/pcm")
    voice: str | None = None
    speed: float = Field(default=1.0, ge=1, le=1)


class Audio(Strict):
    """Both directions."""

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
    """Any event of a client; `event_id` comes back with an error."""

    event_id: str | None = Field(default=None, max_length=512)


class SessionUpdate(ClientEvent):
    """Changes the named fields."""

    type: Literal["session.update"]
    session: dict[str, Any]


class Append(ClientEvent):
    """More sound."""

    type: Literal["input_audio_buffer.append"]
    audio: str


class Commit(ClientEvent):
    """What was said is complete."""

    type: Literal["input_audio_buffer.commit"]


class Clear(ClientEvent):
    """Forgets sound that was not committed."""

    type: Literal["input_audio_buffer.clear"]


class InputText(Strict):
    """Something typed."""

    type: Literal["input_text"]
    text: str = Field(min_length=1, max_length=8000)


class InputAudioPart(Strict):
    """A recording; its transcript, if given, is not used."""

    type: Literal["input_audio"]
    audio: str
    transcript: str | None = None


class UserMessage(Strict):
    """What a person says or types; roles `system` and `assistant` are refused."""

    type: Literal["message"]
    role: Literal["user"]
    content: tuple[Annotated[InputText | InputAudioPart, Field(discriminator="type")]]
    id: str | None = Field(default=None, min_length=1, max_length=64)
    object: Literal["realtime.item"] = "realtime.item"
    status: Literal["completed", "incomplete", "in_progress"] = "completed"


class CreateItem(ClientEvent):
    """A message that waits for `response.create`."""

    type: Literal["conversation.item.create"]
    item: UserMessage
    previous_item_id: str | None = None


class TruncateItem(ClientEvent):
    """Of the last answer, only this much was heard."""

    type: Literal["conversation.item.truncate"]
    item_id: str
    content_index: Literal[0] = 0
    audio_end_ms: int = Field(ge=0)


class DeleteItem(ClientEvent):
    """Takes a message or an answer out of the conversation."""

    type: Literal["conversation.item.delete"]
    item_id: str


class RetrieveItem(ClientEvent):
    """Asks for an item as the server has it."""

    type: Literal["conversation.item.retrieve"]
    item_id: str


class ResponseFields(Strict):
    """What may be said of one response: nothing that differs from the session's."""

    output_modalities: tuple[Modality] | None = None
    conversation: Literal["auto"] = "auto"
    metadata: dict[str, str] | None = Field(default=None, max_length=16)
    tools: tuple[()] = ()
    tool_choice: Literal["auto", "none"] = "auto"


class CreateResponse(ClientEvent):
    """Answer now."""

    type: Literal["response.create"]
    response: ResponseFields = ResponseFields()


class CancelResponse(ClientEvent):
    """Stop the answer."""

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
    """The event of a message.

    Raises:
        ProtocolError: the message is no JSON, no event that is supported, or has a field that is not allowed.
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
    """The `event_id` of a message that may be anything."""
    try:
        message = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return None
    found = message.get("event_id") if isinstance(message, dict) else None
    return found[:512] if isinstance(found, str) else None


def checked(adapter: TypeAdapter[Any], message: Any, prefix: str = "") -> Any:
    """The message as its type.

    Raises:
        ProtocolError: on its first mistake.
    """
    try:
        return adapter.validate_python(message)
    except ValidationError as error:
        raise explained(error.errors()[0], prefix) from None


def explained(found: ErrorDetails, prefix: str = "") -> ProtocolError:
    """An error of pydantic as one of the protocol; values are not repeated where they may be long."""
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
"""What pydantic puts into a path to say which member of a union it means."""


def _shown(kind: Any) -> str:
    return repr(kind[:100]) if isinstance(kind, str) else "without a type"
