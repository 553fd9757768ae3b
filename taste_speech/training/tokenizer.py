"""The ASR tokenizers: of letters, or of phonemes.

Their pieces are single letters or phones, so that a small unit decoder can learn how they sound. Each word is
encoded separately with a leading space, so the text of its first token begins with a space.
"""

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from taste_speech.vocoder.phones import PHONES, STRESS, VOWELS
from taste_speech.words import MARKS

SPACE = "▁"
"""Stands for a leading space in the vocabulary."""
UNKNOWN, END_OF_TEXT = "<|unknown|>", "<|endoftext|>"
PREFIX = ("<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>")
"""Whisper's tokens before a transcript."""
CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789'.,?!-:;\"()&%$+=/"
"""Known characters after lower-casing; any other becomes the unknown token."""


def build_phoneme_tokenizer() -> PreTrainedTokenizerFast:
    """Build a tokenizer of misaki's phonemes: one id per phone, and per vowel with each stress.

    The first phone of a word has an id of its own.
    """
    stressed = [mark + vowel for mark in STRESS for vowel in VOWELS]
    pieces = [*PHONES[1:], *MARKS, *stressed]
    vocabulary = {piece: index for index, piece in enumerate([UNKNOWN, SPACE, *pieces])}
    for piece in pieces:
        vocabulary[SPACE + piece] = len(vocabulary)
    merges = [*((mark, vowel) for mark in STRESS for vowel in VOWELS), *((SPACE, piece) for piece in pieces)]
    return _tokenizer(vocabulary, merges, [])


def build_asr_tokenizer() -> PreTrainedTokenizerFast:
    """Build a tokenizer of letters: one id per character, with another one for the first of a word."""
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
    tokenizer.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.Fuse()])
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in (END_OF_TEXT, *PREFIX)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token=UNKNOWN,
        eos_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        clean_up_tokenization_spaces=False,
    )
