"""The naive forms of the same computation, for ratios within one run.

What they do that the fast paths do not: the spoken LM reads the whole history again at every step, the tables
of the sampler are built at each reply, classifier-free guidance is two calls, weight norm is computed at each
call, and every chunk says everything again from the start of the reply. They keep the units' cache.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from taste_agent.bench.material import REPLY_WORDS, TALK, FixedRateDetokenizer
from taste_agent.bench.subject import Subject
from taste_agent.bench.turn import Turn
from taste_speech.acceleration import decelerate
from taste_speech.spoken_lm.vocabulary import build_vocabulary
from taste_speech.streaming import SegmentWord, TASTESegment
from taste_speech.streaming.emit_timing import EmitTiming
from taste_speech.streaming.layout import Row
from taste_speech.streaming.row_cache import RowCache
from taste_speech.vocoder.weight_norm import WeightNormConv


class UncachedRows(RowCache):
    """The LM's memory without keys and values: each call runs every row."""

    @torch.inference_mode()
    def _forward(self, rows: Sequence[Row]) -> None:
        every = [*self._rows, *rows]
        self._rows = []  # so that the first row is taken for the first of a conversation
        hidden, logits = self._lm(self._embed(every), None, last_only=True)
        self._hidden, self._logits = hidden, logits[0, -1]
        self._rows = every
        self.forwarded_rows += len(every)


class OneByOne(nn.Module):
    """An estimator that takes the halves of the guidance one after the other."""

    def __init__(self, estimator: nn.Module) -> None:
        super().__init__()
        self.estimator = estimator

    def forward(self, *inputs: Tensor | None) -> Tensor:
        """As `Estimator.forward`, for each item of the batch."""
        first = inputs[0]
        if first is None:
            raise ValueError("the estimator's first input is missing; give the state")
        items = [[None if x is None else x[i : i + 1] for x in inputs] for i in range(len(first))]
        return torch.cat([self.estimator(*item) for item in items])


@contextmanager
def naive_forms(subject: Subject) -> Iterator[None]:
    """Within it, the model runs without its fast paths."""
    model, voice = subject.model, subject.voice
    flow, estimator = voice.flow.decoder, voice.flow.decoder.estimator
    lm, decoder = model.spoken_lm, model.speech_decoder
    fast = (lm.acceleration, lm.row_runner, decoder.runner, flow.runner)
    decelerate(model, voice)
    flow.estimator = OneByOne(estimator)  # type: ignore[assignment]
    for part in voice.hift.modules():
        if isinstance(part, WeightNormConv):
            part.folded = None
    try:
        yield
    finally:
        flow.estimator = estimator
        voice.fold_weight_norm()
        lm.acceleration, lm.row_runner, decoder.runner, flow.runner = fast


class NaiveTurn(Turn):
    """The measured turn without caches, saying everything again in each chunk."""

    def __init__(self, subject: Subject, emit: EmitTiming | None = None, number: int = len(TALK)) -> None:
        super().__init__(subject, emit, number)
        model = subject.model
        self.conversation.lm_state = UncachedRows(model.spoken_lm, model.audio_tower.quantizer)
        self._said: list[SegmentWord] = []
        self._played = 0

    def start_reply(self) -> None:
        """Forget what was said."""
        self._said, self._played = [], 0
        # A prompt that is not known yet, so that the prefill reads all of it.
        self.conversation.lm_state.reset()

    def prepare(self) -> None:
        """Build the sampler's tables, as for every reply."""
        subject = self.subject
        size = subject.model.config.text_config.vocab_size
        build_vocabulary(subject.processor.llm_tokenizer, size, subject.model.config.vocabulary)

    def speak(self, words: list[SegmentWord], final: bool) -> int:
        """Say everything so far; returns how many samples are new."""
        self._said += words
        detokenizer = FixedRateDetokenizer(self.subject, max_prev_words=REPLY_WORDS)
        levels = self.subject.model.num_quantizers
        segment = TASTESegment.from_words("assistant", self._said, levels)
        samples = detokenizer.feed(segment.text_ids, segment.taste_ids, final).samples
        new, self._played = len(samples) - self._played, len(samples)
        return new
