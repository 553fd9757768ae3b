"""Whom the questions are asked: a checkpoint, the trained mind of a run alone, and the untuned model."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoTokenizer, LlamaForCausalLM

from taste_speech.acceleration import Acceleration, accelerate
from taste_speech.checkpoint_files import CheckpointFiles
from taste_speech.configuration_taste import TasteConfig
from taste_speech.modeling_taste import TasteForCausalLM
from taste_speech.pretrained.smollm2 import smollm2_folder
from taste_speech.processing_taste import TasteProcessor
from taste_speech.spoken_lm.language_model import SpokenLM
from taste_speech.streaming import Conversation, TASTESegment, streaming_generate
from taste_speech.streaming.generator import ReplyItem
from taste_speech.streaming.segment import Role
from taste_speech.words import tokenize_words

UNTUNED_PROMPT = (
    "You are a friendly voice assistant. Answer in one or two short sentences of plain spoken English, "
    "without lists or markup."
)
_LONGEST_UNTUNED = 80


class TasteMind:
    """A model of this project, with the settings that it ships with."""

    def __init__(self, model: TasteForCausalLM, processor: TasteProcessor) -> None:
        self.model, self.processor = model, processor

    @classmethod
    def load(cls, checkpoint: Path, linear: str = "as_is") -> Self:
        """Load a checkpoint with the fast paths of the agent."""
        model = TasteForCausalLM.from_pretrained(checkpoint).eval()
        processor = TasteProcessor.from_pretrained(checkpoint)
        settings = Acceleration.model_validate({"linear": linear})
        accelerate(model, model.voice, settings)
        return cls(model, processor)

    def talk(self, system: str | None = None) -> "TasteTalk":
        """Begin a talk."""
        return TasteTalk(self, system)


class TasteTalk:
    """A talk in text; the answers are those to be spoken."""

    def __init__(self, mind: TasteMind, system: str | None) -> None:
        self.mind = mind
        self.conversation = Conversation(mind.model, mind.processor)
        self.generator = torch.Generator().manual_seed(0)
        if system:
            self.add("system", system)

    def add(self, role: Role, text: str) -> None:
        """Put a line into the history."""
        self.conversation.append(typed(self.mind.processor, role, text))

    def ask(self, text: str) -> str:
        """Return the answer to a typed turn; empty where the model waits for more."""
        return self.answer(typed(self.mind.processor, "user", text))

    def answer(self, turn: TASTESegment) -> str:
        """Return the answer to a turn; empty where the model waits for more."""
        parts = [item["segment"] for item in self.items(turn)]
        ids = [token for part in parts for token in part.text_ids[0].tolist()]
        return str(self.mind.processor.llm_tokenizer.decode(ids)).strip()

    def items(self, turn: TASTESegment) -> Iterator[ReplyItem]:
        """Yield the answer to a turn as `streaming_generate` does."""
        self.conversation.append(turn)
        return streaming_generate(
            self.mind.model, self.mind.processor, [], state=self.conversation, generator=self.generator
        )


def typed(processor: TasteProcessor, role: Role, text: str) -> TASTESegment:
    """Return the segment of a line of text."""
    ids = tokenize_words(processor.llm_tokenizer, processor.split_text(text)).token_ids
    return TASTESegment(role, "text", torch.tensor([ids]))


def trained_mind(config: TasteConfig, weights: Path, with_tastes: bool = False) -> TasteMind:
    """Load what stage `mind` has written so far; the other parts stay random, for text needs none of them.

    Args:
        config: of the checkpoint that is trained.
        weights: `spoken_lm.safetensors` of the stage.
        with_tastes: whether it was trained on taste tokens; else all words carry the pad embedding.
    """
    from taste_speech.training.stages.mind import adapted

    lora = config.spoken_lm_config.kwargs_for_lora
    lm = adapted(SpokenLM(config), lora.lora_r, int(lora.lora_alpha), torch.float32).float()
    unknown = lm.load_state_dict(load_file(weights), strict=False).unexpected_keys
    if unknown:
        raise ValueError(f"{weights} holds {unknown[0]}, which the model of this recipe lacks")
    model = TasteForCausalLM(config)
    model.spoken_lm = merged(lm)
    if not with_tastes:
        project = model.audio_tower.quantizer.project_out
        nn.init.zeros_(project.weight)
        project.bias.data = lm.pad_audio_unit_embed.data.clone()
    accelerate(model.eval())
    tokenizer = AutoTokenizer.from_pretrained(smollm2_folder())
    return TasteMind(model, TasteProcessor(config, CheckpointFiles(weights.parent), llm_tokenizer=tokenizer))


def merged(lm: SpokenLM) -> SpokenLM:
    """Add the adapters to the weights that they stand beside, in place."""
    from peft.tuners.lora import LoraLayer

    for name, module in list(lm.named_modules()):
        if isinstance(module, LoraLayer):
            module.merge()
            lm.set_submodule(name, module.get_base_layer())
    return lm.requires_grad_(False)


class UntunedMind:
    """The pretrained model as it comes, told to be a voice assistant."""

    def __init__(self) -> None:
        folder = smollm2_folder()
        self.model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)

    def talk(self, system: str | None = UNTUNED_PROMPT) -> "UntunedTalk":
        """Begin a talk."""
        return UntunedTalk(self, system or UNTUNED_PROMPT)


class UntunedTalk:
    """A talk by the model's own chat template, greedy."""

    def __init__(self, mind: UntunedMind, system: str) -> None:
        self.mind = mind
        self.lines = [{"role": "system", "content": system}]

    def add(self, role: Role, text: str) -> None:
        """Put a line into the history."""
        self.lines.append({"role": role, "content": text})

    @torch.inference_mode()
    def ask(self, text: str) -> str:
        """Return the answer."""
        self.add("user", text)
        tokenizer = self.mind.tokenizer
        prompt = tokenizer.apply_chat_template(
            self.lines, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        made = self.mind.model.generate(
            **prompt,
            max_new_tokens=_LONGEST_UNTUNED,
            do_sample=False,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        answer = tokenizer.decode(made[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True).strip()
        self.add("assistant", answer)
        return answer


Mind = TasteMind | UntunedMind


def ask_all(mind: Mind, turns: Sequence[str], system: str | None = None) -> list[str]:
    """Return the answers to the turns of one talk."""
    talk = mind.talk(system)
    return [talk.ask(turn) for turn in turns]
