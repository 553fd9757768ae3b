"""`Conversation`: the segments of a talk, the LM state that belongs to them, and the reply in progress."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import torch

from taste_speech.errors import CheckpointError
from taste_speech.spoken_lm.sampling import Vocabulary
from taste_speech.streaming.layout import PromptFormat, Row, row_list
from taste_speech.streaming.row_cache import RowCache
from taste_speech.streaming.segment import TASTESegment
from taste_speech.words import Word

if TYPE_CHECKING:
    from taste_speech.modeling_taste import TasteForCausalLM
    from taste_speech.processing_taste import TasteProcessor

Status = Literal["idle", "speaking", "finished", "max_length", "interrupted", "no_speech"]


@dataclass
class ReplyState:
    """A reply that is being generated; everything needed to go on with it."""

    words: list[Word] = field(default_factory=list)
    """Ready words: text and taste token are known."""
    partial_ids: list[int] = field(default_factory=list)
    """Text tokens of the word that is not ready yet."""
    text_ids: list[int] = field(default_factory=list)
    """All text tokens so far."""
    next_row: Row | None = None
    """Row of the newest token, which the LM has not seen yet."""
    closing: Literal["finished", "max_length"] | None = None
    """Why the text is complete, while the last word's taste token is still missing."""
    emitted_words: int = 0
    emitted_chunks: int = 0

    @property
    def pending(self) -> list[Word]:
        """Ready words that have not gone out."""
        return self.words[self.emitted_words :]


class Conversation:
    """A talk with one model. The model holds weights only, so any number of conversations can share it.

    Segments are appended turn by turn; what the LM computed for them is kept, so each turn costs only its own
    tokens. `streaming_generate(..., state=conversation)` adds the assistant's replies. Beyond
    `streaming.max_history_tokens` the oldest turns are dropped; a leading system segment stays.

    Raises:
        CheckpointError: the checkpoint's taste tokens do not lag by one word, which streaming needs.
    """

    def __init__(self, model: TasteForCausalLM, processor: TasteProcessor) -> None:
        config = model.config
        delay = config.spoken_lm_config.delay
        if delay != 1:
            raise CheckpointError(
                f"the checkpoint delays taste tokens by {delay} words; "
                "streaming needs a delay of 1 word, use inference_completion instead"
            )
        self.config = config.streaming
        self.format = PromptFormat.from_config(config, processor.llm_tokenizer)
        self.tokenizer = processor.llm_tokenizer
        self.vocabulary: Vocabulary = model.vocabulary(self.tokenizer)
        self.stop_ids = self._find_stop_ids(config.text_config.eos_token_id)
        """Text tokens that end a reply."""
        self.lm_state = RowCache(model.spoken_lm, model.audio_tower.quantizer)
        self.reply: ReplyState | None = None
        """The reply in progress; None before the first word and after the last."""
        self.status: Status = "idle"
        """How the last reply stands."""
        self.speak_probability: float | None = None
        """The model's probability that it is its turn, as of the last prefill; None before the first."""
        self._segments: list[TASTESegment] = []
        self._unspoken: TASTESegment | None = None
        self._is_prefilled = False

    @property
    def segments(self) -> tuple[TASTESegment, ...]:
        """The finished segments that the model remembers, oldest first."""
        return tuple(self._segments)

    @property
    def unspoken(self) -> TASTESegment | None:
        """The words of the last cut answer that were not heard; None when there are none."""
        return self._unspoken

    def append(self, segment: TASTESegment) -> None:
        """Add a segment to the history. Nothing is computed before `prefill` or a reply needs it.

        Raises:
            ValueError: the segment does not fit the checkpoint, or a reply is still open.
        """
        self.extend([segment])

    def extend(self, segments: Sequence[TASTESegment]) -> None:
        """Add segments in order as `append` does; where one does not fit, none is added."""
        if not segments:
            return
        if self.reply is not None:
            raise ValueError(
                "a reply is still open; go on with it (streaming_generate with input_segments=[]) or cut it "
                "with commit_heard(n_words) before appending"
            )
        for segment in segments:
            self.format.check(segment)
        self._segments += segments
        self._is_prefilled = False

    def pop(self) -> TASTESegment:
        """Take the last segment back (an open reply first); what the LM knows of earlier ones stays.

        For a person who goes on talking: pop, join, append; tokens in common are not computed again.

        Raises:
            ValueError: the history is empty.
        """
        self._is_prefilled = False
        if self.reply is not None:
            reply, self.reply = self.reply, None
            return self.words_segment(reply.words)
        if not self._segments:
            raise ValueError("the conversation has no segment to take back; append one first")
        return self._segments.pop()

    def prefill(self) -> float:
        """Let the LM read what is new; returns the probability that it is the assistant's turn.

        1.0 for a checkpoint without role tokens, which always answers.
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

        It becomes (or stays) a finished segment; what was not heard is in `unspoken`.

        Args:
            n_words: words of the last answer, from its start; 0 leaves an empty segment.

        Raises:
            ValueError: there is no answer of the assistant to cut, or it has fewer words.
        """
        words, out = self._last_answer()
        if not 0 <= n_words <= out:
            raise ValueError(
                f"n_words is {n_words}; {out} words of the last answer went out, give 0 to {out}"
            )
        if self.reply is None:
            self._segments.pop()
        self.reply = None
        self._segments.append(self.words_segment(words[:n_words]))
        self._unspoken = self.words_segment(words[n_words:]) if n_words < len(words) else None
        self._is_prefilled = False

    def open_reply(self) -> None:
        """Give the assistant its turn, whatever the model thinks; `streaming_generate` then answers."""
        self.prefill()
        roles = self.format.role_ids
        self.reply = ReplyState(next_row=None if roles is None else Row(roles["assistant"], None))

    def reopen_reply(self) -> int:
        """Let the last answer go on: `streaming_generate` adds to its words, whose number is returned.

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
        """Turn the open reply, if there is one, into a finished segment (`streaming_generate` calls this)."""
        self.status = status
        if self.reply is not None:
            self._segments.append(self.words_segment(self.reply.words))
            self.reply = self._unspoken = None
            self._is_prefilled = False

    def words_segment(self, words: list[Word]) -> TASTESegment:
        """Assistant's audio segment of these words."""
        return TASTESegment.from_words("assistant", words, self.format.num_quantizers)

    def clone(self) -> Conversation:
        """An independent conversation with the same history and LM state, on the same model."""
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
        """Words of the last answer, and how many of them went out."""
        if self.reply is not None:
            return self.reply.words, self.reply.emitted_words
        last = self._segments[-1] if self._segments else None
        if last is None or last.role != "assistant" or last.modality != "audio":
            raise ValueError(
                "the last segment is not an answer of the assistant in audio; nothing can be cut"
            )
        return last.words, len(last.words)

    def _find_stop_ids(self, eos_id: int | list[int] | None) -> frozenset[int]:
        """SEGMENT_END; for a template, the ids that begin its stop text, and the end of text."""
        if self.format.segment_end_id is not None:
            return frozenset([self.format.segment_end_id])
        stop = self.config.template.stop
        if not stop:
            raise CheckpointError("streaming.template.stop is empty; give the text that ends a reply")
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
        """Drop the oldest turns when the history is too long, more of them than needed."""
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
