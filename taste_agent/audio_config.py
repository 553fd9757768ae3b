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
        default="", description="microphone: a name or part of it, or an index; empty = the system's default"
    )
    output: str = Field(
        default="", description="loudspeaker: a name or part of it, or an index; empty = the system's default"
    )
    block_ms: int = Field(default=20, ge=5, le=100, description="length of one block of the microphone")
    output_block_ms: int = Field(
        default=30,
        ge=5,
        le=100,
        description="length of one block for the loudspeaker; it recovers worse where the sound server's "
        "own blocks are as long",
    )
    output_queue_ms: int = Field(
        default=60,
        ge=20,
        le=500,
        description="audio held ready for the loudspeaker; more survives longer hiccups, less reacts sooner",
    )
    output_queue_max_ms: int = Field(
        default=300, ge=40, le=2000, description="how far the queue may grow after underruns"
    )
    stall_ms: int = Field(
        default=250,
        ge=100,
        le=5000,
        description="no microphone block for so long counts as a stall: silence is heard instead",
    )
    lost_ms: int = Field(
        default=1000,
        ge=300,
        le=30000,
        description="no block for so long counts as a lost device, which is then reopened by name",
    )
    retry_s: float = Field(
        default=1.0, ge=0.2, le=60, description="wait between two attempts to reopen a lost device"
    )


class EchoSettings(Section):
    """Keeping the agent from hearing itself."""

    mode: Literal["auto", "webrtc", "half_duplex", "headphones"] = Field(
        default="auto",
        description="webrtc cancels the echo, half_duplex listens only while the agent is silent, "
        "headphones does nothing, auto is webrtc where it works and else half_duplex",
    )
    noise_suppression: bool = Field(
        default=True, description="take steady noise out of the microphone signal"
    )
    high_pass: bool = Field(default=True, description="take rumble out of the microphone signal")
    gain_control: bool = Field(default=False, description="raise a quiet microphone")
    lead_ms: int = Field(
        default=30,
        ge=10,
        le=200,
        description="how early the canceller is shown what is played; raise it where echo remains",
    )
    text_gate: bool = Field(
        default=True, description="drop recognised words that are the agent's own words just played"
    )
    text_gate_slack_s: float = Field(
        default=0.6,
        ge=0,
        le=10,
        description="so long after a word was played its echo may come; less is taken once cancelling works",
    )
