"""What smaller number types cost in quality, and gain in time, on the CPU."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import torch

from taste_speech.acceleration import Acceleration, accelerate
from taste_speech.modeling_taste import TasteForCausalLM
from taste_speech.processing_taste import TasteProcessor
from taste_speech.streaming import Conversation, TASTESegment, streaming_generate
from taste_speech.training.corpus.dialogues.talks import Turn, as_heard
from taste_speech.training.evaluation.judge import Judge
from taste_speech.training.evaluation.material import Spoken
from taste_speech.training.evaluation.table import Row
from taste_speech.training.evaluation.voice import error_rate, retell

NumberType = Literal["float32", "bfloat16", "int8"]


def load(checkpoint: Path, kind: NumberType = "float32") -> tuple[TasteForCausalLM, TasteProcessor]:
    """Model and processor with the fast paths of the agent."""
    weights = torch.bfloat16 if kind == "bfloat16" else torch.float32
    model = TasteForCausalLM.from_pretrained(checkpoint, dtype=weights).eval()
    processor = TasteProcessor.from_pretrained(checkpoint)
    settings = Acceleration(linear="int8" if kind == "int8" else "as_is")
    accelerate(model, processor.get_generator("cpu"), settings)
    return model, processor


def typed_answer(model: TasteForCausalLM, processor: TasteProcessor, turn: Turn) -> str:
    """The text of the reply to a question that was typed."""
    conversation = Conversation(model, processor)
    ids = processor.process_text(as_heard(turn.text))["llm_token_ids"]
    conversation.append(TASTESegment("user", "text", ids))
    generator = torch.Generator().manual_seed(0)
    items = streaming_generate(model, processor, [], state=conversation, generator=generator)
    tokens = [token for item in items for token in item["segment"].text_ids[0].tolist()]
    return str(processor.llm_tokenizer.decode(tokens)).strip()


def rows(judge: Judge, checkpoint: Path, spoken: Sequence[Spoken], asked: Sequence[Turn]) -> list[Row]:
    """For each number type: intelligibility, right answers to typed questions, time against float32."""
    result: list[Row] = []
    first_s = 0.0
    for kind in get_args(NumberType):
        model, processor = load(checkpoint, kind)
        speaker = next(iter(processor.voices().values()))
        retell(model, processor, speaker, spoken[0])
        begun = time.perf_counter()
        sounds = [retell(model, processor, speaker, sentence) for sentence in spoken]
        spent_s = time.perf_counter() - begun
        first_s = first_s or spent_s
        answers = [typed_answer(model, processor, turn) for turn in asked]
        right = [turn.accepts(answer) for turn, answer in zip(asked, answers, strict=True)]
        errors = error_rate(judge, spoken, sounds)
        result += [
            Row(f"{kind}: tokenize -> detokenize, word error", errors, "%", count=len(spoken)),
            Row(
                f"{kind}: typed questions answered right",
                100 * sum(right) / len(asked),
                "%",
                count=len(asked),
            ),
            Row(f"{kind}: time of tokenize -> detokenize", spent_s / first_s, "x", count=len(spoken)),
        ]
    return result
