"""`TasteProcessor`: audio, text and speaker references -> inputs of `TasteForCausalLM`, and ids -> words."""

import logging
import os
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor
from transformers import AutoProcessor, AutoTokenizer, BatchFeature

from taste_speech import words as word_tools
from taste_speech.audio_io import Samples, prepare_audio
from taste_speech.checkpoint_files import ASR_FOLDER, LLM_FOLDER, VOICES, CheckpointFiles
from taste_speech.configuration_sections import TowerConfig
from taste_speech.configuration_taste import TasteConfig
from taste_speech.conversion.hub import hub_options
from taste_speech.errors import CheckpointError, TextError
from taste_speech.features import LogMelFeatures
from taste_speech.recognition.base import Recognizer
from taste_speech.recognition.factory import make_recognizer
from taste_speech.speaker import OnnxModel, Reference, SpeakerEncoder, SpeechUnitExtractor, load_voices
from taste_speech.spoken_text import plain_text, spoken_text, spoken_words
from taste_speech.words import PhoneTokenizer

if TYPE_CHECKING:
    from taste_speech.vocoder.voice_generator import VoiceGenerator

logger = logging.getLogger(__name__)


class TasteProcessor:
    """Everything around the model: tokenizers, features, speaker embeddings, recognition, voice generator.

    Each part is loaded on first use, so that a checkpoint without it can still be used for everything else.
    It is not a `ProcessorMixin`, which loads all parts at once, from folders with the names of its
    attributes.

    Args:
        llm_tokenizer, audio_tokenizer: replacements of the checkpoint's tokenizers.
        asr_device: device of the recognizer that transcribes audio without text.
    """

    def __init__(
        self,
        config: TasteConfig,
        files: CheckpointFiles,
        llm_tokenizer: Any = None,
        audio_tokenizer: Any = None,
        asr_device: str | torch.device | None = None,
    ):
        self.config = config
        self.files = files
        self.features = LogMelFeatures(config.tower or TowerConfig())
        self._llm_tokenizer = llm_tokenizer
        self._audio_tokenizer = audio_tokenizer
        self._asr_device = asr_device

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the parts that are loaded on first use; a copy loads them again."""
        cached = {
            name for name in self.__dict__ if isinstance(getattr(type(self), name, None), cached_property)
        }
        return {name: value for name, value in self.__dict__.items() if name not in cached}

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str],
        asr_device: str | torch.device | None = None,
        **options: Any,
    ) -> Self:
        """Load the processor of a checkpoint.

        Args:
            name_or_path: a folder, the name of a shipped checkpoint or a hub id.
            asr_device: device of the recognizer that transcribes audio without text.
            options: `revision`, `cache_dir`, `token`, `local_files_only` and `force_download` of the hub.

        Raises:
            CheckpointError: the checkpoint does not exist, or it has no usable `config.json`.
            TypeError: an argument is unknown, such as `path_cosyvoice_dir` of the published class.
        """
        others = "asr_device (parts are read from the checkpoint when needed)"
        files = CheckpointFiles(name_or_path, **hub_options(options, others))
        return cls(files.config(), files, asr_device=asr_device)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write the tokenizers and the other files of the processor, and `config.json` if it is missing."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        if not (target / "config.json").is_file():
            # If a model was saved to this folder, its config.json stays: it says that LoRA is merged.
            self.config.save_pretrained(target)
        self.llm_tokenizer.save_pretrained(target / LLM_FOLDER)
        if not self._reads_phones:
            self.audio_tokenizer.save_pretrained(target / ASR_FOLDER)
        self.files.copy_extras(target)

    @property
    def sampling_rate_hz(self) -> int:
        """Sampling rate of the audio tower's input."""
        return self.features.config.sampling_rate_hz

    @property
    def llm_tokenizer(self) -> Any:
        """Tokenizer of the spoken LM."""
        if self._llm_tokenizer is None:
            self._llm_tokenizer = _load_tokenizer(self.files.llm_tokenizer_source(self.config))
        return self._llm_tokenizer

    @property
    def audio_tokenizer(self) -> Any:
        """Tokenizer of the audio tower and the speech decoder, for ASR tokens."""
        if self._audio_tokenizer is None:
            if self._reads_phones:
                self._audio_tokenizer = PhoneTokenizer()
            else:
                self._audio_tokenizer = _load_tokenizer(self.files.asr_tokenizer_source(self.config))
        return self._audio_tokenizer

    def __call__(
        self,
        audio: Any,
        sampling_rate: int,
        ref_audio_list: Sequence[Reference] | None = None,
        text: str | Sequence[str] | None = None,
        output_text_info: bool = False,
        extract_speech_tokens: bool = False,
    ) -> BatchFeature:
        """Return the model's inputs for one recording.

        Args:
            audio: (samples,) mono, float in [-1, 1] or int16, of at most the tower's maximum length.
            sampling_rate: sampling rate of `audio` in Hz; it is resampled if the model needs another.
            ref_audio_list: reference voices: paths, arrays at `sampling_rate`, or names of fixed voices.
            text: the text that is spoken, or its words; None: the recognizer transcribes the audio.
            output_text_info: whether to also return `words` and `text`.
            extract_speech_tokens: whether to also return `speech_token_ids` and `speech_token_lengths`.

        Returns:
            `audio_features` (1, mel frames, bins), `audio_feature_lengths` (1,), the fields of
            `process_text`, and with references `speaker_embeds` (1, size).

        Raises:
            AudioError: the audio cannot be used.
            TextError: there are no words, or they contain special tokens.
        """
        rate = self.sampling_rate_hz
        samples = prepare_audio(audio, sampling_rate, rate, self.features.max_duration_s)
        fields: dict[str, Any] = self.audio_fields(samples)
        if ref_audio_list is not None:
            fields["speaker_embeds"] = self._speaker_encoder.embed_all(list(ref_audio_list), sampling_rate)
        if extract_speech_tokens:
            fields["speech_token_ids"] = self._unit_extractor(prepare_audio(samples, rate, 16000))
            fields["speech_token_lengths"] = _lengths(fields["speech_token_ids"])
        words = self.split_text(self._transcribe(samples) if text is None else text)
        fields |= self._token_fields(words)
        if output_text_info:
            fields |= {"words": [words], "text": [" ".join(words)]}
        return BatchFeature(fields)

    def audio_fields(self, samples: Samples) -> dict[str, Tensor]:
        """Return features of samples at `sampling_rate_hz`, and the number of mel frames without padding."""
        frames = self.features.frame_count(samples.size)
        return {
            "audio_features": self.features(samples),
            "audio_feature_lengths": torch.tensor([frames], dtype=torch.int32),
        }

    def split_text(self, text: str | Sequence[str]) -> list[str]:
        """Return the words of a text in the checkpoint's form: with plain quotes, or as it is read aloud.

        Raises:
            TextError: there are no words, or some cannot be spoken.
        """
        words = [plain_text(word) for word in word_tools.split_words(text)]
        if self.config.vocabulary.text_is_spoken:
            return spoken_text(" ".join(words)).split()
        return word_tools.split_words(words)

    def process_text(self, text: str | Sequence[str]) -> dict[str, Tensor]:
        """Tokenize a text, or its words, with both tokenizers; see `split_text`.

        Returns:
            for each prefix `asr` and `llm`: `_token_ids` (1, tokens) int64, `_token_lengths` (1,) int32 and
            `_word_ids` (1, tokens) int32, counted from 0.

        Raises:
            TextError: there are no words, or one contains a special token.
        """
        return self._token_fields(self.split_text(text))

    def align_text_ids(self, text_ids: Tensor | Sequence[int]) -> dict[str, Tensor]:
        """Return the fields of `process_text` for given LLM ids.

        If the checkpoint needs text as it is read aloud, a word such as "$5" gets the ASR tokens of all the
        words that are spoken for it.

        Raises:
            TextError: there are no ids, or one is special or outside the vocabulary.
        """
        words = self.llm_ids_to_words(text_ids)
        if not words:
            raise TextError("text_ids are empty; give the LLM ids of at least one word")
        llm = word_tools.WordTokens(
            [i for word in words for i in word.ids],
            [index for index, word in enumerate(words) for _ in word.ids],
        )
        asr = self.asr_tokens([word.text for word in words])
        return _text_fields("asr", asr) | _text_fields("llm", llm)

    def asr_tokens(self, words: Sequence[str], before: Sequence[str] = ()) -> word_tools.WordTokens:
        """Return the ASR tokens of words as the LLM writes them; see `align_text_ids`.

        Args:
            words: as they are written.
            before: the words before these, which may change how they are pronounced.
        """
        if self.config.vocabulary.text_is_spoken:
            words, before = spoken_words(list(words)), spoken_words(list(before))
        return word_tools.tokenize_words(self.audio_tokenizer, words, before)

    @property
    def _reads_phones(self) -> bool:
        return self.config.vocabulary.asr_pieces == "phones"

    def _token_fields(self, words: list[str]) -> dict[str, Tensor]:
        asr = word_tools.tokenize_words(self.audio_tokenizer, words)
        llm = word_tools.tokenize_words(self.llm_tokenizer, words)
        return _text_fields("asr", asr) | _text_fields("llm", llm)

    def llm_ids_to_words(self, ids: Tensor | Sequence[int]) -> list[word_tools.Word]:
        """Return the words of LLM ids, (tokens,) or (1, tokens).

        Raises:
            TextError: an id is special or outside the vocabulary.
        """
        flat = ids.reshape(-1).tolist() if isinstance(ids, Tensor) else list(ids)
        return word_tools.llm_ids_to_words(self.llm_tokenizer, flat)

    def speaker_embedding(self, reference: Reference, sampling_rate: int = 16000) -> Tensor:
        """Return the unit-length embedding (1, size) of a path, an array or a fixed voice; cached."""
        return self._speaker_encoder.embed_all([reference], sampling_rate)

    def voices(self) -> dict[str, Tensor]:
        """Return the fixed voices of the checkpoint by name, each (1, size)."""
        return dict(self._speaker_encoder.voices)

    def recognizer(self, device: str | torch.device | None = None) -> Recognizer:
        """Return a new recognizer of the checkpoint, which is loaded on first use."""
        return make_recognizer(self.config, self.files, device or self._asr_device)

    def get_generator(self, device: str | torch.device = "cpu") -> "VoiceGenerator":
        """Return the voice generator on a device (published name); see also `TasteForCausalLM.voice`."""
        # The devices "cuda" and "cuda:0" are not equal, but those of tensors on them are.
        return self._generators(torch.empty(0, device=device).device)

    @cached_property
    def _generators(self) -> Any:
        return lru_cache(lambda device: self.files.voice_generator(self.config).to(device))

    @cached_property
    def _speaker_encoder(self) -> SpeakerEncoder:
        return SpeakerEncoder(
            lambda features: self._speaker_onnx(features), load_voices(self.files.path(VOICES))
        )

    @cached_property
    def _speaker_onnx(self) -> OnnxModel:
        try:
            return OnnxModel(self.files.fetch("cosyvoice/speaker_embed.onnx"))
        except CheckpointError as error:
            names = ", ".join(self._speaker_encoder.voices)
            if not names:
                raise
            raise CheckpointError(
                f"{self.files.name} has fixed voices only; it cannot copy a voice from a recording; choose "
                f"from {names}"
            ) from error

    @cached_property
    def _unit_extractor(self) -> SpeechUnitExtractor:
        return SpeechUnitExtractor(OnnxModel(self.files.fetch("cosyvoice/speech_tokenizer_v1.onnx")))

    @cached_property
    def _recognizer(self) -> Recognizer:
        return self.recognizer()

    def _transcribe(self, samples: Samples) -> str:
        self._recognizer.start()
        self._recognizer.accept(prepare_audio(samples, self.sampling_rate_hz, 16000))
        text = self._recognizer.finish().text
        if not text.strip():
            raise TextError("the recognizer heard no words in the audio; give text= if you know what is said")
        return text


def _text_fields(kind: str, tokens: word_tools.WordTokens) -> dict[str, Tensor]:
    ids = torch.tensor([tokens.token_ids], dtype=torch.int64)
    return {
        f"{kind}_token_ids": ids,
        f"{kind}_token_lengths": _lengths(ids),
        f"{kind}_word_ids": torch.tensor([tokens.word_ids], dtype=torch.int32),
    }


def _lengths(ids: Tensor) -> Tensor:
    return torch.tensor([ids.shape[1]], dtype=torch.int32)


def _load_tokenizer(source: str | Path) -> Any:
    try:
        return AutoTokenizer.from_pretrained(source)
    except Exception as error:  # a damaged file can raise anything, for example KeyError
        reason = next(iter(str(error).splitlines()), "")
        raise CheckpointError(
            f"cannot load the tokenizer {str(source)!r} ({type(error).__name__}: {reason}); "
            "put it into the checkpoint, or connect to the network once"
        ) from error


AutoProcessor.register(TasteConfig, TasteProcessor)
