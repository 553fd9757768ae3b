"""`Conversation`: the segments of a conversation, their LM state, and the reply in progress."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch

from taste_speech.errors import CheckpointError
from taste_speech.modeling_taste import TasteForCausalLM
from taste_speech.processing_taste import TasteProcessor
from taste_speech.spoken_lm.sampling import Vocabulary
from taste_speech.streaming.layout import PromptFormat, Row, row_list
from taste_speech.streaming.row_cache import RowCache
from taste_speech.streaming.segment import TASTESegment
from taste_speech.words import Word

Status = Literal["idle", "speaking", "finished", "max_length", "interrupted", "no_speech"]


@dataclass
class ReplyState:
    """State of a reply that is being generated; it holds everything needed to continue."""

    words: list[Word] = field(default_factory=list)
    """Ready words, whose text and taste token are known."""
    partial_ids: list[int] = field(default_factory=list)
    """Text tokens of the word that is not ready yet."""
    text_ids: list[int] = field(default_factory=list)
    """All text tokens so far."""
    next_row: Row | None = None
    """Row of the newest token, which the LM has not read yet."""
    closing: Literal["finished", "max_length"] | None = None
    """Reason why the text is complete while the taste token of the last word is still missing."""
    emitted_words: int = 0
    emitted_chunks: int = 0

    @property
    def pending(self) -> list[Word]:
        """Ready words that have not been emitted."""
        return self.words[self.emitted_words :]


class Conversation:
    """A conversation with a model. The model holds only weights, so any number of conversations can share it.

    Segments are appended turn by turn, and the LM's state is kept, so that each turn costs only its own
    tokens. `streaming_generate(..., state=conversation)` adds the assistant's replies. Beyond
    `streaming.max_history_tokens`, the oldest turns are dropped; a leading system segment stays.

    Raises:
        CheckpointError: the checkpoint's taste tokens do not lag by one word, as streaming requires.
    """

    def __init__(self, model: TasteForCausalLM, processor: TasteProcessor) -> None:
        config = model.config
        delay = config.spoken_lm_config.delay
        if delay != 1:
            raise CheckpointError(
                f"the checkpoint delays taste tokens by {delay} words; "
                "streaming needs a delay of 1 word; use inference_completion instead"
            )
        self.config = config.streaming
        self.format = PromptFormat.from_config(config, processor.llm_tokenizer)
        self.tokenizer = processor.llm_tokenizer
        self.vocabulary: Vocabulary = model.vocabulary(self.tokenizer)
        self.stop_ids = self._find_stop_ids(config.text_config.eos_token_id)
        """Text tokens that end a reply."""
        self.lm_state = RowCache(model.spoken_lm, model.audio_tower.quantizer)
        self.reply: ReplyState | None = None
        """Reply in progress; None before the first word and after the last."""
        self.status: Status = "idle"
        """Status of the last reply."""
        self.speak_probability: float | None = None
        """Probability that it is the assistant's turn, as of the last prefill; None before the first."""
        self._segments: list[TASTESegment] = []
        self._unspoken: TASTESegment | None = None
        self._is_prefilled = False

    @property
    def segments(self) -> tuple[TASTESegment, ...]:
        """Finished segments that the model remembers, oldest first."""
        return tuple(self._segments)

    @property
    def unspoken(self) -> TASTESegment | None:
        """Words of the last cut answer that were not heard, or None."""
        return self._unspoken

    def append(self, segment: TASTESegment) -> None:
        """Add a segment to the history. The LM reads it at the next `prefill` or reply.

        Raises:
            ValueError: the segment does not fit the checkpoint, or a reply is still open.
        """
        self.extend([segment])

    def extend(self, segments: Sequence[TASTESegment]) -> None:
        """Add segments in order as `append` does; if one does not fit, none is added."""
        if not segments:
            return
        if self.reply is not None:
            raise ValueError(
                "a reply is still open; continue it (streaming_generate with input_segments=[]) or cut it "
                "with commit_heard(n_words) before appending"
            )
        for segment in segments:
            self.format.check(segment)
        self._segments += segments
        self._is_prefilled = False

    def pop(self) -> TASTESegment:
        """Remove and return the last segment (an open reply first); the LM state of earlier ones stays.

        When a person continues to talk: pop, join, append. Tokens in common are not computed again.

        Raises:
            ValueError: the history is empty.
        """
        self._is_prefilled = False
        if self.reply is not None:
            reply, self.reply = self.reply, None
            return self.words_segment(reply.words)
        if not self._segments:
            raise ValueError("the conversation has no segment to remove; append one first")
        return self._segments.pop()

    def prefill(self) -> float:
        """Let the LM read new segments; return the probability that it is the assistant's turn.

        The probability is 1.0 for a checkpoint without role tokens, which always answers.
        """
        if not self._is_prefilled or self.speak_probability is None:
            self._apply_window()
            rows = row_list(self._segments, self.format)
            self.lm_state.advance_to(rows + [Row(token, None) for token in self.format.reply_opening])
            self.speak_probability = self._read_turn()
            self._is_prefilled = True
        return self.speak_probability

    def commit_heard(self, n_words: int) -> None:
        """Cut the last answer to the words that were heard: text, taste tokens and LM state.

        The answer becomes (or stays) a finished segment; words that were not heard are in `unspoken`.

        Args:
            n_words: number of words to keep from the start of the answer; 0 leaves an empty segment.

        Raises:
            ValueError: there is no answer of the assistant to cut, or it has fewer words.
        """
        words, out = self._last_answer()
        if not 0 <= n_words <= out:
            raise ValueError(
                f"n_words is {n_words}; {out} words of the last answer were emitted; give 0 to {out}"
            )
        if self.reply is None:
            self._segments.pop()
        self.reply = None
        self._segments.append(self.words_segment(words[:n_words]))
        self._unspoken = self.words_segment(words[n_words:]) if n_words < len(words) else None
        self._is_prefilled = False

    def open_reply(self) -> None:
        """Give the assistant the turn regardless of the model; `streaming_generate` then answers."""
        self.prefill()
        roles = self.format.role_ids
        self.reply = ReplyState(next_row=None if roles is None else Row(roles["assistant"], None))

    def reopen_reply(self) -> int:
        """Reopen the last answer, to which `streaming_generate` then adds; return its number of words.

        Raises:
            ValueError: there is no finished answer of the assistant.
        """
        words, count = self._last_answer()
        if self.reply is None:
            rows = row_list(self._segments, self.format)
            self.lm_state.advance_to(rows[: len(rows) - len(self.format.closings["assistant"])])
            text_ids = [token for word in words for token in word.ids]
            self.reply = ReplyState(words=list(words), text_ids=text_ids, emitted_words=count)
            self._segments.pop()
            self._is_prefilled, self.speak_probability = True, 1.0
        return count

    def finish_reply(self, status: Status) -> None:
        """Turn the open reply, if any, into a finished segment (`streaming_generate` calls this)."""
        self.status = status
        if self.reply is not None:
            self._segments.append(self.words_segment(self.reply.words))
            self.reply = self._unspoken = None
            self._is_prefilled = False

    def words_segment(self, words: list[Word]) -> TASTESegment:
        """Return an audio segment of the assistant with these words."""
        return TASTESegment.from_words("assistant", words, self.format.num_quantizers)

    def clone(self) -> "Conversation":
        """Return an independent conversation with the same history and LM state, on the same model."""
        other = object.__new__(type(self))
        other.__dict__ |= self.__dict__
        other._segments = list(self._segments)
        other.lm_state = self.lm_state.clone()
        other.reply = copy.deepcopy(self.reply)
        return other

    __copy__ = clone

    def reset(self) -> None:
        """Forget everything."""
        self._segments.clear()
        self.lm_state.reset()
        self.reply = self._unspoken = self.speak_probability = None
        self._is_prefilled = False
        self.status = "idle"

    def _last_answer(self) -> tuple[list[Word], int]:
        """Return the words of the last answer, and how many of them were emitted."""
        if self.reply is not None:
            return self.reply.words, self.reply.emitted_words
        last = self._segments[-1] if self._segments else None
        if last is None or last.role != "assistant" or last.modality != "audio":
            raise ValueError("the last segment is not an audio answer of the assistant; nothing can be cut")
        return last.words, len(last.words)

    def _find_stop_ids(self, eos_id: int | list[int] | None) -> frozenset[int]:
        """Return SEGMENT_END or, for a template, ids that start with its stop text."""
        if self.format.segment_end_id is not None:
            return frozenset([self.format.segment_end_id])
        stop = self.config.template.stop
        if not stop:
            raise CheckpointError("streaming.template.stop is empty; set it to the text that ends a reply")
        found = {i for i, text in enumerate(self.vocabulary.texts) if text.startswith(stop)}
        ends = eos_id if isinstance(eos_id, list) else [eos_id]
        return frozenset(found | {end for end in ends if end is not None})

    def _read_turn(self) -> float:
        roles = self.format.role_ids
        if roles is None:
            return 1.0
        logits = self.lm_state.logits[[roles["user"], roles["assistant"]]].float()
        return float(torch.softmax(logits, dim=0)[1])

    def _apply_window(self) -> None:
        """If the history is too long, drop the oldest turns down to the kept share."""
        sizes = [len(row_list([segment], self.format)) - 1 for segment in self._segments]
        if sum(sizes) <= self.config.max_history_tokens:
            return
        budget = int(self.config.max_history_tokens * self.config.kept_history)
        first = 1 if self._segments[0].role == "system" else 0
        total = sum(sizes)
        while len(self._segments) > first + 1 and (
            total > budget or self._segments[first].role == "assistant"
        ):
            del self._segments[first]
            total -= sizes.pop(first)
