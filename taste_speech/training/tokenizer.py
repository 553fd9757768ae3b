"""The tokenizer of the aggregator and the unit decoder.

It is near-character, so that a small unit decoder can learn how letters sound. Each word is encoded on its
own with a space in front, so a word's first token is the one whose text starts with a space.
"""

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from taste_speech.vocoder.phones import PHONES, STRESS, VOWELS
from taste_speech.words import MARKS

SPACE = "▁"
"""How the ASR tokenizer's vocabulary writes a leading space."""
UNKNOWN, END_OF_TEXT, PREFIX = (
    "<|unknown|>",
    "<|endoftext|>",
    ("<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>"),
)
"""Whisper's names: what ends a transcript and what stands before it."""


CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789'.,?!-:;\"()&%$+=/"
"""What it can spell, after lower-casing; anything else becomes the unknown token."""


def build_phoneme_tokenizer() -> PreTrainedTokenizerFast:
    """Build a tokenizer of phonemes: one id per phone, vowels also with each stress, as in misaki's alphabet.

    The first phone of a word has a second form, as letters have in `build_asr_tokenizer`.
    """
    stressed = [mark + vowel for mark in STRESS for vowel in VOWELS]
    pieces = [*PHONES[1:], *MARKS, *stressed]
    vocabulary = {piece: index for index, piece in enumerate([UNKNOWN, SPACE, *pieces])}
    for piece in pieces:
        vocabulary[SPACE + piece] = len(vocabulary)
    merges = [*((mark, vowel) for mark in STRESS for vowel in VOWELS), *((SPACE, piece) for piece in pieces)]
    return _tokenizer(vocabulary, merges, [])


def build_asr_tokenizer() -> PreTrainedTokenizerFast:
    """Build the tokenizer: one id per character, with a second form for the first of a word."""
    pieces = [SPACE, *CHARACTERS, *(SPACE + character for character in CHARACTERS)]
    vocabulary = {piece: index for index, piece in enumerate([UNKNOWN, *pieces])}
    merges = [(SPACE, character) for character in CHARACTERS]
    cleanup = [
        normalizers.Replace(Regex("[‘’ʼ]"), "'"),
        normalizers.NFKD(),
        normalizers.StripAccents(),
        normalizers.Lowercase(),
    ]
    return _tokenizer(vocabulary, merges, cleanup)


def _tokenizer(
    vocabulary: dict[str, int], merges: list[tuple[str, str]], cleanup: list[normalizers.Normalizer]
) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token=UNKNOWN, fuse_unk=True))
    if cleanup:
        tokenizer.normalizer = normalizers.Sequence(cleanup)
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
