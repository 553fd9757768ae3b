"""What is evaluated: the mind and the voice of a checkpoint, and the untuned model."""

import copy
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch
from transformers import pipeline

from taste_speech.acceleration import Acceleration, accelerate
from taste_speech.modeling_taste import TasteForCausalLM
from taste_speech.pretrained.smollm2 import smollm2_folder
from taste_speech.processing_taste import TasteProcessor
from taste_speech.recognition.base import Recognizer
from taste_speech.streaming import (
    Conversation,
    StreamingDetokenizer,
    TASTESegment,
    streaming_generate,
    taste_tokenize,
)
from taste_speech.streaming.generator import ReplyItem
from taste_speech.streaming.segment import Role
from taste_speech.training.evaluation.sounds import RATE_HZ, Audio, Clip
from taste_speech.vocoder.spectra import log_mel

UNTUNED_PROMPT = (
    "You are a friendly voice assistant. Answer in one or two short sentences of plain spoken English, "
    "without lists or markup."
)
_MAX_UNTUNED_TOKENS = 80


class TasteMind:
    """A model of this project, with the settings that it ships with."""

    def __init__(self, model: TasteForCausalLM, processor: TasteProcessor) -> None:
        self.model, self.processor = model, processor

    def talk(self, system: str = "") -> "TasteTalk":
        """Begin a talk, with a system prompt or without."""
        return TasteTalk(self, system)

    def segment(self, role: Role, text: str) -> TASTESegment:
        """Return a line of text."""
        return TASTESegment(role, "text", self.processor.process_text(text)["llm_token_ids"])

    def spoken_segment(
        self, samples: Audio, text: str, role: Role = "user", recognizer: Recognizer | None = None
    ) -> TASTESegment:
        """Return text and taste tokens of (T,) samples at 16 kHz, which `recognizer` may have encoded."""
        ids = self.processor.process_text(text)["llm_token_ids"]
        layer = self.model.audio_tower.joint.target_hidden_layer
        encoded = None if recognizer is None else recognizer.encoded(samples, layer)
        audio = torch.from_numpy(samples)[None]
        tastes = taste_tokenize(self.model, self.processor, audio, ids, RATE_HZ, encoded=encoded)
        return TASTESegment(role, "audio", ids, tastes)

    def decode(self, parts: Sequence[TASTESegment]) -> str:
        """Return the text of a reply."""
        ids = [token for part in parts for token in part.text_ids[0].tolist()]
        return str(self.processor.llm_tokenizer.decode(ids)).strip()


class TasteTalk:
    """A talk in text; its answers are those that would be spoken."""

    def __init__(self, mind: TasteMind, system: str) -> None:
        self.mind = mind
        self.conversation = Conversation(mind.model, mind.processor)
        self.generator = torch.Generator().manual_seed(0)
        if system:
            self.add("system", system)

    def add(self, role: Role, text: str) -> None:
        """Append a line to the history."""
        self.conversation.append(self.mind.segment(role, text))

    def ask(self, text: str) -> str:
        """Return the answer to a typed turn; empty if the model waits for more."""
        return self.answer(self.mind.segment("user", text))

    def answer(self, turn: TASTESegment) -> str:
        """Return the answer to a turn; empty if the model waits for more."""
        return self.mind.decode([item["segment"] for item in self.items(turn)])

    def items(self, turn: TASTESegment) -> Iterator[ReplyItem]:
        """Yield the answer to a turn as `streaming_generate` does."""
        self.conversation.append(turn)
        return streaming_generate(
            self.mind.model, self.mind.processor, [], state=self.conversation, generator=self.generator
        )


def load_mind(checkpoint: Path, linear: str = "as_is") -> TasteMind:
    """Load a checkpoint with the fast paths of the agent."""
    model = TasteForCausalLM.from_pretrained(checkpoint).eval()
    accelerate(model, model.voice, Acceleration.model_validate({"linear": linear}))
    return TasteMind(model, TasteProcessor.from_pretrained(checkpoint))


class UntunedMind:
    """The pretrained model with greedy decoding and a voice assistant's system prompt."""

    @cached_property
    def generate(self) -> Any:
        """The pipeline that continues a talk."""
        return pipeline("text-generation", str(smollm2_folder()), dtype=torch.float32)

    def talk(self, system: str = "") -> "UntunedTalk":
        """Begin a talk."""
        return UntunedTalk(self, system or UNTUNED_PROMPT)


class UntunedTalk:
    """A talk in the model's own chat template."""

    def __init__(self, mind: UntunedMind, system: str) -> None:
        self.mind = mind
        self.lines = [{"role": "system", "content": system}]

    def add(self, role: Role, text: str) -> None:
        """Append a line to the history."""
        self.lines.append({"role": role, "content": text})

    def ask(self, text: str) -> str:
        """Return the answer."""
        self.add("user", text)
        (reply,) = self.mind.generate(
            self.lines, return_full_text=False, max_new_tokens=_MAX_UNTUNED_TOKENS, do_sample=False
        )
        self.add("assistant", reply["generated_text"].strip())
        return self.lines[-1]["content"]


Mind = TasteMind | UntunedMind


def ask_all(mind: Mind, turns: Sequence[str]) -> list[str]:
    """Return the answers to the turns of one talk."""
    talk = mind.talk()
    return [talk.ask(turn) for turn in turns]


class Mouth:
    """The ways in which a checkpoint produces sound, all at 16 kHz with a fixed seed."""

    def __init__(self, mind: TasteMind) -> None:
        self.mind, self.model, self.processor = mind, mind.model, mind.processor
        self.generator = mind.model.voice
        self.rate_hz: int = self.generator.config.sampling_rate_hz
        self.speaker = next(iter(mind.processor.voices().values()))

    @torch.no_grad()
    def vocode(self, clip: Clip) -> Audio:
        """Return a recording's sound from its natural mel frames."""
        samples = soxr.resample(clip.samples, RATE_HZ, self.rate_hz)
        mel = log_mel(torch.from_numpy(samples)[None], self.generator.config)
        wave = self.generator.hift(mel, generator=_seeded())[0]
        return soxr.resample(wave.numpy(), self.rate_hz, RATE_HZ)

    def speech(self) -> StreamingDetokenizer:
        """Return a detokenizer for one reply."""
        return StreamingDetokenizer(self.model, self.processor, self.speaker, RATE_HZ, _seeded())

    def say_again(self, clip: Clip) -> tuple[Audio, tuple[float, ...]]:
        """Return a recording's sound from its taste tokens, and when its words end."""
        segment = self.mind.spoken_segment(clip.samples, clip.text, "assistant")
        chunk = self.speech().feed(segment.text_ids, segment.taste_ids, final=True)
        return chunk.samples, tuple(end / RATE_HZ for end in chunk.word_ends)

    def reply(self, talk: TasteTalk, question: str) -> tuple[str, Audio]:
        """Return the answer to a typed question, and its sound."""
        parts = [item["segment"] for item in talk.items(self.mind.segment("user", question))]
        speech, last = self.speech(), len(parts) - 1
        if not any(part.text_ids.numel() for part in parts):
            return "", np.zeros(0, np.float32)
        sounds = [
            speech.feed(part.text_ids, part.taste_ids, final=number == last).samples
            for number, part in enumerate(parts)
        ]
        return self.mind.decode(parts), np.concatenate(sounds)

    def read(self, text: str) -> Audio:
        """Return the sound of any text, as `taste-agent say` reads it."""
        from taste_agent.dialog.sound import taste_of_text

        segment = taste_of_text(self.model, self.processor, text)
        return self.speech().feed(segment.text_ids, segment.taste_ids, final=True).samples


def text_only(model: TasteForCausalLM) -> TasteForCausalLM:
    """Return a copy of the model that speaks from the text alone: all taste tokens are the zero vector.

    Stage `taste` trains the phone decoder on this, too, by withholding the audio.
    """
    muted = copy.deepcopy(model)
    project = muted.audio_tower.quantizer.project_out
    torch.nn.init.zeros_(project.weight)
    torch.nn.init.zeros_(project.bias)
    return muted


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)
