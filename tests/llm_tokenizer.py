"""A tokenizer for a tiny language model, trained on a few sentences."""

from collections.abc import Iterable

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from taste_speech.streaming.configuration import RoleTokensConfig

LLM_BOS, LLM_EOS = "<|begin_of_text|>", "<|end_of_text|>"
SPECIAL_TOKENS = (
    LLM_BOS,
    LLM_EOS,
    *RoleTokensConfig().model_dump().values(),
    *(f"<|unused_{index}|>" for index in range(8)),
)
"""In the order of their ids."""


def train_llm_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE; any text can be encoded, special tokens have the highest ids."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    spaced = ("".join(f" {word}" for word in text.split()) for text in texts)
    tokenizer.train_from_iterator(spaced, trainer)
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in SPECIAL_TOKENS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=LLM_BOS,
        eos_token=LLM_EOS,
        pad_token=LLM_EOS,
        clean_up_tokenization_spaces=False,
    )
