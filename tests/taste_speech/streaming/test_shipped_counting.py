"""The shipped checkpoint says a long list once and to its end: nothing twice, nothing left out."""

import re

import jiwer
import numpy as np
import pytest
import torch

from taste_speech import TasteForCausalLM, TasteProcessor
from taste_speech.acceleration import accelerate
from taste_speech.streaming import Conversation, StreamingDetokenizer, TASTESegment, streaming_generate

NUMBERS = [
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
]


def words(text: str) -> list[str]:
    """Lower case, without marks."""
    return re.findall("[a-z]+", text.lower())


@pytest.mark.parametrize("seed", [0, 1])
def test_it_counts_to_twenty(seed: int) -> None:
    model, processor = TasteForCausalLM.from_pretrained("small"), TasteProcessor.from_pretrained("small")
    accelerate(model)
    conversation = Conversation(model, processor)
    question = processor.process_text("Count to twenty.")["llm_token_ids"]
    conversation.append(TASTESegment("user", "text", question))
    generator = torch.Generator().manual_seed(seed)
    voice = next(iter(processor.voices().values()))
    speech = StreamingDetokenizer(model, processor, voice, 16_000, generator)
    pieces, ids = [], []
    for item in streaming_generate(model, processor, [], state=conversation, generator=generator):
        segment = item["segment"]
        ids += segment.text_ids[0].tolist()
        pieces.append(speech.feed(segment.text_ids, segment.taste_ids, item["is_complete"]).samples)
    said = processor.llm_tokenizer.decode(ids)
    assert words(said) == NUMBERS, "else the reply is not a list to say"
    judge = processor.recognizer()
    judge.start()
    judge.accept(np.concatenate(pieces))
    heard = judge.finish().text
    assert jiwer.wer(" ".join(NUMBERS), " ".join(words(heard))) <= 0.2
