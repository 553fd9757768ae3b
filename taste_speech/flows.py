"""Batch mode of `TasteForCausalLM`: extraction, completion, reconstruction and scoring of utterances."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from taste_speech.audio_tower.encoder import EncodedAudio
from taste_speech.audio_tower.quantizer import NO_TASTE
from taste_speech.audio_tower.tower import AudioTower
from taste_speech.configuration_taste import TasteConfig
from taste_speech.errors import TextError
from taste_speech.speech_decoder.phone_decoder import PhoneDecoder
from taste_speech.speech_decoder.unit_decoder import UnitDecoder
from taste_speech.spoken_lm.generation import (
    Completion,
    WordDelay,
    arrange,
    arrange_rows,
    complete,
    make_prompt,
    word_start_codes,
)
from taste_speech.spoken_lm.language_model import SpokenLM
from taste_speech.spoken_lm.sampling import TextSampling, Vocabulary, build_vocabulary
from taste_speech.spoken_lm.scoring import IGNORED
from taste_speech.words import tokenize_words

_VQ_INPUTS = (
    "asr_token_ids",
    "asr_token_lengths",
    "asr_word_ids",
    "llm_token_ids",
    "llm_token_lengths",
    "llm_word_ids",
    "audio_features",
    "audio_feature_lengths",
)


class SpeechFlows(PreTrainedModel):
    """The parts of the model, and its batch mode."""

    config: TasteConfig
    audio_tower: AudioTower
    spoken_lm: SpokenLM
    speech_decoder: UnitDecoder | PhoneDecoder

    def __init__(self, config: TasteConfig) -> None:
        super().__init__(config)
        self._vocabularies: dict[Any, Vocabulary] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the vocabularies and their tokenizers, which are quick to rebuild."""
        return self.__dict__ | {"_vocabularies": {}}

    @property
    def num_quantizers(self) -> int:
        """Number of levels of a taste token."""
        return self.audio_tower.quantizer.num_quantizers

    def vocabulary(self, llm_tokenizer: Any) -> Vocabulary:
        """Return the properties of a tokenizer's ids, which are collected once per tokenizer."""
        if llm_tokenizer not in self._vocabularies:
            text, known = self.config.text_config, self.config.vocabulary
            self._vocabularies[llm_tokenizer] = build_vocabulary(llm_tokenizer, text.vocab_size, known)
        return self._vocabularies[llm_tokenizer]

    @torch.inference_mode()
    def extract_vq(
        self,
        asr_token_ids: Tensor,
        asr_token_lengths: Tensor,
        asr_word_ids: Tensor,
        llm_token_ids: Tensor,
        llm_token_lengths: Tensor,
        llm_word_ids: Tensor,
        audio_features: Tensor,
        audio_feature_lengths: Tensor,
        **_: Any,
    ) -> tuple[Tensor, Tensor]:
        """Extract the taste tokens of an utterance; the arguments are the processor's output.

        Returns:
            asr_indices (B, N, L), the codes of every ASR token, and llm_indices (B, T, L), the codes at the
            first LLM token of each word and -1 elsewhere.
        """
        return self.extract_vq_of_encoded(
            self.audio_tower.encode(audio_features, audio_feature_lengths),
            asr_token_ids,
            asr_token_lengths,
            asr_word_ids,
            llm_token_ids,
            llm_token_lengths,
            llm_word_ids,
        )

    @torch.inference_mode()
    def extract_vq_of_encoded(
        self,
        encoded: EncodedAudio,
        asr_token_ids: Tensor,
        asr_token_lengths: Tensor,
        asr_word_ids: Tensor,
        llm_token_ids: Tensor,
        llm_token_lengths: Tensor,
        llm_word_ids: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Do the same as `extract_vq` for audio that is already encoded."""
        tower = self.audio_tower
        asr_indices = tower.tokenize(encoded, asr_token_ids, asr_token_lengths, asr_word_ids).indices
        device = asr_indices.device
        llm_indices = word_start_codes(
            asr_indices,
            *(x.to(device) for x in (asr_word_ids, asr_token_lengths, llm_word_ids, llm_token_lengths)),
        )
        return asr_indices, llm_indices

    @torch.inference_mode()
    def inference_completion(
        self,
        conditional_mode: str = "audio",
        *,
        llm_tokenizer: Any,
        asr_tokenizer: Any,
        speaker_embeds: Tensor | None = None,
        extra_words: int = 32,
        text_top_p: float = 0.0,
        taste_top_p: float = 0.0,
        text_temperature: float = 1.0,
        repetition_penalty: float = 1.0,
        out_generated_part_only: bool = False,
        output_text_only: bool = False,
        instruct_prefix_ids: Sequence[int] = (),
        instruct_suffix_ids: Sequence[int] = (),
        stop_id: int | None = None,
        generator: torch.Generator | None = None,
        **inputs: Any,
    ) -> dict[str, Any]:
        """Continue an utterance in text and speech units.

        Args:
            conditional_mode: "audio" continues the utterance, "text" its words, "zero" starts from nothing,
                "instruct" puts `instruct_*_ids` around the utterance and answers until the LLM id `stop_id`.
            llm_tokenizer, asr_tokenizer: the processor's two tokenizers.
            speaker_embeds: (1, speaker width), the voice; not needed with `output_text_only`.
            extra_words: number of words after which the next sentence end closes the completion.
            text_top_p, text_temperature, repetition_penalty: settings of text sampling; top-p 0 is greedy.
            taste_top_p: accepted but without effect: the model's head puts all probability on one code.
            out_generated_part_only: whether to leave the prompt out of the speech units.
            inputs: the rest of the processor's output.

        Returns:
            generated_text; unless `output_text_only` also speech_token_ids (1, S), speech_token_lengths (1,).

        Raises:
            ValueError: inputs are missing or have the wrong shape.
        """
        voice = None if output_text_only else _check_voice(self, speaker_embeds)
        text_ids, asr_codes, llm_codes = _read_prompt(self, conditional_mode, inputs)
        lm, quantizer, delay = self.spoken_lm, self.audio_tower.quantizer, self.config.spoken_lm_config.delay
        around, has_prefix = (instruct_prefix_ids, instruct_suffix_ids), conditional_mode == "audio"
        completion = complete(
            lm,
            quantizer,
            make_prompt(lm, quantizer, conditional_mode, delay, text_ids, llm_codes, *around),
            self.vocabulary(llm_tokenizer),
            WordDelay(extra_words, delay, has_prefix, stop_id),
            TextSampling(text_top_p, text_temperature, repetition_penalty),
            generator=generator,
        )
        text = {"generated_text": llm_tokenizer.decode(completion.text_ids).strip()}
        if voice is None:
            return text
        asr_ids, word_ids = _spell(_words(completion, llm_tokenizer), asr_tokenizer)
        codes = torch.tensor(completion.word_codes, dtype=torch.long).reshape(-1, self.num_quantizers)
        if has_prefix and not out_generated_part_only and asr_codes is not None:
            asr_ids, word_ids, codes = _after_prompt(inputs, asr_codes, asr_ids, word_ids, codes)
        return _speak(self, asr_ids, word_ids, codes, voice, generator) | text

    @torch.inference_mode()
    def inference_reconstruction(
        self,
        mode: str = "SpokenLLM",
        *,
        speaker_embeds: Tensor,
        generator: torch.Generator | None = None,
        **inputs: Any,
    ) -> dict[str, Any]:
        """Reconstruct the speech units of an utterance from its words and taste tokens.

        Args:
            mode: "SpeechAutoEncoder" uses the taste tokens that the audio tower extracts; "SpokenLLM"
                (default, as published) those that the language model predicts in one teacher-forced pass.
            speaker_embeds: (1, speaker width), the voice.
            generator: source of random numbers; None uses torch's global one.
            inputs: the rest of the processor's output.

        Returns:
            speech_token_ids (1, S) and speech_token_lengths (1,).

        Raises:
            ValueError: the mode is unknown, or inputs are missing or have the wrong shape.
        """
        if mode not in ("SpeechAutoEncoder", "SpokenLLM"):
            raise ValueError(f"unknown mode {mode!r}; choose SpokenLLM or SpeechAutoEncoder")
        _check_voice(self, speaker_embeds)
        text_ids, asr_codes, llm_codes = _read_utterance(self, inputs)
        word_ids = inputs["asr_word_ids"][0].tolist()
        codes = _word_codes(asr_codes, word_ids)
        if mode == "SpokenLLM":
            rows, taste_rows = _teacher_rows(self, text_ids, llm_codes)
            taste = self.spoken_lm.read_taste(self.spoken_lm(rows)[0])
            codes = self.audio_tower.quantizer.indices_from_code(taste)[0, taste_rows]
        return _speak(self, inputs["asr_token_ids"][0].tolist(), word_ids, codes, speaker_embeds, generator)

    @torch.inference_mode()
    def scoring(self, **inputs: Any) -> Tensor:
        """Return the loss () of an utterance: text cross-entropy and taste loss, weighted as in training.

        Args:
            inputs: the processor's output.
        """
        text_ids, _, llm_codes = _read_utterance(self, inputs)
        rows, taste_rows = _teacher_rows(self, text_ids, llm_codes)
        labels = torch.full(rows.shape[:2], IGNORED, device=rows.device)
        labels[:, 1 : 1 + text_ids.shape[1]] = text_ids
        taste_labels = torch.full((*rows.shape[:2], llm_codes.shape[2]), NO_TASTE, device=rows.device)
        # The output of a row is compared with the label of the next one.
        taste_labels[0, [row + 1 for row in taste_rows]] = llm_codes[0][llm_codes[0, :, 0] != NO_TASTE]
        loss = self(inputs_embeds=rows, labels=labels, taste_labels=taste_labels, sample=False).loss
        assert loss is not None
        return loss


def _check_voice(model: SpeechFlows, speaker_embeds: Tensor | None) -> Tensor:
    """Reject a voice that the speech decoder cannot use before anything is computed."""
    if speaker_embeds is None:
        raise ValueError(
            "speaker_embeds are missing; pass the processor's output made with a reference voice"
        )
    width = model.config.speech_decoder_config.spk_embed_dim
    if tuple(speaker_embeds.shape) != (1, width):
        raise ValueError(
            f"speaker_embeds has shape {tuple(speaker_embeds.shape)}; give one voice (1, {width})"
        )
    return speaker_embeds


def _read_text(model: SpeechFlows, inputs: dict[str, Any]) -> Tensor | None:
    """Return the LLM ids (1, T) on the model's device."""
    ids = inputs.get("llm_token_ids")
    if ids is None:
        return None
    if ids.shape[0] != 1:
        raise ValueError(f"the batch has {ids.shape[0]} items; give one utterance at a time")
    return ids.to(model.device).long()


def _read_utterance(model: SpeechFlows, inputs: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
    """Return LLM ids (1, T), codes of the ASR tokens (1, N, L) and codes of the LLM tokens (1, T, L)."""
    text_ids = _read_text(model, inputs)
    missing = [name for name in _VQ_INPUTS if inputs.get(name) is None]
    if text_ids is None or missing:
        raise ValueError(f"{', '.join(missing)} missing; pass the processor's whole output (**inputs)")
    return text_ids, *model.extract_vq(**{name: inputs[name] for name in _VQ_INPUTS})


def _read_prompt(
    model: SpeechFlows, mode: str, inputs: dict[str, Any]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Return those results of `_read_utterance` that a mode of completion needs."""
    if mode in ("audio", "instruct"):
        return _read_utterance(model, inputs)
    return None if mode == "zero" else _read_text(model, inputs), None, None


def _teacher_rows(model: SpeechFlows, text_ids: Tensor, codes: Tensor) -> tuple[Tensor, list[int]]:
    """Return all input rows (1, R, hidden) of an utterance, and the row that yields each word's codes."""
    delay = model.config.spoken_lm_config.delay
    rows, _ = arrange_rows(model.spoken_lm, model.audio_tower.quantizer, text_ids, codes, delay)
    return rows, arrange((codes[0, :, 0] != NO_TASTE).tolist(), delay).taste_rows


def _words(completion: Completion, tokenizer: Any) -> list[str]:
    """Return the text of each generated word, without surrounding spaces."""
    words: dict[int, list[int]] = {}
    for token, word in zip(completion.text_ids, completion.word_ids, strict=True):
        words.setdefault(word, []).append(token)
    return [tokenizer.decode(ids).strip() for ids in words.values()]


def _spell(words: list[str], tokenizer: Any) -> tuple[list[int], list[int]]:
    """Return the ASR ids of the words, and the word of each id."""
    tokens = tokenize_words(tokenizer, words)
    if missing := set(range(len(words))).difference(tokens.word_ids):
        word = words[min(missing)]
        raise TextError(f"the word {word!r} has no ASR tokens; generate again with another seed")
    return tokens.token_ids, tokens.word_ids


def _word_codes(asr_codes: Tensor, word_ids: list[int]) -> Tensor:
    """Return the codes (W, L) of each word's first ASR token."""
    return asr_codes[0, [i for i, w in enumerate(word_ids) if i == 0 or w != word_ids[i - 1]]]


def _after_prompt(
    inputs: dict[str, Any], prompt_codes: Tensor, asr_ids: list[int], word_ids: list[int], codes: Tensor
) -> tuple[list[int], list[int], Tensor]:
    """Prepend ASR ids, word ids and codes of the prompt to those of a completion."""
    prompt_ids, prompt_words = inputs["asr_token_ids"][0].tolist(), inputs["asr_word_ids"][0].tolist()
    shifted = [word + prompt_words[-1] + 1 for word in word_ids]
    all_codes = torch.cat([_word_codes(prompt_codes, prompt_words).cpu(), codes])
    return prompt_ids + asr_ids, prompt_words + shifted, all_codes


def _speak(
    model: SpeechFlows,
    asr_ids: list[int],
    word_ids: list[int],
    codes: Tensor,
    speaker_embeds: Tensor,
    generator: torch.Generator | None,
) -> dict[str, Tensor]:
    """Generate speech units for words with one row of codes each."""
    device = model.device
    if not asr_ids:
        units = torch.zeros(1, 0, dtype=torch.int32, device=device)
    else:
        embeds = model.audio_tower.quantizer.output_from_indices(codes.to(device)[word_ids])[None]
        units = model.speech_decoder.generate(
            speaker_embeds=speaker_embeds.to(device),
            asr_token_ids=torch.tensor([asr_ids], device=device),
            audio_embeds=embeds,
            generator=generator,
        )
    return {
        "speech_token_ids": units.int(),
        "speech_token_lengths": torch.tensor([units.shape[1]], dtype=torch.int32, device=device),
    }
