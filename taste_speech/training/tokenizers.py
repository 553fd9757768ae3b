"""The two tokenizers of a small checkpoint.

They differ on purpose. The ASR tokenizer is near-character, so that a small unit decoder can learn how
letters sound; the LLM tokenizer is byte-level BPE, so that a small language model sees few tokens per word.
Words are what both have in common: each word is encoded on its own with a space in front, so a word's first
token is the one whose text starts with a space.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import Field
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from taste_speech.configuration_base import StrictSection
from taste_speech.streaming.configuration import RoleTokensConfig

SPACE = "▁"
"""How the ASR tokenizer's vocabulary writes a leading space."""
UNKNOWN, END_OF_TEXT, PREFIX = (
    "<|unknown|>",
    "<|endoftext|>",
    ("<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>"),
)
"""Whisper's names: what ends a transcript and what stands before it."""
LLM_BOS, LLM_EOS = "<|begin_of_text|>", "<|end_of_text|>"


class TokenizerSettings(StrictSection):
    """Sizes of the two tokenizers."""

    characters: str = "abcdefghijklmnopqrstuvwxyz0123456789'.,?!-:;\"()&%$+=/"
    """What the ASR tokenizer can spell, after lower-casing; anything else becomes the unknown token."""
    llm_vocab_size: int = Field(default=2500, ge=300)
    """Byte-level BPE entries, special tokens not counted."""
    reserved_tokens: int = 8
    """Special tokens kept free at the end of the LLM vocabulary."""


def build_asr_tokenizer(settings: TokenizerSettings) -> PreTrainedTokenizerFast:
    """Near-character tokenizer: one id per character, with a second form for the first of a word."""
    pieces = [SPACE, *settings.characters, *(SPACE + character for character in settings.characters)]
    vocabulary = {piece: index for index, piece in enumerate([UNKNOWN, *pieces])}
    merges = [(SPACE, character) for character in settings.characters]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token=UNKNOWN, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(Regex("[‘’ʼ]"), "'"),
            normalizers.NFKD(),
            normalizers.StripAccents(),
            normalizers.Lowercase(),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="never")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.Fuse()],
    )
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in (END_OF_TEXT, *PREFIX)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token=UNKNOWN,
        eos_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        clean_up_tokenization_spaces=False,
    )


def special_tokens(settings: TokenizerSettings, roles: RoleTokensConfig) -> list[str]:
    """Special tokens of the LLM vocabulary in the order of their ids."""
    return [
        LLM_BOS,
        LLM_EOS,
        *roles.model_dump().values(),
        *(f"<|unused_{index}|>" for index in range(settings.reserved_tokens)),
    ]


def with_leading_spaces(texts: Iterable[str]) -> Iterator[str]:
    """Texts as words with one space before each, as every word is encoded."""
    for text in texts:
        yield "".join(f" {word}" for word in text.split())


def train_llm_tokenizer(
    texts: Iterable[str], settings: TokenizerSettings, roles: RoleTokensConfig | None = None
) -> PreTrainedTokenizerFast:
    """Byte-level BPE on `texts`; any text can be encoded, special tokens have the highest ids."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=settings.llm_vocab_size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(with_leading_spaces(texts), trainer)
    names = special_tokens(settings, roles or RoleTokensConfig())
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in names])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=LLM_BOS,
        eos_token=LLM_EOS,
        pad_token=LLM_EOS,
        clean_up_tokenization_spaces=False,
    )


def run(settings: TokenizerSettings, workdir: Path, texts: Iterable[str]) -> tuple[Path, Path]:
    """Write `asr/` and `llama_tokenizer/` under `workdir`; returns both folders."""
    asr_folder, llm_folder = Path(workdir) / "asr", Path(workdir) / "llama_tokenizer"
    build_asr_tokenizer(settings).save_pretrained(asr_folder)
    train_llm_tokenizer(texts, settings).save_pretrained(llm_folder)
    return asr_folder, llm_folder


def load(folder: Path) -> PreTrainedTokenizerFast:
    """A saved tokenizer."""
    return AutoTokenizer.from_pretrained(folder)
