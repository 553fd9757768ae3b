"""The agent's settings: their schema, where their values come from, and the commented file."""

from taste_agent.config.settings import (
    AgentSettings,
    BargeInSettings,
    DeviceSettings,
    DialogSettings,
    EchoSettings,
    EmitSettings,
    EndpointingSettings,
    FixedCosts,
    ModelSettings,
    PlaybackSettings,
    RecognitionSettings,
    ReplaySettings,
    SamplingSettings,
    VadSettings,
)

__all__ = [
    "AgentSettings",
    "BargeInSettings",
    "DeviceSettings",
    "DialogSettings",
    "EchoSettings",
    "EmitSettings",
    "EndpointingSettings",
    "FixedCosts",
    "ModelSettings",
    "PlaybackSettings",
    "RecognitionSettings",
    "ReplaySettings",
    "SamplingSettings",
    "VadSettings",
]
