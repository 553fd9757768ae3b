"""`Brain` on a TASTE checkpoint."""

import secrets
from collections.abc import Collection, Generator, Sequence
from dataclasses import replace

import numpy as np
import torch

from taste_agent.audio.ports import Samples
from taste_agent.clock import ENGINE_RATE_HZ, samples_of_ms
from taste_agent.config import AgentSettings, EmitSettings
from taste_agent.dialog.brain import ReplyItem, Sound
from taste_agent.dialog.loading import SMALL_MODEL_PARAMETERS, load_model
from taste_agent.dialog.sound import SoundEdges, parts_of_speech
from taste_agent.errors import AgentError
from taste_speech import TasteForCausalLM, TasteProcessor
from taste_speech.recognition.base import Recognizer
from taste_speech.streaming import (
    Conversation,
    EmitTiming,
    StreamingDetokenizer,
    TASTESegment,
    at_clause_ends,
    every_words,
    growing_chunks,
    streaming_generate,
    taste_tokenize,
)
from taste_speech.streaming.configuration import StreamingConfig

WARM_UP_TEXT = "what is your name"


def load_brain(settings: AgentSettings, speaks: bool = True) -> "TasteBrain":
    """Load the checkpoint of the settings with its recognizer and, if it `speaks`, its voice.

    Raises:
        TasteError: the checkpoint cannot be loaded.
        AgentError: the device or the voice does not exist, or the checkpoint does not support a setting.
    """
    model, processor = load_model(settings.model, speaks=speaks)
    brain = TasteBrain(model, processor, settings)
    if model.device.type != "cpu" or model.num_parameters() < SMALL_MODEL_PARAMETERS:
        brain.warm_up(speaks)  # for a large model on a CPU it takes longer than it saves
    return brain


class TasteBrain:
    """A checkpoint with its recognizer, its voice and the state of one conversation."""

    def __init__(self, model: TasteForCausalLM, processor: TasteProcessor, settings: AgentSettings) -> None:
        self._model = model
        self._processor = processor
        self._settings = settings
        self._speaker = speaker_embedding(processor, settings.dialog.voice)
        self._recognizer = processor.recognizer()
        seed = secrets.randbits(31) if settings.sampling.seed is None else settings.sampling.seed
        self._text_generator = torch.Generator(model.device).manual_seed(seed)
        self._voice_generator = torch.Generator(model.device).manual_seed(seed)
        self._draws: tuple[torch.Tensor, ...] = ()
        self._conversation = Conversation(model, processor)
        self._conversation.config = _limited(self._conversation.config, settings)
        if settings.dialog.system_prompt:
            self._conversation.append(self._segment("system", settings.dialog.system_prompt))
            self._conversation.prefill()
        self._settled = self._conversation.segments
        self._detokenizer: StreamingDetokenizer | None = None
        self._edges = SoundEdges(0)
        self._words_before = 0
        """Words of a continued answer that were heard before."""

    def warm_up(self, speaks: bool = True) -> None:
        """Answer a question and forget it, so that nothing is set up during the first turn."""
        generators = (self._text_generator, self._voice_generator)
        states = [generator.get_state() for generator in generators]
        self.prefill(self.tokenize(WARM_UP_TEXT, np.zeros(ENGINE_RATE_HZ // 2, np.float32)))
        items = self.reply()
        first = next(items)
        if speaks:
            self.speak(first)
        items.close()
        self.discard()
        self._detokenizer = None
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)

    @property
    def notices(self) -> tuple[str, ...]:
        """Settings that the checkpoint does not support well."""
        if not self._settings.dialog.system_prompt or self._conversation.config.follows_system_prompt:
            return ()
        name = self._settings.model.checkpoint
        return (f"{name} does not reliably follow a system prompt; answers may ignore it, or get worse",)

    @property
    def conversation(self) -> Conversation:
        """The model's history."""
        return self._conversation

    def recognizer(self) -> Recognizer:
        """Return the checkpoint's recognizer."""
        self._recognizer.start()  # load its models now, not during the first words
        return self._recognizer

    def tokenize(self, text: str, samples: Samples) -> list[TASTESegment]:
        """Return text and taste tokens of speech; in parts if it has more words than the model takes."""

        def count(words: Sequence[str]) -> int:
            return self._processor.process_text(words)["asr_token_ids"].shape[1]

        words, most = self._processor.split_text(text), self._model.audio_tower.max_asr_tokens
        return [self._audio_segment(*part) for part in parts_of_speech(words, samples, count, most)]

    def _audio_segment(self, words: list[str], samples: Samples) -> TASTESegment:
        text_ids = self._processor.process_text(words)["llm_token_ids"]
        audio = torch.from_numpy(samples)[None]
        encoded = None
        if self._processor.config.pretrained.encoder is not None:  # it is the recognizer's, too
            layer = self._model.audio_tower.joint.target_hidden_layer
            encoded = self._recognizer.encoded(samples, layer)
        taste_ids = taste_tokenize(
            self._model, self._processor, audio, text_ids, ENGINE_RATE_HZ, encoded=encoded
        )
        return TASTESegment("user", "audio", text_ids, taste_ids.cpu())

    def text_segment(self, text: str) -> TASTESegment:
        """Return a user segment of typed text."""
        return self._segment("user", text)

    def prefill(self, segments: list[TASTESegment]) -> float | None:
        """Read user segments; return None as probability if the checkpoint always answers."""
        self._conversation.extend(segments)
        probability = self._conversation.prefill()
        return None if self._conversation.format.role_ids is None else probability

    def reply(self) -> Generator[ReplyItem, None, None]:
        """Answer the open exchange."""
        self._conversation.open_reply()
        self._words_before = 0
        self._draws = tuple(g.get_state() for g in (self._text_generator, self._voice_generator))
        return self._items()

    def take_back(self) -> None:
        """Undo `reply`, and restore the random state before it."""
        if self._conversation.reply is not None:
            self._conversation.pop()
        for generator, state in zip((self._text_generator, self._voice_generator), self._draws, strict=True):
            generator.set_state(state)
        self._detokenizer = None

    def go_on(self) -> Generator[ReplyItem, None, None]:
        """Continue the answer that was settled last."""
        if self._conversation.segments[-1].role == "system":  # the note about the cut
            self._conversation.pop()
        self._words_before = self._conversation.reopen_reply()
        return self._items()

    def _items(self) -> Generator[ReplyItem, None, None]:
        sampling = self._settings.sampling
        self._detokenizer = None
        self._edges = SoundEdges(samples_of_ms(self._settings.playback.leading_silence_ms))
        items = streaming_generate(
            self._model,
            self._processor,
            [],
            text_top_p=sampling.text_top_p,
            taste_top_p=sampling.taste_top_p,
            text_temperature=sampling.text_temperature,
            repetition_penalty=sampling.repetition_penalty,
            max_length=sampling.max_length,
            emit_timing_func=emit_timing(self._settings.emit),
            state=self._conversation,
            generator=self._text_generator,
        )
        for item in items:
            yield ReplyItem(tuple(item["segment"].words), item["is_complete"], item["completion_reason"])

    def speak(self, item: ReplyItem) -> Sound:
        """Return the sound of an item at the engine's rate."""
        if self._detokenizer is None:  # the first item of a reply
            self._detokenizer = StreamingDetokenizer(
                self._model, self._processor, self._speaker, ENGINE_RATE_HZ, self._voice_generator
            )
        chunk = self._detokenizer.speak(item.words, item.complete)
        words = tuple(replace(word, end=end) for word, end in zip(item.words, chunk.word_ends, strict=True))
        return self._edges(Sound(chunk.samples, words), item.complete)

    def settle(self, heard_words: int) -> None:
        """Keep the heard words of the reply in the history."""
        self._conversation.commit_heard(self._words_before + heard_words)
        note = self._settings.barge_in.cut_note
        if note and self._conversation.unspoken is not None:
            self._conversation.append(self._segment("system", note))
        self._settled = self._conversation.segments

    def forget(self, segments: Collection[TASTESegment]) -> None:
        """Remove these segments (by identity) from the history, and drop the open exchange."""
        self._settled = tuple(s for s in self._settled if not any(s is gone for gone in segments))
        self.discard()

    def discard(self) -> None:
        """Restore the history that was settled last, including segments that had to make room since."""
        conversation = self._conversation
        while conversation.reply is not None or conversation.segments:
            conversation.pop()
        conversation.extend(self._settled)

    def _segment(self, role: str, text: str) -> TASTESegment:
        return TASTESegment(role, "text", self._processor.process_text(text)["llm_token_ids"])


def _limited(streaming: StreamingConfig, settings: AgentSettings) -> StreamingConfig:
    """Return the checkpoint's limits, replaced by those in the settings.

    Raises:
        AgentError: the history would be longer than the checkpoint allows.
    """
    most, wanted = streaming.max_history_tokens, settings.dialog.max_history_tokens
    if wanted is not None and wanted > most:
        raise AgentError(
            f"dialog.max_history_tokens is {wanted}; this checkpoint allows at most {most}; give 16 to {most}"
        )
    named = {"max_history_tokens": wanted, "extra_words": settings.sampling.extra_words}
    return streaming.model_copy(update={name: value for name, value in named.items() if value is not None})


def speaker_embedding(processor: TasteProcessor, voice: str) -> torch.Tensor:
    """Return the (1, size) embedding of a voice given by name or sound file; the first voice if empty.

    Raises:
        AgentError: the checkpoint has no voices to choose from.
    """
    if voice:
        return processor.speaker_embedding(voice)
    voices = processor.voices()
    if not voices:
        raise AgentError("the checkpoint has no fixed voice; give a recording of the voice with --voice FILE")
    return next(iter(voices.values()))


def emit_timing(settings: EmitSettings) -> EmitTiming:
    """Return the emit-timing function of the settings."""
    if settings.timing == "growing":
        return growing_chunks(settings.words_per_chunk, most=settings.max_words_per_chunk)
    if settings.timing == "clause":
        return at_clause_ends(settings.max_words_per_chunk)
    return every_words(settings.words_per_chunk)
