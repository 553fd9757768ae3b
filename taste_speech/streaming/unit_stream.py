"""Words with taste tokens -> speech units, chunk after chunk, over a bounded window of words.

The unit decoder sees [sos, speaker, text and taste of the window, task, units of its first words]: the
window is the chunk's words and at most `max_prev_words` before them, whose units are forced.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from taste_speech.audio_tower.quantizer import NO_TASTE
from taste_speech.modeling_taste import TasteForCausalLM
from taste_speech.processing_taste import TasteProcessor
from taste_speech.streaming.word_ends import word_ends_from_attention
from taste_speech.words import Word, decode


@dataclass(frozen=True)
class UnitStreamState:
    """The last words, with their ASR tokens and places among the units, and their units; never changed."""

    words: tuple[Word, ...] = ()
    units: tuple[int, ...] = ()


@dataclass(frozen=True)
class ChunkUnits:
    """Units of a chunk, and the unit after the last one of each of its words."""

    ids: list[int]
    word_ends: list[int]


def read_words(processor: TasteProcessor, text_ids: Tensor, taste_ids: Tensor) -> list[Word]:
    """Words of (1, S) LLM ids with (1, S, L) taste ids.

    Raises:
        ValueError: a word's first token has no taste token, or another token has one.
        TextError: an id is special or outside the vocabulary.
    """
    words, tastes = processor.llm_ids_to_words(text_ids), taste_ids[0].tolist()
    starts = {word.start for word in words}
    for token, taste in enumerate(tastes):
        if (token in starts) != (taste[0] != NO_TASTE):
            problem = (
                "starts a word and has no taste token" if token in starts else "is inside a word and has one"
            )
            raise ValueError(
                f"text token {token} {problem}; give codes on the first token of each word, -1 elsewhere"
            )
    return [replace(word, taste=tuple(tastes[word.start])) for word in words]


def asr_words(processor: TasteProcessor, words: Sequence[Word]) -> list[Word]:
    """The words as the unit decoder takes them: with ASR tokens, and their text."""
    texts = [word.text or decode(processor.llm_tokenizer, word.ids).strip() for word in words]
    tokens = processor.asr_tokens(texts)
    ids: list[list[int]] = [[] for _ in words]
    for token, word in zip(tokens.token_ids, tokens.word_ids, strict=True):
        ids[word].append(token)
    return [Word(text, tuple(own), word.taste) for text, word, own in zip(texts, words, ids, strict=True)]


class UnitStream:
    """Unit decoder and voice of one reply.

    Args:
        model: `TasteForCausalLM`; its `speech_decoder` and quantizer are used.
        speaker_embeds: (1, speaker width).
        max_prev_words: words before a chunk that the decoder still sees.
    """

    def __init__(self, model: TasteForCausalLM, speaker_embeds: Tensor, max_prev_words: int) -> None:
        self.decoder, self.quantizer = model.speech_decoder, model.audio_tower.quantizer
        weight = self.decoder.spk_embed_affine_layer.weight
        self.device = weight.device
        self.speaker = speaker_embeds.to(weight)
        self.max_prev_words = max_prev_words

    @torch.no_grad()
    def extend(
        self,
        words: Sequence[Word],
        state: UnitStreamState,
        generator: torch.Generator | None = None,
        greedy: bool = False,
    ) -> tuple[ChunkUnits, UnitStreamState]:
        """Units of the next words; `state` is not changed."""
        tokens, own_tokens = [*state.words, *words], sum(len(word.ids) for word in words)
        if own_tokens == 0:
            return ChunkUnits([], [0] * len(words)), state
        forced = torch.tensor([state.units], dtype=torch.long, device=self.device)
        least, most = self._limits(own_tokens, bool(state.words))
        result = self.decoder.generate_with_alignment(
            self.speaker,
            torch.tensor([[i for word in tokens for i in word.ids]], device=self.device),
            self._audio_embeds(tokens),
            forced_units=forced,
            generator=generator,
            greedy=greedy,
            min_units=least,
            max_units=most,
            said_tokens=sum(len(word.ids) for word in state.words),
        )
        ids = result.ids[0].tolist()
        attention = result.attention[len(state.units) :, -own_tokens:].float().cpu().numpy()
        word_of_token = [index for index, word in enumerate(words) for _ in word.ids]
        ends = word_ends_from_attention(attention, word_of_token, len(words))
        return ChunkUnits(ids, ends), self.remember(words, ids, ends, state)

    def remember(
        self, words: Sequence[Word], ids: list[int], ends: list[int], state: UnitStreamState
    ) -> UnitStreamState:
        """The state after words that took these units: the last `max_prev_words` words."""
        starts = [0, *ends[:-1]]
        counted = [
            replace(word, start=start, end=end) for word, start, end in zip(words, starts, ends, strict=True)
        ]
        kept = (*state.words, *counted)[-self.max_prev_words :] if self.max_prev_words else ()
        units = sum(word.end - word.start for word in kept)
        every = (*state.units, *ids)
        return UnitStreamState(kept, every[len(every) - units :])

    def recall(self, words: Sequence[Word], ids: list[int]) -> UnitStreamState:
        """A state for words whose division of the units is not known: in proportion to their tokens."""
        total = max(1, sum(len(word.ids) for word in words))
        ends, tokens = [], 0
        for word in words:
            tokens += len(word.ids)
            ends.append(round(len(ids) * tokens / total))
        return self.remember(words, ids, ends, UnitStreamState())

    def _audio_embeds(self, words: Sequence[Word]) -> Tensor:
        """(1, tokens, audio width): each word's vector at each of its tokens."""
        codes = torch.tensor([word.taste for word in words], device=self.device)
        vectors = self.quantizer.output_from_indices(codes)
        repeats = torch.tensor([len(word.ids) for word in words], device=self.device)
        return vectors.repeat_interleave(repeats, dim=0)[None].to(self.speaker.dtype)

    def _limits(self, own_tokens: int, has_context: bool) -> tuple[int, int]:
        """Least and most units. The published limits count the prefix's own rows; a continuation has none."""
        least, most = self.decoder.length_limits(own_tokens + 3)
        if has_context:
            least, _ = self.decoder.length_limits(own_tokens)
        return least, most
