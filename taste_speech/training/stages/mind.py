"""Stage `mind`: TASTE stage 2 on a pretrained language model: LoRA, bridges and the taste head.

Rows have a fixed length, because changing shapes are slow on a CPU. A row holds several talks, or one long
talk that changes its subject, so that the model learns to use as much history as it will be given.

The taste tokens of words are those of recordings of the reply voice: from stage `taste`, else from the audio
tower of the checkpoint to begin with. A run that has neither trains without them: all words carry the pad
embedding until the stage is started again.
"""

import logging
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoTokenizer, LlamaForCausalLM

from taste_speech.audio_tower.quantizer import ResidualQuantizer
from taste_speech.configuration_base import StrictSection
from taste_speech.configuration_sections import SpokenLMConfig
from taste_speech.conversion.names import LLM, source_of
from taste_speech.modeling_taste import TasteForCausalLM
from taste_speech.pretrained.smollm2 import smollm2_folder
from taste_speech.processing_taste import TasteProcessor
from taste_speech.spoken_lm.language_model import SpokenLM
from taste_speech.streaming.layout import NONE, PromptFormat
from taste_speech.training.config import StageContext
from taste_speech.training.corpus.audio_store import AudioStore
from taste_speech.training.corpus.dialogues.conversation import (
    asked_again,
    make_pairs,
    make_questions,
    make_talks,
)
from taste_speech.training.corpus.dialogues.turns import (
    Talk,
    Turn,
    as_recognized,
    cut_off,
    murmured,
    written_talks,
)
from taste_speech.training.corpus.heard_turns import HeardTurns, Hearer
from taste_speech.training.corpus.reply_voice import ReplyVoice
from taste_speech.training.corpus.taste_tokens import fingerprint, heard_by
from taste_speech.training.loop import LoopSettings, Losses, TrainingLoop, mixed_precision
from taste_speech.training.mind.on_cpu import AdaptedLlama, SideBySide
from taste_speech.training.mind.rows import TalkEncoder, TalkRows, TasteBank, talk_losses
from taste_speech.training.stages.taste import TASTES_NAME, TOWER_NAME

logger = logging.getLogger(__name__)


class Settings(StrictSection):
    """Settings of stage 2."""

    loop: LoopSettings = LoopSettings()
    rows: int = Field(default=256, ge=16)
    """Length of a row of several talks."""
    long_rows: int = Field(default=1024, ge=16)
    """Length of a row that is one long talk: the history that the model should be able to use."""
    batch: int = Field(default=4, ge=1)
    """Rows of several talks in a batch; a batch of long rows has about the same size."""
    long_part: float = Field(default=0.2, ge=0, le=1)
    """Fraction of the batches that are long talks."""
    joined_part: float = Field(default=0.3, ge=0, le=1)
    """Fraction of the talks in short rows that continue the talk before them."""
    kinds_part: float = Field(default=0.3, ge=0, le=1)
    """Fraction of the talks that are generated from the kinds of question instead of written by hand."""
    cut_part: float = Field(default=0.12, ge=0, le=1)
    """Fraction of the written talks that end with an unfinished turn."""
    again_part: float = Field(default=0.06, ge=0, le=1)
    """Fraction of the written talks in which the person asks to hear an answer again."""
    murmured: float = 0.05
    spoken_part: float = Field(default=0.8, ge=0, le=1)
    """Fraction of the written talks in which the person speaks; in the others everything is typed."""
    other_weight: float = 0.0
    """Weight of text that is not the assistant's."""
    label_smoothing: float = 0.0
    workers: int = Field(default=1, ge=1)
    """Parts of a batch that are computed in parallel, one core each."""
    evaluated_rows: int = 8
    taste_stores: list[str] = ["answers", "paced"]
    """Recordings of the reply voice from which the assistant's words take their taste tokens."""
    heard_stores: list[str] = ["answers", "paced", "low"]
    """Recordings for the words of people; each turn takes one of them."""
    heard_turns: int = Field(default=0, ge=0)
    """Number of turns that are spoken and heard, see `corpus.heard_turns`."""
    heard_part: float = Field(default=0.3, ge=0, le=1)
    """Fraction of the talks with such a turn, if there are any."""
    seed: int = 1


class MindTraining(nn.Module):
    """The LM, and the quantizer that turns taste tokens into its inputs and targets."""

    def __init__(self, lm: SpokenLM, quantizer: ResidualQuantizer) -> None:
        super().__init__()
        self.lm, self.quantizer = lm, quantizer.requires_grad_(False)


def adapted(lm: SpokenLM, rank: int, alpha: int, dtype: torch.dtype) -> SpokenLM:
    """Load the pretrained weights into `lm`, frozen and in `dtype`, and add LoRA adapters."""
    given = LlamaForCausalLM.from_pretrained(smollm2_folder(), dtype=dtype)
    lm.language_model = given.requires_grad_(False)
    lm.reset_rotary()
    names = [name for name, part in given.model.named_modules() if isinstance(part, nn.Linear)]
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules=names)
    inject_adapter_in_model(config, given.model)
    for part in given.modules():
        if isinstance(part, LoraLayer):
            part.cast_input_dtype_enabled = False  # autocast does it without a copy in float32
    for name, parameter in given.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.float()
            parameter.requires_grad_(True)
    return lm


def multiply_in(dtype: torch.dtype, llama: LlamaForCausalLM) -> None:
    """Make the linears of a Llama in float32 with adapters multiply in `dtype`."""
    llama.model.forward = AdaptedLlama(llama, dtype)
    head = nn.Linear(llama.config.hidden_size, llama.config.vocab_size, bias=False, device="meta")
    head.weight = nn.Parameter(llama.lm_head.weight.detach().to(dtype), requires_grad=False)
    head.register_forward_pre_hook(lambda _, given: tuple(each.to(dtype) for each in given))
    llama.lm_head = head


class TalkDealer:
    """Draws talks of one split (`train` or `valid`) and lays them out in rows."""

    def __init__(
        self,
        settings: Settings,
        encoder: TalkEncoder,
        split: str,
        seed: int,
        heard: Sequence[Talk] = (),
    ) -> None:
        self.settings, self.encoder, self.split, self.heard = settings, encoder, split, heard
        self.rng = random.Random(f"{split} {seed}")
        self.written = [talk for talk in written_talks() if talk.split == split]
        self._order: list[Talk] = []
        self._kinds: list[Talk] = []

    def talk(self) -> Talk:
        """Return the next talk: written ones in random order, and heard and generated ones in between."""
        if self.heard and self.rng.random() < self.settings.heard_part:
            return self.rng.choice(self.heard)
        if self.rng.random() < self.settings.kinds_part:
            if not self._kinds:
                seed = self.rng.randrange(2**31)
                self._kinds = [talk for talk in make_talks(200, seed, self.split) if talk.turns]
                self._kinds += make_questions(100, seed, self.split)
                self._kinds += make_questions(40, seed + 1, self.split, "brief")
                self._kinds += make_pairs(20, seed, self.split)
                self.rng.shuffle(self._kinds)
            return murmured(self._kinds.pop(), self.settings.murmured, self.rng)
        if not self._order:
            self._order = self.rng.sample(self.written, len(self.written))
        talk = self._order.pop()
        if self.rng.random() < self.settings.again_part:
            talk = asked_again(talk, self.rng)
        if self.rng.random() < self.settings.spoken_part:
            turns = [replace(t, modality="speech") if t.role == "user" else t for t in talk.turns]
            if self.rng.random() < self.settings.cut_part:
                turns = cut_off(turns, self.rng)
            talk = murmured(replace(talk, turns=tuple(turns)), self.settings.murmured, self.rng)
        return talk

    def row(self, length: int, joined_part: float) -> TalkRows:
        """Return one row of exactly `length`; the rest of the last talk is dropped."""
        parts: list[TalkRows] = []
        while sum(len(part.text_ids) for part in parts) < length:
            turns = list(self.talk().turns)
            wanted = length - sum(len(part.text_ids) for part in parts)
            while self.rng.random() < joined_part and turns[-1].finished and _size(turns) < wanted:
                turns += [turn for turn in self.talk().turns if turn.role != "system"]
            spoken = tuple(as_recognized(turn, self.rng) for turn in turns)
            parts.append(self.encoder.rows(Talk("", self.split, spoken), self.rng))
        return _joined(parts, length)

    def batch(self) -> list[TalkRows]:
        """Return a batch of rows of one length."""
        settings = self.settings
        if self.rng.random() < settings.long_part:
            count = max(settings.workers, settings.batch * settings.rows // settings.long_rows)
            return [self.row(settings.long_rows, 1.0) for _ in range(count)]
        return [self.row(settings.rows, settings.joined_part) for _ in range(settings.batch)]

    def endless(self) -> Iterator[list[TalkRows]]:
        """Yield batches."""
        while True:
            yield self.batch()


def _size(turns: Sequence[Turn]) -> float:
    """Return the approximate number of tokens: 1.25 per word, and three more per turn."""
    return sum(1.25 * len(turn.text.split()) + 3 for turn in turns)


def _joined(parts: Sequence[TalkRows], length: int) -> TalkRows:
    firsts = np.cumsum([0, *(len(part.tastes) for part in parts)]).tolist()

    def joined(name: str, is_index: bool = False) -> Tensor:
        rows = [getattr(part, name) for part in parts]
        if is_index:
            rows = [
                torch.where(row != NONE, row + first, NONE) for row, first in zip(rows, firsts, strict=False)
            ]
        return torch.cat(rows)[:length]

    return TalkRows(
        joined("text_ids"),
        joined("taste_source", is_index=True),
        joined("text_targets"),
        joined("text_weights"),
        joined("taste_targets", is_index=True),
        torch.cat([part.tastes for part in parts]),
    )


def run(settings: Settings, context: StageContext) -> None:
    """Train; write `spoken_lm.safetensors`: adapters, bridges and head, not the pretrained weights."""
    folder, config = context.folder("mind"), context.config
    tokenizer = AutoTokenizer.from_pretrained(smollm2_folder())
    fmt = PromptFormat.from_config(config, tokenizer)
    torch.manual_seed(settings.loop.seed)
    quantizer = ResidualQuantizer(config.audio_tower_config.kwargs_for_quantizer)
    lora = config.spoken_lm_config.kwargs_for_lora
    dtype = torch.bfloat16 if mixed_precision(settings.loop) == "bf16" else torch.float32
    on_cpu = not torch.cuda.is_available()
    given_dtype = torch.float32 if on_cpu else dtype
    lm = adapted(SpokenLM(config), lora.lora_r, int(lora.lora_alpha), given_dtype)
    module = MindTraining(lm, quantizer)
    if on_cpu:
        multiply_in(dtype, lm.language_model)
    loop = TrainingLoop("mind", folder, module, settings.loop, given=is_given)
    if not loop.resume() and context.start is not None and begin_with(context.start, lm):
        logger.info("mind: begins with the adapters of %s", context.start)
    said, *banks = tastes(settings, context, quantizer)
    encoder = TalkEncoder(fmt, tokenizer, said, banks, settings.other_weight)
    heard = heard_talks(settings, context)
    dealer = TalkDealer(settings, encoder, "train", settings.seed + loop.step, heard)
    batches = dealer.endless()
    unseen = TalkDealer(settings.model_copy(update={"kinds_part": 0.3}), encoder, "valid", 0)
    held_out = [unseen.row(settings.rows, 0.0) for _ in range(settings.evaluated_rows)]
    logger.info("mind: %d written talks to train on, %d heard", len(dealer.written), len(heard))
    in_parallel = SideBySide(list(module.parameters()), settings.workers)

    def compute_losses(_step: int, generator: torch.Generator) -> Losses:
        batch = next(batches)
        if settings.workers == 1:
            return talk_losses(lm, quantizer, batch, settings.label_smoothing, generator)
        seeds = torch.randint(2**31, (settings.workers,), generator=generator).tolist()
        parts = [
            partial(talk_losses, lm, quantizer, batch[i :: settings.workers], settings.label_smoothing, given)
            for i, given in enumerate(torch.Generator().manual_seed(seed) for seed in seeds)
        ]
        return in_parallel.losses(parts)

    def evaluate() -> dict[str, float]:
        generator = torch.Generator().manual_seed(0)
        with loop.accelerator.autocast():
            losses = [talk_losses(lm, quantizer, [row], 0.0, generator)["text"] for row in held_out]
        return {"text": float(torch.stack(losses).mean())}

    def write() -> None:
        state = {name: value.contiguous() for name, value in lm.state_dict().items() if is_ours(name)}
        save_file(state, folder / "spoken_lm.safetensors")

    loop.run(compute_losses, evaluate, write)


def tastes(settings: Settings, context: StageContext, quantizer: ResidualQuantizer) -> list[TasteBank]:
    """Return the taste tokens of words in `taste_stores`, and those in each of `heard_stores`.

    Their codebooks are loaded into `quantizer`.
    """
    names = dict.fromkeys([*settings.taste_stores, *settings.heard_stores])
    stores = {name: AudioStore(context.folder("corpus") / name) for name in names}
    folder, prefix = context.folder("taste"), "quantizer."
    ids: dict[str, Tensor] = {}
    if (folder / TASTES_NAME).exists():
        tower = load_file(folder / TOWER_NAME)
        own = {name.removeprefix(prefix): value for name, value in tower.items() if name.startswith(prefix)}
        quantizer.load_state_dict(own)
        ids = load_file(folder / TASTES_NAME)
    elif context.start is not None:
        heard = TasteForCausalLM.from_pretrained(context.start).audio_tower
        quantizer.load_state_dict(heard.quantizer.state_dict())
        clips = [(store, clip) for store in stores.values() for clip in store.of_split("train")]
        ids = heard_by(heard, clips, context.folder("mind") / TASTES_NAME)
    said = TasteBank.of_stores([stores[name] for name in settings.taste_stores], ids, plain_first=True)
    return [said, *(TasteBank.of_stores([stores[name]], ids) for name in settings.heard_stores)]


def heard_talks(settings: Settings, context: StageContext) -> list[Talk]:
    """Return the training talks with one turn as the checkpoint to begin with hears it; see `heard_turns`."""
    if not settings.heard_turns or context.start is None:
        return []
    talks = [talk for talk in written_talks() if talk.split == "train"]
    talks += make_questions(len(talks), settings.seed, "train")
    tower = TasteForCausalLM.from_pretrained(context.start).audio_tower
    trained = context.folder("taste") / TOWER_NAME
    if trained.exists():
        tower.load_state_dict(load_file(trained), strict=False)
    # The taste tokens of another tower mean something else.
    heard = HeardTurns(context.folder("mind") / f"heard-{fingerprint(tower)[:16]}.jsonl")
    if len(heard.turns) < settings.heard_turns:
        recognizer = TasteProcessor.from_pretrained(context.start).recognizer()
        hearer = Hearer(ReplyVoice(context.folder("corpus")), recognizer, tower.eval())
        hearer.fill(heard, talks, settings.heard_turns, settings.seed)
    by_id = {talk.id: talk for talk in talks}
    return [turn.within(by_id[turn.talk]) for turn in heard.turns[: settings.heard_turns]]


def begin_with(checkpoint: Path, lm: SpokenLM) -> bool:
    """Load the adapters, bridges and head of a checkpoint; return whether it is of the same model.

    The bridges are zero where its taste tokens have another width, so that the adapters hold from the start.
    """
    stored = stored_in(checkpoint, "spoken_lm.")
    ours = {name: value for name, value in lm.state_dict().items() if is_ours(name)}
    found = {name: stored.get(published_name(name)) for name in ours}
    fitting = {
        name: value for name, value in found.items() if value is not None and value.shape == ours[name].shape
    }
    others = ours.keys() - fitting.keys()
    if any("lora_" in name for name in others):
        return False
    lm.load_state_dict(fitting | {name: torch.zeros_like(ours[name]) for name in others}, strict=False)
    return True


def stored_in(checkpoint: Path, *prefixes: str) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint whose published names begin with one of these."""
    files = [load_file(path) for path in checkpoint.glob("model*.safetensors")]
    return {name: value for file in files for name, value in file.items() if name.startswith(prefixes)}


def published_name(name: str) -> str:
    """Return the published name of a tensor of the LM."""
    if "lora_" in name:
        return f"{LLM}base_model.model.{name.removeprefix('language_model.')}"
    return source_of(f"spoken_lm.{name}", (), SpokenLMConfig(use_lora=False)).names[0]


def is_given(name: str) -> bool:
    """Return whether a tensor of `MindTraining` belongs to the pretrained language model or the quantizer."""
    return not (name.startswith("lm.") and is_ours(name.removeprefix("lm.")))


def is_ours(name: str) -> bool:
    """Return whether a tensor of the LM is trained here."""
    return "lora_" in name or not name.startswith("language_model.")
