"""All settings of the agent: one schema with its defaults, so that an installed package needs no file.

Every field's description is also its comment in `configs/agent/default.yaml`. Reading the sources
(command line, environment, file) with the origin of each value is in `taste_agent.config.sources`.
"""

from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

ENV_PREFIX = "TASTE_AGENT_"
ENV_NESTED_DELIMITER = "__"
MAX_UTTERANCE_S = 30.0
"""What the model can hear at once."""
# fmt: off
_HANGING_WORDS = (
    "a", "an", "and", "at", "because", "but", "er", "for", "from", "if", "in", "is", "my", "of", "or", "so",
    "the", "then", "to", "uh", "um", "when", "where", "which", "with", "your",
)
_BACKCHANNELS = (
    "ah", "aha", "hm", "hmm", "huh", "mhm", "mm", "oh", "ok", "okay", "right", "sure", "uh", "uh-huh", "um",
    "wow", "yeah", "yep", "yes",
)
# fmt: on


class Section(BaseModel):
    """A section of the settings; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_truth_as_number(cls, value: Any, info: ValidationInfo) -> Any:
        # Pydantic takes `true` for 1.
        annotation = cls.model_fields[info.field_name or ""].annotation
        kinds = {annotation, *get_args(annotation)}
        if isinstance(value, bool) and kinds & {int, float} and bool not in kinds:
            raise ValueError("input should be a number, neither true nor false")
        return value


class ModelSettings(Section):
    """Which checkpoint speaks, and where it runs."""

    checkpoint: str = Field(default="small", min_length=1, description="shipped name, folder, or hub id")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        default="auto", description="auto uses a GPU if there is one"
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16", "int8"] = Field(
        default="auto",
        description="number type of the large parts; auto: bfloat16 on CUDA, on the CPU float16 for the "
        "language model's weights and float32 for the rest; int8: CPU only",
    )
    threads: int = Field(
        default=0,
        ge=0,
        le=256,
        description="CPU threads of the model; 0: at most two for a small model, else all but one",
    )


class DialogSettings(Section):
    """Who the agent is."""

    system_prompt: str = Field(
        default="", description="system prompt at the start of the conversation; empty: none"
    )
    voice: str = Field(
        default="",
        description="one of the checkpoint's voices, or a recording of the voice to use; empty: the first",
    )
    max_history_tokens: int | None = Field(
        default=None,
        ge=16,
        le=1_000_000,
        description="text tokens of history before old turns are forgotten; null: the checkpoint's",
    )


class SamplingSettings(Section):
    """How the model chooses its words."""

    text_top_p: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="draw from the smallest set of words with this probability; 0: the likeliest",
    )
    taste_top_p: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="the same for taste tokens; no effect where the model offers only one choice",
    )
    text_temperature: float = Field(
        default=0.5, gt=0, le=10, description="below 1 likely words get likelier, above 1 all get more alike"
    )
    repetition_penalty: float = Field(
        default=1.1, gt=0, le=10, description="above 1: words already said in this reply become less likely"
    )
    max_length: int = Field(default=512, ge=1, le=8192, description="most text tokens in one reply")
    extra_words: int | None = Field(
        default=None,
        ge=0,
        le=4096,
        description="a checkpoint without role tokens stops at the first sentence end after this many words",
    )
    seed: int | None = Field(
        default=None,
        ge=0,
        lt=2**63,
        description="the same seed and thread count give the same reply; null: a new seed each time",
    )


class EmitSettings(Section):
    """When words that are ready become sound."""

    timing: Literal["growing", "clause", "words"] = Field(
        default="growing",
        description="growing: small chunks first; clause: at clause ends; words: every words_per_chunk",
    )
    words_per_chunk: int = Field(
        default=2, ge=1, le=100, description="chunk size for timing: words, first size for growing"
    )
    max_words_per_chunk: int = Field(
        default=8, ge=1, le=200, description="growing and clause never hold more than this"
    )
    hold_while_person_speaks: bool = Field(
        default=True, description="say nothing new while the person speaks"
    )


class VadSettings(Section):
    """When sound is speech."""

    frame_ms: Literal[10, 20, 30] = Field(default=20, description="length of the frames that are judged")
    aggressiveness: int = Field(
        default=2,
        ge=0,
        le=3,
        description="how strict WebRTC's detector is: 3 misses most speech, 0 takes most noise for speech",
    )
    start_ms: int = Field(
        default=120, ge=10, le=2000, description="speech within start_window_ms that counts as a beginning"
    )
    start_window_ms: int = Field(
        default=200, ge=10, le=3000, description="window in which start_ms is counted"
    )
    stop_ms: int = Field(default=200, ge=30, le=5000, description="silence that ends a stretch of speech")
    pre_roll_ms: int = Field(
        default=400, ge=0, le=2000, description="sound kept from before the first speech"
    )
    min_level_dbfs: float = Field(default=-50.0, ge=-100, le=0, description="anything quieter is silence")
    above_noise_db: float = Field(
        default=8.0, ge=0, le=40, description="how far speech must rise above the noise floor"
    )
    max_steadiness: float = Field(
        default=0.6,
        ge=0,
        le=1,
        description="sound whose harmonics stay in place more than this is music; 1: no check",
    )
    min_voiced: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="sound with a pitch for less than this share of its time is noise; 0: no check",
    )

    @model_validator(mode="after")
    def _window_holds_start(self) -> Self:
        if self.start_window_ms < self.start_ms:
            raise ValueError(
                f"vad.start_window_ms = {self.start_window_ms} is shorter than vad.start_ms = {self.start_ms}"
            )
        return self


class EndpointingSettings(Section):
    """When the person has finished."""

    min_silence_ms: int = Field(
        default=700, ge=100, le=10000, description="never answer sooner than this after speech"
    )
    max_silence_ms: int = Field(default=1800, ge=100, le=20000, description="always answer by then")
    run_ahead_ms: int = Field(
        default=300,
        ge=50,
        le=10000,
        description="silence after which work on the answer begins, which may be dropped",
    )
    sure_probability: float = Field(
        default=0.8, ge=0, le=1, description="from this probability of speaking on, min_silence_ms is enough"
    )
    unsure_probability: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="at this probability of speaking or below, wait for max_silence_ms",
    )
    hanging_words: tuple[str, ...] = Field(
        default=_HANGING_WORDS,
        description="after a turn that ends with one of these, wait for max_silence_ms",
    )
    max_piece_s: float = Field(
        default=25.0, ge=2, le=29, description="longer speech is cut, at a pause if there is one"
    )
    cut_search_s: float = Field(
        default=8.0, ge=0.5, le=28, description="search for a pause in the last seconds before that limit"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max_silence_ms < self.min_silence_ms:
            raise ValueError(
                f"endpointing.max_silence_ms = {self.max_silence_ms} is below "
                f"min_silence_ms = {self.min_silence_ms}"
            )
        if self.sure_probability < self.unsure_probability:
            raise ValueError(
                f"endpointing.sure_probability = {self.sure_probability} is below "
                f"unsure_probability = {self.unsure_probability}"
            )
        longest_s = self.max_piece_s + 2 * self.run_ahead_ms / 1000  # twice where somebody stirs
        if longest_s >= MAX_UTTERANCE_S:
            raise ValueError(
                f"endpointing.max_piece_s = {self.max_piece_s:g} and twice "
                f"run_ahead_ms = {self.run_ahead_ms} make {longest_s:g} s; "
                f"less than {MAX_UTTERANCE_S:g} s can be heard at once"
            )
        if self.cut_search_s >= self.max_piece_s:
            raise ValueError(
                f"endpointing.cut_search_s = {self.cut_search_s} is not below "
                f"max_piece_s = {self.max_piece_s}"
            )
        return self


class BargeInSettings(Section):
    """What happens when the person speaks while the agent does."""

    enabled: bool = Field(default=True, description="false: the agent does not listen while it speaks")
    cancel_after_ms: int = Field(
        default=900, ge=100, le=10000, description="this much speech takes the floor, whatever is said"
    )
    partial_words: int = Field(
        default=2,
        ge=1,
        le=20,
        description="this many words that are not backchannels take the floor while the person still speaks",
    )
    resume_after_ms: int = Field(
        default=500, ge=100, le=10000, description="silence after which a false interruption is over"
    )
    backchannels: tuple[str, ...] = Field(
        default=_BACKCHANNELS,
        description="words that do not take the floor",
    )
    cut_note: str = Field(
        default="",
        description="system text added to the model's history after an interrupted reply; empty: none",
    )


class PlaybackSettings(Section):
    """How the reply is played."""

    prebuffer_ms: int = Field(default=100, ge=0, le=5000, description="sound to gather before a reply starts")
    max_prebuffer_ms: int = Field(
        default=1000, ge=0, le=10000, description="how far that may grow after playback ran dry"
    )
    fade_ms: int = Field(
        default=30, ge=1, le=200, description="length of the fades at pauses, resumptions and cancellations"
    )
    leading_silence_ms: int = Field(
        default=20, ge=0, le=1000, description="silence to leave before a reply's first sound"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max_prebuffer_ms < self.prebuffer_ms:
            raise ValueError(
                f"playback.max_prebuffer_ms = {self.max_prebuffer_ms} is below "
                f"prebuffer_ms = {self.prebuffer_ms}"
            )
        return self


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


class RecognitionSettings(Section):
    """How speech becomes text."""

    min_confidence: float = Field(
        default=0.2, ge=0, le=1, description="speech recognized with less confidence counts as not understood"
    )
    partial_every_ms: int = Field(
        default=300, ge=0, le=10000, description="how often to recognize speech that goes on; 0: never"
    )
    block_ms: int = Field(
        default=100, ge=10, le=2000, description="length of the blocks handed to the recognizer"
    )


class FixedCosts(Section):
    """Compute time of each step with compute_time: fixed."""

    recognise_per_s_ms: float = Field(
        default=50.0, ge=0, le=100000, description="per second of speech, while it is heard"
    )
    recognise_end_ms: float = Field(
        default=80.0, ge=0, le=100000, description="at the end of a piece of speech"
    )
    tokenize_ms: float = Field(default=60.0, ge=0, le=100000, description="making the taste tokens of a turn")
    prefill_ms: float = Field(default=40.0, ge=0, le=100000, description="reading a turn into the model")
    word_ms: float = Field(default=50.0, ge=0, le=100000, description="generating one word")
    detokenize_ms: float = Field(default=120.0, ge=0, le=100000, description="making the sound of one chunk")


class ReplaySettings(Section):
    """Time in `taste-agent replay`."""

    compute_time: Literal["measured", "fixed", "zero"] = Field(
        default="measured", description="how much time computing takes on the virtual clock"
    )
    realtime: bool = Field(default=False, description="run at the pace of the wall clock")
    max_tail_s: float = Field(
        default=60.0, ge=0, le=3600, description="longest wait for the end of the last reply"
    )
    fixed: FixedCosts = Field(
        default_factory=FixedCosts, description="time of each step with compute_time: fixed"
    )


class AgentSettings(Section):
    """The whole of the agent's settings."""

    model: ModelSettings = Field(
        default_factory=ModelSettings, description="which checkpoint speaks, and where"
    )
    dialog: DialogSettings = Field(default_factory=DialogSettings, description="who the agent is")
    sampling: SamplingSettings = Field(default_factory=SamplingSettings, description="how words are chosen")
    emit: EmitSettings = Field(default_factory=EmitSettings, description="when finished words become sound")
    vad: VadSettings = Field(default_factory=VadSettings, description="when sound is speech")
    endpointing: EndpointingSettings = Field(
        default_factory=EndpointingSettings, description="when the person has finished"
    )
    barge_in: BargeInSettings = Field(
        default_factory=BargeInSettings, description="when the person speaks over the agent"
    )
    playback: PlaybackSettings = Field(
        default_factory=PlaybackSettings, description="how the reply is played"
    )
    devices: DeviceSettings = Field(default_factory=DeviceSettings, description="the sound card of chat")
    echo: EchoSettings = Field(
        default_factory=EchoSettings, description="keeping the agent from hearing itself"
    )
    recognition: RecognitionSettings = Field(
        default_factory=RecognitionSettings, description="how speech becomes text"
    )
    replay: ReplaySettings = Field(default_factory=ReplaySettings, description="time in replay")
