"""Recordings of known text as the model takes them."""

import torch

from taste_speech.modeling_taste import TasteForCausalLM
from taste_speech.processing_taste import TasteProcessor
from taste_speech.streaming import TASTESegment, taste_tokenize
from taste_speech.streaming.segment import Role
from taste_speech.training.evaluation.material import RATE_HZ, Spoken


def as_segment(
    model: TasteForCausalLM, processor: TasteProcessor, role: Role, spoken: Spoken, text: str | None = None
) -> TASTESegment:
    """Text and taste tokens of a recording; `text` where something else was heard than said."""
    text_ids = processor.process_text(spoken.text if text is None else text)["llm_token_ids"]
    audio = torch.from_numpy(spoken.samples)[None]
    return TASTESegment(role, "audio", text_ids, taste_tokenize(model, processor, audio, text_ids, RATE_HZ))
