"""`streaming_generate`: a reply of the assistant, word by word."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Literal, TypedDict

import torch

from taste_speech.modeling_taste import TasteForCausalLM
from taste_speech.processing_taste import TasteProcessor
from taste_speech.spoken_lm.sampling import TextSampling, sample_text
from taste_speech.streaming.conversation import Conversation, ReplyState
from taste_speech.streaming.emit_timing import EmitContext, EmitTiming, growing_chunks
from taste_speech.streaming.layout import Row
from taste_speech.streaming.segment import TASTESegment
from taste_speech.words import Word, decode

_MOST_REPEATS = 3
"""A reply ends after it has said the same sentence or run of words this many times, because a model that
repeats itself does not stop."""
_LONGEST_RUN = 12
"""Maximum number of words in a run."""
_LEAST_REPEATED = 6
"""Minimum number of repeated words in total: "no, no, no" is fine."""
CompletionReason = Literal["speaking", "finished", "max_length", "interrupted", "no_speech"]


class ReplyItem(TypedDict):
    """Item yielded by `streaming_generate`; see there."""

    is_complete: bool
    completion_reason: CompletionReason
    segment: TASTESegment


def streaming_generate(
    model: TasteForCausalLM,
    processor: TasteProcessor,
    input_segments: Sequence[TASTESegment],
    text_top_p: float = 0.3,
    taste_top_p: float = 0.0,
    text_temperature: float = 0.5,
    repetition_penalty: float = 1.1,
    max_length: int = 512,
    eos_id: int | None = None,
    emit_timing_func: EmitTiming | None = None,
    *,
    state: Conversation | None = None,
    generator: torch.Generator | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Iterator[ReplyItem]:
    """Generate the assistant's answer in a conversation, word by word.

    The call itself reads the prompt, so that `state.speak_probability` is known before the first item. The
    predicted role token decides whether the assistant speaks. Words that repeat three times end the reply.

    Args:
        model, processor: of one checkpoint.
        input_segments: the conversation so far; with `state`, segments to append to it (often none).
        text_top_p: nucleus of the text distribution; 0 is greedy.
        taste_top_p: has no effect, because the taste head puts all mass on one code, which any nucleus keeps.
        text_temperature: temperature of the text distribution.
        repetition_penalty: above 1, tokens of this reply become less likely (`streaming.repetition_scope`).
        max_length: maximum number of new text tokens.
        eos_id: additional text token that ends the reply. The checkpoint's own end always does: SEGMENT_END,
            or the line break that ends a template's turn. No other special token can be drawn.
        emit_timing_func: called after each ready word; decides whether to emit the pending words. None: as
            `growing_chunks`.
        state: conversation to continue. An interrupted reply continues where it stopped (with empty
            `input_segments`), with the tokens that it would have had.
        generator: random generator for reproducible draws.
        should_stop: called before each step; True ends the reply with reason "interrupted".

    Yields:
        Dicts with `is_complete`, `completion_reason` ("speaking"; the last item has "finished", "max_length",
        "interrupted" or "no_speech") and `segment`: the new whole words, each with its taste token.

    Raises:
        ValueError: an argument is out of range, or segments do not fit the checkpoint; `state` is unchanged.
    """
    sampling = TextSampling(text_top_p, text_temperature, repetition_penalty)
    if not 0 <= taste_top_p <= 1:
        raise ValueError(f"taste_top_p is {taste_top_p}; give a number from 0 (greedy) to 1")
    if max_length < 1:
        raise ValueError(f"max_length is {max_length}; give 1 or more text tokens")
    conversation = Conversation(model, processor) if state is None else state
    _check_eos(eos_id, conversation)
    for segment in input_segments:
        if not isinstance(segment, TASTESegment):
            raise ValueError(f"input_segments holds a {type(segment).__name__}; give TASTESegment objects")
    conversation.extend(input_segments)
    conversation.prefill()
    emit = emit_timing_func or growing_chunks()
    reply = _Replier(conversation, sampling, max_length, emit, eos_id, generator)
    return _items(reply, should_stop or (lambda: False))


def _items(reply: "_Replier", should_stop: Callable[[], bool]) -> Iterator[ReplyItem]:
    """Yield the items of a reply. The conversation is up to date whenever an item is yielded."""
    conversation = reply.conversation
    if not reply.begin():
        conversation.finish_reply("no_speech")
        yield _item(conversation, [], "no_speech")
        return
    conversation.status = "speaking"
    try:
        while not should_stop():
            ended = reply.step()
            if ended is not None:
                words = reply.take_pending()
                conversation.finish_reply(ended)
                yield _item(conversation, words, ended)
                return
            if reply.is_due:
                yield _item(conversation, reply.take_pending(), "speaking")
        conversation.status = "interrupted"
        yield _item(conversation, reply.take_pending(), "interrupted")
    finally:
        if conversation.reply is not None:  # the caller closed the iterator
            conversation.status = "interrupted"


def _item(conversation: Conversation, words: list[Word], reason: CompletionReason) -> ReplyItem:
    return {
        "is_complete": reason != "speaking",
        "completion_reason": reason,
        "segment": conversation.words_segment(words),
    }


class _Replier:
    """Generates the open reply of a conversation, one LM row per step. The conversation holds all state."""

    def __init__(
        self,
        conversation: Conversation,
        sampling: TextSampling,
        max_length: int,
        emit: EmitTiming,
        eos_id: int | None,
        generator: torch.Generator | None,
    ) -> None:
        self.conversation = conversation
        self.is_due = False
        """Whether the pending words are to be emitted now."""
        self._sampling = sampling
        self._max_length = max_length
        self._emit = emit
        self._generator = generator
        self._stop_ids = conversation.stop_ids | ({eos_id} if eos_id is not None else set())
        device = conversation.lm_state.logits.device
        self._banned = conversation.vocabulary.banned_but(*self._stop_ids).to(device)
        scope = conversation.config.repetition_scope
        self._prompt_ids = {row.text_id for row in conversation.lm_state.rows} if scope != "reply" else set()

    def begin(self) -> bool:
        """Open a reply or continue the open one; return False if it is not the assistant's turn."""
        conversation = self.conversation
        if conversation.reply is not None:
            return True
        if conversation.prefill() <= 0.5:
            return False
        conversation.open_reply()
        return True

    def step(self) -> Literal["finished", "max_length"] | None:
        """Run one row and draw one text token; return the reason if the reply ended."""
        reply = self._reply
        self.is_due = False
        if reply.next_row is not None:
            self.conversation.lm_state.append(reply.next_row)
            reply.next_row = None
        if reply.closing is not None:
            self._complete_word()
            return reply.closing
        token = self._draw()
        if token in self._stop_ids:
            self._complete_word()
            return "finished"
        words_begun = len(reply.words) + bool(reply.partial_ids)
        if self.conversation.vocabulary.starts[token] and reply.partial_ids:
            self._complete_word()
            if self._stop_ids and self._repeats_itself():  # without stop ids, only its length ends a reply
                return "finished"
            self.is_due = self._emit(self._context())
        reply.partial_ids.append(token)
        reply.text_ids.append(token)
        reply.next_row = Row(token, reply.words[-1].taste if reply.words else None)
        reply.closing = self._closing(token, words_begun)
        return None

    def take_pending(self) -> list[Word]:
        """Return the pending words and count them as emitted."""
        reply = self._reply
        words = reply.pending
        reply.emitted_words += len(words)
        reply.emitted_chunks += 1
        return words

    @property
    def _reply(self) -> ReplyState:
        if self.conversation.reply is None:
            raise RuntimeError("the reply was closed while it was being generated; start a new one")
        return self.conversation.reply

    def _draw(self) -> int:
        logits = self.conversation.lm_state.logits
        seen = sorted(self._prompt_ids.union(self._reply.text_ids))
        return sample_text(
            logits,
            self._banned,
            torch.tensor(seen, dtype=torch.long, device=logits.device),
            self._sampling,
            self._generator,
        )

    def _complete_word(self) -> None:
        """Complete the word that ends with the newest row, which yields its taste token."""
        reply = self._reply
        if reply.partial_ids:
            taste = self.conversation.lm_state.read_taste()
            ids = tuple(reply.partial_ids)
            reply.words.append(Word(decode(self.conversation.tokenizer, ids).strip(), ids, taste))
            reply.partial_ids = []

    def _repeats_itself(self) -> bool:
        """Return whether the newest word completes a sentence or run of words that was said too often."""
        words = [word.ids for word in self._reply.words]
        for length in range(1, _LONGEST_RUN + 1):
            repeats = max(_MOST_REPEATS, -(-_LEAST_REPEATED // length))
            if words[-length:] * repeats == words[-length * repeats :]:
                return True
        ends = self.conversation.vocabulary.ends_sentence
        if not ends(words[-1]):
            return False
        bounds = [0, *(index + 1 for index, ids in enumerate(words) if ends(ids))]
        sentences = [tuple(words[start:end]) for start, end in pairwise(bounds)]
        return sentences.count(sentences[-1]) >= _MOST_REPEATS

    def _closing(self, token: int, words_begun: int) -> Literal["finished", "max_length"] | None:
        """Return why the text is complete with `token`: its length or, without role tokens, its end."""
        conversation = self.conversation
        if conversation.format.role_ids is None:
            extra = conversation.config.extra_words
            ends_sentence = conversation.vocabulary.ends[token]
            if (words_begun >= extra and ends_sentence) or words_begun >= 3 * extra:
                return "finished"
        return "max_length" if len(self._reply.text_ids) >= self._max_length else None

    def _context(self) -> EmitContext:
        conversation, reply = self.conversation, self._reply
        return EmitContext(
            pending_words=tuple(word.text for word in reply.pending),
            words_emitted=reply.emitted_words,
            chunks_emitted=reply.emitted_chunks,
            probability_of_speaking=conversation.speak_probability or 0.0,
        )


def _check_eos(eos_id: int | None, conversation: Conversation) -> None:
    size = conversation.format.vocab_size
    if eos_id is not None and not 0 <= eos_id < size:
        raise ValueError(f"eos_id is {eos_id}; give an id below {size}, or None for the checkpoint's own")
