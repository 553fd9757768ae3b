"""Stage `tokenizers`: the checkpoint's two tokenizers, from the text of the corpus."""

import logging

from taste_speech.configuration_base import StrictSection
from taste_speech.training import tokenizers as making
from taste_speech.training.config import StageContext
from taste_speech.training.corpus.dialogues.talks import as_heard, make_talks
from taste_speech.training.corpus.sentences import general_sentences
from taste_speech.training.tokenizers import TokenizerSettings

logger = logging.getLogger(__name__)


class Settings(StrictSection):
    """Of the tokenizers and of the text that the LLM tokenizer is trained on."""

    sizes: TokenizerSettings = TokenizerSettings()
    talks: int = 6000
    general_sentences: int = 2000
    seed: int = 7


def corpus_texts(settings: Settings) -> list[str]:
    """Turns as they are written and, of the user's, as they are heard; and general sentences."""
    turns = [turn for talk in make_talks(settings.talks, settings.seed, "train") for turn in talk.turns]
    heard = [as_heard(turn.text) for turn in turns if turn.role == "user"]
    general = general_sentences(settings.general_sentences, settings.seed)
    return [*(turn.text for turn in turns), *heard, *general]


def run(settings: Settings, context: StageContext) -> None:
    """Write `asr/` and `llama_tokenizer/`; raises ValueError if their sizes are not those of the recipe."""
    folder, config = context.folder("tokenizers"), context.config
    if not (folder / "llama_tokenizer" / "tokenizer.json").exists():
        making.run(settings.sizes, folder, corpus_texts(settings))
    asr = making.load(folder / "asr")
    llm = making.load(folder / "llama_tokenizer")
    found = {
        "tower.vocab_size": (len(asr), config.tower.vocab_size if config.tower else None),
        "tower.eos_id": (asr.eos_token_id, config.tower.eos_id if config.tower else None),
        "text_config.vocab_size": (len(llm), config.text_config.vocab_size),
        "spoken_lm_config.sos_id": (llm.bos_token_id, config.spoken_lm_config.sos_id),
        "vocabulary.first_special_id": (llm.bos_token_id, config.vocabulary.first_special_id),
    }
    for name, (made, configured) in found.items():
        if made != configured:
            raise ValueError(
                f"the tokenizers give {name} = {made}, the recipe says {configured}; correct the recipe"
            )
    logger.info("tokenizers: %d ASR tokens, %d LLM tokens", len(asr), len(llm))
