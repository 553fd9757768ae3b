"""Words with taste tokens -> speech units, chunk after chunk, over a bounded window of words.

The unit decoder sees [sos, speaker, text and taste of the window, task, units of its first words]: the
window is the chunk's words and at most `max_prev_words` before them, whose units are forced.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from taste_speech.audio_tower.quantizer import NO_TASTE
from taste_speech.modeling_taste import TasteForCausalLM
from taste_speech.processing_taste import TasteProcessor
from taste_speech.streaming.word_ends import word_ends_from_attention


@dataclass(frozen=True)
class SpokenWord:
    """A word as the unit decoder takes it.

    Attributes:
        asr_ids: its ASR tokens.
        taste: its taste token.
        units: how many units it was given.
    """

    asr_ids: tuple[int, ...]
    taste: tuple[int, ...]
    units: int = 0


@dataclass(frozen=True)
class UnitStreamState:
    """The last words and their units; never changed in place."""

    words: tuple[SpokenWord, ...] = ()
    units: tuple[int, ...] = ()


@dataclass(frozen=True)
class ChunkUnits:
    """Units of a chunk, and the unit after the last one of each of its words."""

    ids: list[int]
    word_ends: list[int]


def read_words(processor: TasteProcessor, text_ids: Tensor, taste_ids: Tensor) -> list[SpokenWord]:
    """Words of (1, S) LLM ids with (1, S, L) taste ids.

    Raises:
        ValueError: a word's first token has no taste token, or another token has one.
        TextError: an id is special or outside the vocabulary.
    """
    if text_ids.shape[1] == 0:
        return []
    fields = processor.align_text_ids(text_ids)
    llm_words = fields["llm_word_ids"][0].tolist()
    words = llm_words[-1] + 1
    tastes: list[tuple[int, ...]] = []
    for token, (word, taste) in enumerate(zip(llm_words, taste_ids[0].tolist(), strict=True)):
        starts = word == len(tastes)
        if starts != (taste[0] != NO_TASTE):
            problem = "starts a word and has no taste token" if starts else "is inside a word and has one"
            raise ValueError(
                f"text token {token} {problem}; give codes on the first token of each word, -1 elsewhere"
            )
        if starts:
            tastes.append(tuple(taste))
    asr: list[list[int]] = [[] for _ in range(words)]
    for token, word in zip(
        fields["asr_token_ids"][0].tolist(), fields["asr_word_ids"][0].tolist(), strict=True
    ):
        asr[word].append(token)
    return [SpokenWord(tuple(ids), taste) for ids, taste in zip(asr, tastes, strict=True)]


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
        words: list[SpokenWord],
        state: UnitStreamState,
        generator: torch.Generator | None = None,
        greedy: bool = False,
    ) -> tuple[ChunkUnits, UnitStreamState]:
        """Units of the next words; `state` is not changed."""
        tokens, own_tokens = [*state.words, *words], sum(len(word.asr_ids) for word in words)
        if own_tokens == 0:
            return ChunkUnits([], [0] * len(words)), state
        forced = torch.tensor([state.units], dtype=torch.long, device=self.device)
        least, most = self._limits(own_tokens, bool(state.words))
        result = self.decoder.generate_with_alignment(
            self.speaker,
            torch.tensor([[i for word in tokens for i in word.asr_ids]], device=self.device),
            self._audio_embeds(tokens),
            forced_units=forced,
            generator=generator,
            greedy=greedy,
            min_units=least,
            max_units=most,
            said_tokens=sum(len(word.asr_ids) for word in state.words),
        )
        ids = result.ids[0].tolist()
        attention = result.attention[len(state.units) :, -own_tokens:].float().cpu().numpy()
        word_of_token = [index for index, word in enumerate(words) for _ in word.asr_ids]
        ends = word_ends_from_attention(attention, word_of_token, len(words))
        return ChunkUnits(ids, ends), self.remember(words, ids, ends, state)

    def remember(
        self, words: list[SpokenWord], ids: list[int], ends: list[int], state: UnitStreamState
    ) -> UnitStreamState:
        """The state after words that took these units: the last `max_prev_words` words."""
        starts = [0, *ends[:-1]]
        counted = [
            SpokenWord(word.asr_ids, word.taste, end - start)
            for word, start, end in zip(words, starts, ends, strict=True)
        ]
        kept = (*state.words, *counted)[-self.max_prev_words :] if self.max_prev_words else ()
        units = sum(word.units for word in kept)
        every = (*state.units, *ids)
        return UnitStreamState(kept, every[len(every) - units :])

    def recall(self, words: list[SpokenWord], ids: list[int]) -> UnitStreamState:
        """A state for words whose division of the units is not known: in proportion to their tokens."""
        total = max(1, sum(len(word.asr_ids) for word in words))
        ends, tokens = [], 0
        for word in words:
            tokens += len(word.asr_ids)
            ends.append(round(len(ids) * tokens / total))
        return self.remember(words, ids, ends, UnitStreamState())

    def _audio_embeds(self, words: list[SpokenWord]) -> Tensor:
        """(1, tokens, audio width): each word's vector at each of its tokens."""
        codes = torch.tensor([word.taste for word in words], device=self.device)
        vectors = self.quantizer.output_from_indices(codes)
        repeats = torch.tensor([len(word.asr_ids) for word in words], device=self.device)
        return vectors.repeat_interleave(repeats, dim=0)[None].to(self.speaker.dtype)

    def _limits(self, own_tokens: int, has_context: bool) -> tuple[int, int]:
        """Least and most units. The published limits count the prefix's own rows; a continuation has none."""
        least, most = self.decoder.length_limits(own_tokens + 3)
        if has_context:
            least, _ = self.decoder.length_limits(own_tokens)
        return least, most
