"""The schema of all settings, with their defaults.

The description of each field is also its comment in `configs/agent/default.yaml`.
"""

from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

ENV_PREFIX = "TASTE_AGENT_"
ENV_NESTED_DELIMITER = "__"
MAX_UTTERANCE_S = 30.0
"""The longest speech that the model can hear at once."""
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
    """A section of the settings; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_truth_as_number(cls, value: Any, info: ValidationInfo) -> Any:
        # Pydantic would read `true` as 1.
        annotation = cls.model_fields[info.field_name or ""].annotation
        kinds = {annotation, *get_args(annotation)}
        if isinstance(value, bool) and kinds & {int, float} and bool not in kinds:
            raise ValueError(f"expected a number, got {str(value).lower()}")
        return value


def _number(default: float | None, least: float, most: float, description: str) -> Any:
    return Field(default=default, ge=least, le=most, description=description)


def _value(default: object, description: str) -> Any:
    return Field(default=default, description=description)


def _section(kind: type[Section], description: str) -> Any:
    return Field(default_factory=kind, description=description)


class ModelSettings(Section):
    """Which checkpoint speaks, and where it runs."""

    checkpoint: str = Field(default="small", min_length=1, description="shipped name, folder, or hub id")
    device: Literal["auto", "cpu", "cuda", "mps"] = _value("auto", "auto uses a GPU if there is one")
    dtype: Literal["auto", "float32", "bfloat16", "float16", "int8"] = _value(
        "auto",
        "number type of the large parts; auto: bfloat16 on CUDA; on the CPU, float16 for the "
        "language model's weights and float32 for the rest; int8: CPU only",
    )
    threads: int = _number(
        0, 0, 256, "CPU threads of the model; 0: at most two for a small model, else all but one"
    )
    compiled: bool = _value(False, "compile each step on its first use, which takes a minute; for CUDA")


class DialogSettings(Section):
    """Who the agent is."""

    system_prompt: str = _value("", "system prompt at the start of the conversation; empty: none")
    voice: str = _value(
        "", "one of the checkpoint's voices, or a recording of the voice to use; empty: the first"
    )
    max_history_tokens: int | None = _number(
        None, 16, 1_000_000, "text tokens of history before old turns are forgotten; null: the checkpoint's"
    )


class SamplingSettings(Section):
    """How the model chooses its words."""

    text_top_p: float = _number(
        0.3, 0, 1, "draw from the smallest set of words with this probability; 0: the likeliest"
    )
    taste_top_p: float = _number(
        0.0, 0, 1, "the same for taste tokens; no effect where the model offers only one choice"
    )
    text_temperature: float = Field(
        default=0.5,
        gt=0,
        le=10,
        description="below 1: likely words become likelier; above 1: all become more alike",
    )
    repetition_penalty: float = Field(
        default=1.1, gt=0, le=10, description="above 1: words already said in this reply become less likely"
    )
    max_length: int = _number(512, 1, 8192, "most text tokens in one reply")
    extra_words: int | None = _number(
        None,
        0,
        4096,
        "a checkpoint without role tokens stops at the first sentence end after this many words",
    )
    seed: int | None = Field(
        default=None,
        ge=0,
        lt=2**63,
        description="the same seed and thread count give the same reply; null: a new seed each time",
    )


class EmitSettings(Section):
    """When words that are ready become sound."""

    timing: Literal["growing", "clause", "words"] = _value(
        "growing", "growing: small chunks first; clause: at clause ends; words: every words_per_chunk"
    )
    words_per_chunk: int = _number(2, 1, 100, "chunk size for timing: words, first size for growing")
    max_words_per_chunk: int = _number(8, 1, 200, "growing and clause never hold back more words than this")
    hold_while_person_speaks: bool = _value(True, "say nothing new while the person speaks")


class VadSettings(Section):
    """When sound is speech."""

    frame_ms: Literal[10, 20, 30] = _value(20, "length of the frames in which speech is detected")
    aggressiveness: int = _number(
        2, 0, 3, "how strict WebRTC's detector is: 3 misses most speech, 0 takes most noise for speech"
    )
    start_ms: int = _number(120, 10, 2000, "this much speech within start_window_ms counts as a start")
    start_window_ms: int = _number(200, 10, 3000, "window for start_ms")
    stop_ms: int = _number(200, 30, 5000, "silence that ends a stretch of speech")
    pre_roll_ms: int = _number(400, 0, 2000, "sound kept from before the first speech")
    min_level_dbfs: float = _number(-50.0, -100, 0, "anything quieter is silence, unless speech fades there")
    above_noise_db: float = _number(8.0, 0, 40, "how far speech must rise above the noise floor")
    max_steadiness: float = _number(
        0.6, 0, 1, "sound whose harmonics stay in place more than this is music; 1: no check"
    )
    min_voiced: float = _number(
        0.1, 0, 1, "sound with a pitch for less than this share of its time is noise; 0: no check"
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

    min_silence_ms: int = _number(300, 100, 10000, "never answer sooner than this after speech")
    max_silence_ms: int = _number(1800, 100, 20000, "always answer by then")
    run_ahead_ms: int = _number(
        300, 50, 10000, "silence after which work on the answer begins; it is thrown away if speech goes on"
    )
    sure_probability: float = _number(
        0.8, 0, 1, "if it is the agent's turn with this probability or more, min_silence_ms is enough"
    )
    unsure_probability: float = _number(0.3, 0, 1, "with this probability or less, wait for max_silence_ms")
    text_weight: float = _number(
        0.5, 0, 10, "weight of the model's logit of speaking in that of the end of the turn"
    )
    sound_weight: float = _number(0.6, 0, 10, "weight of the logit of sounding finished in it")
    weight_offset: float = _number(1.7, -20, 20, "what is added to both")
    hanging_words: tuple[str, ...] = _value(
        _HANGING_WORDS, "after a turn that ends with one of these, wait for max_silence_ms"
    )
    max_piece_s: float = _number(25.0, 2, 29, "longer speech is cut, at a pause if there is one")
    cut_search_s: float = _number(8.0, 0.5, 28, "search for a pause in the last seconds before that limit")

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
        longest_s = self.max_piece_s + 2 * self.run_ahead_ms / 1000  # twice if somebody stirs
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

    enabled: bool = _value(True, "false: the agent does not listen while it speaks")
    cancel_after_ms: int = _number(900, 100, 10000, "this much speech takes the floor, whatever is said")
    partial_words: int = _number(
        2, 1, 20, "this many words that are not backchannels take the floor while the person still speaks"
    )
    resume_after_ms: int = _number(300, 100, 10000, "silence after which a false interruption is over")
    backchannels: tuple[str, ...] = _value(_BACKCHANNELS, "words that do not take the floor")
    cut_note: str = _value(
        "", "system text added to the model's history after an interrupted reply; empty: none"
    )


class PlaybackSettings(Section):
    """How the reply is played."""

    prebuffer_ms: int = _number(100, 0, 5000, "sound to gather before a reply starts")
    max_prebuffer_ms: int = _number(
        1000, 0, 10000, "limit to which prebuffer_ms may grow after playback ran dry"
    )
    fade_ms: int = _number(30, 1, 200, "length of the fades at pauses, resumptions and cancellations")
    leading_silence_ms: int = _number(20, 0, 1000, "silence to keep before a reply's first sound")

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

    input: str = _value(
        "", "microphone: its name, part of the name, or its number; empty: the system's default"
    )
    output: str = _value(
        "", "loudspeaker: its name, part of the name, or its number; empty: the system's default"
    )
    block_ms: int = _number(20, 5, 100, "length of the microphone's blocks")
    output_block_ms: int = _number(
        30,
        5,
        100,
        "length of the loudspeaker's blocks; playback recovers worse if the sound server's own "
        "blocks have the same length",
    )
    output_queue_ms: int = _number(
        60, 20, 500, "sound kept ready for the loudspeaker; more survives longer hiccups, less reacts sooner"
    )
    output_queue_max_ms: int = _number(300, 40, 2000, "how far the queue may grow after underruns")
    stall_ms: int = _number(
        250, 100, 5000, "after this long without a microphone block, silence is heard instead"
    )
    lost_ms: int = _number(
        1000,
        300,
        30000,
        "after this long without a block, the device counts as lost and is reopened by its name",
    )
    retry_s: float = _number(1.0, 0.2, 60, "time between two attempts to reopen a lost device")


class EchoSettings(Section):
    """Keeping the agent from hearing itself."""

    mode: Literal["auto", "webrtc", "half_duplex", "headphones"] = _value(
        "auto",
        "webrtc cancels the echo, half_duplex listens only while the agent is silent, "
        "headphones does nothing; auto is webrtc where it works, else half_duplex",
    )
    noise_suppression: bool = _value(True, "remove steady noise from the microphone signal")
    high_pass: bool = _value(True, "remove rumble from the microphone signal")
    gain_control: bool = _value(False, "raise a quiet microphone")
    lead_ms: int = _number(
        30, 10, 200, "how far ahead the canceller sees what is played; raise it if echo remains"
    )
    text_gate: bool = _value(True, "drop recognized words that the agent itself has just said")
    text_gate_slack_s: float = _number(
        0.6, 0, 10, "how long after a word its echo may come; shorter once the canceller works"
    )


class RecognitionSettings(Section):
    """How speech becomes text."""

    min_confidence: float = _number(
        0.2, 0, 1, "speech recognized with less confidence than this counts as not understood"
    )
    partial_every_ms: int = _number(
        300, 0, 10000, "how often to recognize speech that is still going on; 0: never"
    )
    block_ms: int = _number(100, 10, 2000, "length of the blocks passed to the recognizer")


class FixedCosts(Section):
    """Compute time of each step with compute_time: fixed."""

    recognize_per_s_ms: float = _number(50.0, 0, 100000, "per second of speech, while it is heard")
    recognize_end_ms: float = _number(80.0, 0, 100000, "at the end of a piece of speech")
    tokenize_ms: float = _number(60.0, 0, 100000, "making the taste tokens of a turn")
    prefill_ms: float = _number(40.0, 0, 100000, "reading a turn into the model")
    word_ms: float = _number(50.0, 0, 100000, "generating one word")
    detokenize_ms: float = _number(120.0, 0, 100000, "making the sound of one chunk")


class ReplaySettings(Section):
    """Time in `taste-agent replay`."""

    compute_time: Literal["measured", "fixed", "zero"] = _value(
        "measured", "how long computing takes on the virtual clock"
    )
    realtime: bool = _value(False, "run in real time")
    max_tail_s: float = _number(60.0, 0, 3600, "longest wait for the last reply to end")
    fixed: FixedCosts = _section(FixedCosts, "time of each step with compute_time: fixed")


class AgentSettings(Section):
    """The whole of the agent's settings."""

    model: ModelSettings = _section(ModelSettings, "which checkpoint speaks, and where")
    dialog: DialogSettings = _section(DialogSettings, "who the agent is")
    sampling: SamplingSettings = _section(SamplingSettings, "how words are chosen")
    emit: EmitSettings = _section(EmitSettings, "when finished words become sound")
    vad: VadSettings = _section(VadSettings, "when sound is speech")
    endpointing: EndpointingSettings = _section(EndpointingSettings, "when the person has finished")
    barge_in: BargeInSettings = _section(BargeInSettings, "when the person speaks over the agent")
    playback: PlaybackSettings = _section(PlaybackSettings, "how the reply is played")
    devices: DeviceSettings = _section(DeviceSettings, "the sound card of chat")
    echo: EchoSettings = _section(EchoSettings, "keeping the agent from hearing itself")
    recognition: RecognitionSettings = _section(RecognitionSettings, "how speech becomes text")
    replay: ReplaySettings = _section(ReplaySettings, "time in replay")
