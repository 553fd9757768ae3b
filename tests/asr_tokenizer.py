"""An ASR tokenizer of letters for a tiny checkpoint that reads text."""

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

SPACE = "▁"
"""Stands for a leading space in the vocabulary."""
UNKNOWN, END_OF_TEXT = "<|unknown|>", "<|endoftext|>"
PREFIX = ("<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>")
"""Whisper's tokens before a transcript."""
CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789'.,?!-:;\"()&%$+=/"
"""Known characters after lower-casing; any other becomes the unknown token."""


def build_asr_tokenizer() -> PreTrainedTokenizerFast:
    """Build it: one id per character, with another one for the first of a word; special ids come last."""
    pieces = [SPACE, *CHARACTERS, *(SPACE + character for character in CHARACTERS)]
    vocabulary = {piece: index for index, piece in enumerate([UNKNOWN, *pieces])}
    merges = [(SPACE, character) for character in CHARACTERS]
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
    tokenizer.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.Fuse()])
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in (END_OF_TEXT, *PREFIX)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token=UNKNOWN,
        eos_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        clean_up_tokenization_spaces=False,
    )
