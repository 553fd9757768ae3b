"""Settings of sound devices, echo handling and recording."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from taste_agent.config_section import Section


class DeviceSettings(Section):
    """The sound card of `chat`; files never use these."""

    # An index is a number in YAML.
    model_config = ConfigDict(coerce_numbers_to_str=True)

    input: str = Field(
        default="",
        description="microphone: its name, part of the name, or its number; empty: the system's default",
    )
    output: str = Field(
        default="",
        description="loudspeaker: its name, part of the name, or its number; empty: the system's default",
    )
    block_ms: int = Field(default=20, ge=5, le=100, description="length of the microphone's blocks")
    output_block_ms: int = Field(
        default=30,
        ge=5,
        le=100,
        description="length of the loudspeaker's blocks; playback recovers worse if the sound server's own "
        "blocks have the same length",
    )
    output_queue_ms: int = Field(
        default=60,
        ge=20,
        le=500,
        description="sound held ready for the loudspeaker; more survives longer hiccups, less reacts sooner",
    )
    output_queue_max_ms: int = Field(
        default=300, ge=40, le=2000, description="how far the queue may grow after underruns"
    )
    stall_ms: int = Field(
        default=250,
        ge=100,
        le=5000,
        description="after this long without a microphone block, silence is heard instead",
    )
    lost_ms: int = Field(
        default=1000,
        ge=300,
        le=30000,
        description="after this long without a block, the device counts as lost and is reopened by its name",
    )
    retry_s: float = Field(
        default=1.0, ge=0.2, le=60, description="time between two attempts to reopen a lost device"
    )


class EchoSettings(Section):
    """Keeping the agent from hearing itself."""

    mode: Literal["auto", "webrtc", "half_duplex", "headphones"] = Field(
        default="auto",
        description="webrtc cancels the echo, half_duplex listens only while the agent is silent, "
        "headphones does nothing; auto is webrtc where it works, else half_duplex",
    )
    noise_suppression: bool = Field(
        default=True, description="remove steady noise from the microphone signal"
    )
    high_pass: bool = Field(default=True, description="remove rumble from the microphone signal")
    gain_control: bool = Field(default=False, description="raise a quiet microphone")
    lead_ms: int = Field(
        default=30,
        ge=10,
        le=200,
        description="how far ahead the canceller sees what is played; raise it if echo remains",
    )
    text_gate: bool = Field(
        default=True, description="drop recognized words that the agent itself has just said"
    )
    text_gate_slack_s: float = Field(
        default=0.6,
        ge=0,
        le=10,
        description="how long after a word its echo may come; shorter once the canceller works",
    )
