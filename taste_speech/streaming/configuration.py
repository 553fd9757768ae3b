"""Configuration of streaming: layout of the prompt, windows, and training of the checkpoint."""

from pydantic import Field

from taste_speech.configuration_base import StrictSection


class RoleTokensConfig(StrictSection):
    """Special tokens that structure a conversation (docs/model.md, A conversation as rows)."""

    segment_start: str = "<|reserved_special_token_50|>"
    segment_end: str = "<|reserved_special_token_51|>"
    system: str = "<|reserved_special_token_52|>"
    user: str = "<|reserved_special_token_53|>"
    assistant: str = "<|reserved_special_token_54|>"


class TemplateConfig(StrictSection):
    """Text around each turn, for checkpoints that were not trained with role tokens."""

    system: str = "{text}\n"
    user: str = "User: {text}\n"
    assistant: str = "Assistant: {text}\n"
    stop: str = "\n"


class DetokenizerConfig(StrictSection):
    """Windows of chunked synthesis."""

    max_prev_words: int = Field(default=12, ge=0)
    """Number of words before the current chunk that the speech decoder still sees."""
    flow_context_units: int = Field(default=50, ge=1)
    """Number of units before the new ones that the flow sees."""
    look_ahead_units: int = Field(default=4, ge=0)
    """Number of units at the end of a chunk whose sound is held back until the next chunk."""
    vocoder_context_frames: int = Field(default=20, ge=1)
    """Number of mel frames before the new ones that the vocoder sees."""
    overlap_ms: float = Field(default=20, gt=0)
    """Duration of the cross-fade between two chunks."""


class StreamingConfig(StrictSection):
    """Section `streaming` (ours). The defaults describe V0."""

    trained_with_role_tokens: bool = False
    role_tokens: RoleTokensConfig = Field(default_factory=RoleTokensConfig)
    template: TemplateConfig = Field(default_factory=TemplateConfig)
    follows_system_prompt: bool = False
    """Whether the checkpoint was trained to follow a system segment without harming its other answers."""
    extra_words: int = 32
    """Without role tokens, a reply ends at the first sentence end after this many words."""
    max_history_tokens: int = Field(default=2048, ge=16)
    """Maximum length of the history; beyond it, the oldest turns are dropped (the system segment stays)."""
    kept_history: float = Field(default=0.5, gt=0, le=1)
    """Share of `max_history_tokens` kept at a drop. The rest is read again, so few large drops are best."""
    repetition_scope: str = Field(default="reply", pattern="^(reply|conversation)$")
    """Whether the repetition penalty covers only the reply or (as published) also the prompt."""
    detokenizer: DetokenizerConfig = Field(default_factory=DetokenizerConfig)
