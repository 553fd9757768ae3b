"""Configuration of streaming: prompt layout, windows and what a checkpoint was trained for."""

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
    """Plain text around each turn, for checkpoints that were not trained with role tokens."""

    system: str = "{text}\n"
    user: str = "User: {text}\n"
    assistant: str = "Assistant: {text}\n"
    stop: str = "\n"


class DetokenizerConfig(StrictSection):
    """Windows of chunk-wise synthesis."""

    max_prev_words: int = Field(default=12, ge=0)
    """Words before the current chunk that the unit decoder still sees."""
    flow_context_units: int = Field(default=50, ge=1)
    """Units before the new ones that the flow sees."""
    look_ahead_units: int = Field(default=4, ge=0)
    """Units at the end of a chunk whose sound waits for the next one, unless the chunk is the last."""
    vocoder_context_frames: int = Field(default=20, ge=1)
    """Mel frames before the new ones that the vocoder sees."""
    overlap_ms: float = Field(default=20, gt=0)
    """Cross-fade between two chunks."""


class StreamingConfig(StrictSection):
    """Section `streaming` (ours). The defaults describe V0."""

    trained_with_role_tokens: bool = False
    role_tokens: RoleTokensConfig = Field(default_factory=RoleTokensConfig)
    template: TemplateConfig = Field(default_factory=TemplateConfig)
    follows_system_prompt: bool = False
    """Whether it was trained to do what a system segment asks for, at no cost to its other answers."""
    extra_words: int = 32
    """Without role tokens a reply ends at the first sentence end after this many words."""
    max_history_tokens: int = Field(default=2048, ge=16)
    """The oldest turns are dropped beyond this (the system segment stays)."""
    kept_history: float = Field(default=0.5, gt=0, le=1)
    """Share of `max_history_tokens` that is kept then. What stays is read again, so drop seldom and much."""
    repetition_scope: str = Field(default="reply", pattern="^(reply|conversation)$")
    """Ids that the repetition penalty covers: the reply's own, or (as published) the prompt's too."""
    detokenizer: DetokenizerConfig = Field(default_factory=DetokenizerConfig)
