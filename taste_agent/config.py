"""All settings of the agent: one schema with its defaults, so that an installed package needs no file.

Every field's description is also its comment in `configs/agent/default.yaml`. Reading the sources
(command line, environment, file) with the origin of each value is in `taste_agent.config_sources`.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from taste_agent.audio_config import DeviceSettings, EchoSettings
from taste_agent.config_section import Section

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


class ModelSettings(Section):
    """Which checkpoint speaks, and where it runs."""

    checkpoint: str = Field(default="small", min_length=1, description="shipped name, folder, or hub id")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        default="auto", description="auto takes a GPU if there is one"
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16", "int8"] = Field(
        default="auto",
        description="numbers of the large parts; auto: bfloat16 on CUDA, else float32; int8: on the CPU only",
    )
    threads: int = Field(
        default=0,
        ge=0,
        le=256,
        description="CPU threads of the model; 0: two at most if small, else all but one",
    )


class DialogSettings(Section):
    """Who the agent is."""

    system_prompt: str = Field(default="", description="text the conversation begins with; empty for none")
    voice: str = Field(
        default="",
        description="fixed voice of the checkpoint, or a wav to speak like; empty: its first voice",
    )
    max_history_tokens: int | None = Field(
        default=None,
        ge=16,
        le=1_000_000,
        description="beyond so many text tokens the oldest turns are forgotten; null: as the checkpoint says",
    )


class SamplingSettings(Section):
    """How the model chooses its words."""

    text_top_p: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="smallest set of words with this probability is kept; 0: the likeliest, without penalty",
    )
    taste_top_p: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="same for taste tokens; without effect where their head knows only one choice",
    )
    text_temperature: float = Field(
        default=0.5, gt=0, le=10, description="below 1 likely words get likelier, above 1 all get more alike"
    )
    repetition_penalty: float = Field(
        default=1.1, gt=0, le=10, description="above 1: words already said become less likely"
    )
    max_length: int = Field(default=512, ge=1, le=8192, description="most text tokens of one reply")
    extra_words: int | None = Field(
        default=None,
        ge=0,
        le=4096,
        description="checkpoints without role tokens stop at a sentence end after so many words",
    )
    seed: int | None = Field(
        default=None,
        ge=0,
        lt=2**63,
        description="same seed and threads, same reply; null: another each time",
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
        default=True, description="nothing new is spoken while the person speaks"
    )


class VadSettings(Section):
    """When sound is speech."""

    frame_ms: Literal[10, 20, 30] = Field(default=20, description="length of a decision")
    aggressiveness: int = Field(
        default=2, ge=0, le=3, description="of WebRTC's detector: 3 misses most, 0 triggers most"
    )
    start_ms: int = Field(
        default=120, ge=10, le=2000, description="speech within start_window_ms that opens a piece"
    )
    start_window_ms: int = Field(
        default=200, ge=10, le=3000, description="window in which start_ms are counted"
    )
    stop_ms: int = Field(default=200, ge=30, le=5000, description="silence that ends a stretch of speech")
    pre_roll_ms: int = Field(
        default=400, ge=0, le=2000, description="sound before the first speech that is kept"
    )
    min_level_dbfs: float = Field(default=-50.0, ge=-100, le=0, description="anything below is silence")
    above_noise_db: float = Field(
        default=8.0, ge=0, le=40, description="speech is at least so much above the noise floor"
    )
    max_steadiness: float = Field(
        default=0.6,
        ge=0,
        le=1,
        description="harmonics that stay in place more than this are music; 1: no check",
    )
    min_voiced: float = Field(
        default=0.1, ge=0, le=1, description="less of a piece with a pitch than this is noise; 0: no check"
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
        default=700, ge=100, le=10000, description="never answered sooner than this after speech"
    )
    max_silence_ms: int = Field(default=1800, ge=100, le=20000, description="answered at the latest then")
    run_ahead_ms: int = Field(
        default=300, ge=50, le=10000, description="silence after which work begins that may be dropped"
    )
    sure_probability: float = Field(
        default=0.8, ge=0, le=1, description="model's probability to speak: min_silence from here"
    )
    unsure_probability: float = Field(default=0.3, ge=0, le=1, description="max_silence from here down")
    hanging_words: tuple[str, ...] = Field(
        default=_HANGING_WORDS,
        description="a turn that ends with one of these waits for max_silence",
    )
    max_piece_s: float = Field(
        default=25.0, ge=2, le=29, description="longer speech is cut, at a pause if there is one"
    )
    cut_search_s: float = Field(
        default=8.0, ge=0.5, le=28, description="the last seconds of it in which a pause is looked for"
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
        default=900, ge=100, le=10000, description="so much speech takes the floor, whatever it is"
    )
    partial_words: int = Field(
        default=2,
        ge=1,
        le=20,
        description="so many words that mean something take the floor before it is silent",
    )
    resume_after_ms: int = Field(
        default=500, ge=100, le=10000, description="silence after which a false interruption is over"
    )
    backchannels: tuple[str, ...] = Field(
        default=_BACKCHANNELS,
        description="words that do not take the floor",
    )
    cut_note: str = Field(
        default="", description="system text that the model's history gets after a cut reply; empty: none"
    )


class PlaybackSettings(Section):
    """How the reply is played."""

    prebuffer_ms: int = Field(
        default=100, ge=0, le=5000, description="sound that is waited for before a reply starts"
    )
    max_prebuffer_ms: int = Field(
        default=1000, ge=0, le=10000, description="it grows up to this when playback ran dry"
    )
    fade_ms: int = Field(default=30, ge=1, le=200, description="fade at pause, resume and cancel")
    leading_silence_ms: int = Field(
        default=20, ge=0, le=1000, description="silence that stays before a reply's first sound"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max_prebuffer_ms < self.prebuffer_ms:
            raise ValueError(
                f"playback.max_prebuffer_ms = {self.max_prebuffer_ms} is below "
                f"prebuffer_ms = {self.prebuffer_ms}"
            )
        return self


class RecognitionSettings(Section):
    """How speech becomes text."""

    backend: Literal["checkpoint", "whisper", "pocketsphinx", "ctc", "combined"] = Field(
        default="checkpoint", description="checkpoint: the one that the checkpoint came with"
    )
    min_confidence: float = Field(
        default=0.2, ge=0, le=1, description="pieces recognised with less count as not understood"
    )
    partial_every_ms: int = Field(
        default=300, ge=0, le=10000, description="how often running speech is shown and checked; 0 never"
    )
    block_ms: int = Field(default=100, ge=10, le=2000, description="sound handed to the recogniser at a time")
    own_process: bool = Field(
        default=True,
        description="PocketSphinx beside the agent, whose voice it would interrupt while decoding",
    )

    @property
    def own_backend(self) -> str | None:
        """The backend that is asked for; None leaves it to the checkpoint."""
        return None if self.backend == "checkpoint" else self.backend


class FixedCosts(Section):
    """Compute time of each step with compute_time: fixed."""

    recognise_per_s_ms: float = Field(
        default=50.0, ge=0, le=100000, description="per second of speech, while it is heard"
    )
    recognise_end_ms: float = Field(default=80.0, ge=0, le=100000, description="end of a piece")
    tokenize_ms: float = Field(default=60.0, ge=0, le=100000, description="taste tokens of a turn")
    prefill_ms: float = Field(default=40.0, ge=0, le=100000, description="reading a turn into the model")
    word_ms: float = Field(default=50.0, ge=0, le=100000, description="generating one word")
    detokenize_ms: float = Field(default=120.0, ge=0, le=100000, description="sound of one chunk")


class ReplaySettings(Section):
    """Time in `taste-agent replay`."""

    compute_time: Literal["measured", "fixed", "zero"] = Field(
        default="measured", description="what computing costs on the virtual clock"
    )
    realtime: bool = Field(default=False, description="wait for the wall clock")
    max_tail_s: float = Field(
        default=60.0, ge=0, le=3600, description="the last reply is waited for at most so long"
    )
    fixed: FixedCosts = Field(default_factory=FixedCosts, description="costs with compute_time: fixed")


class AgentSettings(Section):
    """The whole of the agent's settings."""

    model: ModelSettings = Field(
        default_factory=ModelSettings, description="which checkpoint speaks, and where"
    )
    dialog: DialogSettings = Field(default_factory=DialogSettings, description="who the agent is")
    sampling: SamplingSettings = Field(default_factory=SamplingSettings, description="how words are chosen")
    emit: EmitSettings = Field(default_factory=EmitSettings, description="when ready words become sound")
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
