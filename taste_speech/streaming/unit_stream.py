"""Words with taste tokens -> speech units, chunk by chunk, over a bounded window of words.

The window holds the chunk's words and at most `max_prev_words` previous ones. A unit decoder sees [sos,
speaker, text and taste of the window, task, units of the previous words], which are forced; a phone decoder
sees text and taste of the window.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Protocol

import torch
from torch import Tensor

from taste_speech.audio_tower.quantizer import NO_TASTE, ResidualQuantizer
from taste_speech.modeling_taste import TasteForCausalLM
from taste_speech.processing_taste import TasteProcessor
from taste_speech.speech_decoder.phone_decoder import PhoneDecoder
from taste_speech.speech_decoder.unit_decoder import UnitDecoder
from taste_speech.streaming.word_ends import word_ends_from_attention
from taste_speech.words import Word, decode


@dataclass(frozen=True)
class UnitStreamState:
    """The last words (ASR tokens, positions among the units) and their units; never changed in place.

    `begun` and `ended` tell whether a reply has its first word, and the silence after its last one.
    """

    words: tuple[Word, ...] = ()
    units: tuple[int, ...] = ()
    begun: bool = False
    ended: bool = False


@dataclass(frozen=True)
class ChunkUnits:
    """Units of a chunk, and for each of its words the index after its last unit."""

    ids: list[int]
    word_ends: list[int]


def read_words(processor: TasteProcessor, text_ids: Tensor, taste_ids: Tensor) -> list[Word]:
    """Return the words of LLM token ids (1, S) with taste tokens (1, S, L).

    Raises:
        ValueError: the first token of a word has no taste token, or another token has one.
        TextError: an id is special or outside the vocabulary.
    """
    words, tastes = processor.llm_ids_to_words(text_ids), taste_ids[0].tolist()
    starts = {word.start for word in words}
    for token, taste in enumerate(tastes):
        if (token in starts) != (taste[0] != NO_TASTE):
            problem = "starts a word and has no" if token in starts else "is inside a word and has a"
            raise ValueError(
                f"text token {token} {problem} taste token; "
                "give codes on the first token of each word, -1 elsewhere"
            )
    return [replace(word, taste=tuple(tastes[word.start])) for word in words]


def asr_words(processor: TasteProcessor, words: Sequence[Word], before: Sequence[Word] = ()) -> list[Word]:
    """Return the words with their text and with ASR tokens, which the speech decoder reads.

    Args:
        words: with LLM tokens.
        before: words before these, as returned earlier.
    """
    texts = [word.text or decode(processor.llm_tokenizer, word.ids).strip() for word in words]
    tokens = processor.asr_tokens(texts, [word.text for word in before])
    ids: list[list[int]] = [[] for _ in words]
    for token, word in zip(tokens.token_ids, tokens.word_ids, strict=True):
        ids[word].append(token)
    return [Word(text, tuple(own), word.taste) for text, word, own in zip(texts, words, ids, strict=True)]


def audio_embeds(quantizer: ResidualQuantizer, words: Sequence[Word]) -> Tensor:
    """Return the vector of each word at each of its tokens: (1, tokens, audio width)."""
    device = quantizer.codebooks.device
    vectors = quantizer.output_from_indices(torch.tensor([word.taste for word in words], device=device))
    repeats = torch.tensor([len(word.ids) for word in words], device=device)
    return vectors.repeat_interleave(repeats, dim=0)[None]


class WordUnits(Protocol):
    """Generates the units of one reply."""

    def extend(
        self,
        words: Sequence[Word],
        state: UnitStreamState,
        generator: torch.Generator | None = None,
        greedy: bool = False,
        final: bool = False,
    ) -> tuple[ChunkUnits, UnitStreamState]:
        """Return the units of the next words and the next state.

        Args:
            words: with ASR tokens and taste tokens.
            state: after the words before.
            generator: source of random numbers; None uses torch's global one.
            greedy: whether to take the most probable units.
            final: whether the reply ends here.
        """

    def recall(self, words: Sequence[Word], ids: list[int]) -> UnitStreamState:
        """Return the state after words that took these units, as nearly as that can be known."""


def word_units(model: TasteForCausalLM, speaker_embeds: Tensor, max_prev_words: int) -> WordUnits:
    """Return what generates the units of one reply; the arguments are those of `UnitStream`."""
    if isinstance(model.speech_decoder, PhoneDecoder):
        return PhoneStream(model.speech_decoder, model.audio_tower.quantizer, max_prev_words)
    return UnitStream(model.speech_decoder, model.audio_tower.quantizer, speaker_embeds, max_prev_words)


def _last(words: Sequence[Word], count: int) -> tuple[Word, ...]:
    return tuple(words[max(0, len(words) - count) :])


class PhoneStream:
    """Times the phones of one reply.

    Args:
        max_prev_words: number of words before a chunk that the decoder still sees.
    """

    def __init__(self, decoder: PhoneDecoder, quantizer: ResidualQuantizer, max_prev_words: int) -> None:
        self.decoder, self.quantizer, self.max_prev_words = decoder, quantizer, max_prev_words

    @torch.no_grad()
    def extend(
        self,
        words: Sequence[Word],
        state: UnitStreamState,
        generator: torch.Generator | None = None,
        greedy: bool = False,
        final: bool = False,
    ) -> tuple[ChunkUnits, UnitStreamState]:
        """See `WordUnits`; nothing is drawn, and a reply ends with a short silence."""
        tokens = [*state.words, *words]
        phones = [phone for word in tokens for phone in word.ids]
        ids, ends = list[int](), list[int]()
        if words:
            said = self.decoder.say(
                torch.tensor(phones, device=self.quantizer.codebooks.device),
                audio_embeds(self.quantizer, tokens)[0],
                sum(len(word.ids) for word in state.words),
                begins=not state.begun,
            )
            ids = said.ids
            last = accumulate(len(word.ids) for word in words)
            ends = [said.ends[place - 1] for place in last]
        if final and (words or not state.ended):
            ids = [*ids, *self.decoder.rest(phones)]
        begun = state.begun or bool(words)
        return ChunkUnits(ids, ends), replace(self.recall(tokens, []), begun=begun, ended=final)

    def recall(self, words: Sequence[Word], ids: list[int]) -> UnitStreamState:
        """See `WordUnits`; the units are not needed."""
        return UnitStreamState(_last(words, self.max_prev_words), begun=True)


class UnitStream:
    """Generates the units of one reply in one voice.

    Args:
        speaker_embeds: (1, speaker width).
        max_prev_words: number of words before a chunk that the decoder still sees.
    """

    def __init__(
        self,
        decoder: UnitDecoder,
        quantizer: ResidualQuantizer,
        speaker_embeds: Tensor,
        max_prev_words: int,
    ) -> None:
        self.decoder, self.quantizer = decoder, quantizer
        weight = decoder.spk_embed_affine_layer.weight
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
        final: bool = False,
    ) -> tuple[ChunkUnits, UnitStreamState]:
        """See `WordUnits`."""
        tokens, own_tokens = [*state.words, *words], sum(len(word.ids) for word in words)
        if own_tokens == 0:
            return ChunkUnits([], [0] * len(words)), state
        forced = torch.tensor([state.units], dtype=torch.long, device=self.device)
        least, most = self._limits(own_tokens, bool(state.words))
        result = self.decoder.generate_with_alignment(
            self.speaker,
            torch.tensor([[i for word in tokens for i in word.ids]], device=self.device),
            audio_embeds(self.quantizer, tokens).to(self.speaker.dtype),
            forced_units=forced,
            generator=generator,
            greedy=greedy,
            min_units=least,
            max_units=most,
        )
        ids = result.ids[0].tolist()
        attention = result.attention[len(state.units) :, -own_tokens:].float().cpu().numpy()
        word_of_token = [index for index, word in enumerate(words) for _ in word.ids]
        ends = word_ends_from_attention(attention, word_of_token, len(words))
        return ChunkUnits(ids, ends), self.remember(words, ids, ends, state)

    def remember(
        self, words: Sequence[Word], ids: list[int], ends: list[int], state: UnitStreamState
    ) -> UnitStreamState:
        """Return the state after words that took these units, reduced to the last `max_prev_words` words."""
        starts = [0, *ends[:-1]]
        counted = [
            replace(word, start=start, end=end) for word, start, end in zip(words, starts, ends, strict=True)
        ]
        kept = _last((*state.words, *counted), self.max_prev_words)
        units = sum(word.end - word.start for word in kept)
        every = (*state.units, *ids)
        return UnitStreamState(kept, every[len(every) - units :])

    def recall(self, words: Sequence[Word], ids: list[int]) -> UnitStreamState:
        """Return the state after words that took these units, divided in proportion to the words' tokens."""
        tokens = list(accumulate(len(word.ids) for word in words))
        ends = [round(len(ids) * count / max(1, tokens[-1])) for count in tokens]
        return self.remember(words, ids, ends, UnitStreamState())

    def _limits(self, own_tokens: int, has_context: bool) -> tuple[int, int]:
        """Return the minimum and maximum number of units.

        The published limits count the three structural rows of the prefix, which a continuation does not add.
        """
        least, _ = self.decoder.length_limits(own_tokens + (0 if has_context else 3))
        _, most = self.decoder.length_limits(own_tokens + 3)
        return least, most
