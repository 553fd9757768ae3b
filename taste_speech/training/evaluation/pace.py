"""Whether taste tokens carry the pace: of a recording said again, of an answer that is asked for slower."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from taste_speech.modeling_taste import TasteForCausalLM
from taste_speech.processing_taste import TasteProcessor
from taste_speech.streaming import Conversation, StreamingDetokenizer, TASTESegment, streaming_generate
from taste_speech.training.corpus.dialogues.control import CONTROL
from taste_speech.training.corpus.speech import Manner
from taste_speech.training.evaluation.material import RATE_HZ, in_reply_voice
from taste_speech.training.evaluation.table import Row
from taste_speech.training.evaluation.voice import retell

SLOW, FAST = Manner(rate=0.75), Manner(rate=1.35)

Audio = NDArray[np.float32]


def rows(
    model: TasteForCausalLM,
    processor: TasteProcessor,
    speaker: torch.Tensor,
    sentences: Sequence[str],
    questions: Sequence[str],
) -> list[Row]:
    """What of the difference between slow and fast recordings is left, and what "slower please" does.

    Args:
        speaker: (1, speaker width).
        sentences: that the reply voice says slowly and fast.
        questions: that are typed, and their answers asked for again, slower.
    """
    share = carried(model, processor, speaker, sentences)
    requests = CONTROL["slower"].paraphrases("test")
    times = [
        slower(model, processor, speaker, question, requests[i % len(requests)])
        for i, question in enumerate(questions)
    ]
    again = [time for time in times if time is not None]
    longer = float(np.median(again)) if again else 0.0
    return [
        Row("pace: share of a recording's that is said again", 100 * share, "%", None, True, len(sentences)),
        Row(
            "asked to be slower: says the same again",
            100 * len(again) / len(times),
            "%",
            None,
            True,
            len(times),
        ),
        Row("asked to be slower: time against the first (median)", longer, "x", None, True, len(again)),
    ]


def carried(
    model: TasteForCausalLM, processor: TasteProcessor, speaker: torch.Tensor, sentences: Sequence[str]
) -> float:
    """Log of how much longer slow recordings are than fast ones: said again over recorded."""
    recorded, again = [], []
    for manner in (SLOW, FAST):
        spoken = in_reply_voice(sentences, manner)
        recorded.append([len(s.samples) for s in spoken])
        again.append([len(retell(model, processor, speaker, s)) for s in spoken])
    wanted, found = (float(np.log(slow).mean() - np.log(fast).mean()) for slow, fast in (recorded, again))
    return found / wanted


def slower(
    model: TasteForCausalLM, processor: TasteProcessor, speaker: torch.Tensor, question: str, request: str
) -> float | None:
    """How much longer an answer takes once it is asked for slower; None if it is not said again."""
    conversation = Conversation(model, processor)
    (first, usual), (second, slow) = (
        _answer(model, processor, speaker, conversation, text) for text in (question, request)
    )
    return len(slow) / len(usual) if first == second and len(usual) else None


def _answer(
    model: TasteForCausalLM,
    processor: TasteProcessor,
    speaker: torch.Tensor,
    conversation: Conversation,
    text: str,
) -> tuple[str, Audio]:
    generator = torch.Generator().manual_seed(0)
    conversation.append(TASTESegment("user", "text", processor.process_text(text)["llm_token_ids"]))
    speech = StreamingDetokenizer(model, processor, speaker, RATE_HZ, generator)
    words: list[int] = []
    pieces = [np.zeros(0, np.float32)]
    for item in streaming_generate(model, processor, [], state=conversation, generator=generator):
        segment = item["segment"]
        words += segment.text_ids[0].tolist()
        pieces.append(speech.feed(segment.text_ids, segment.taste_ids, item["is_complete"]).samples)
    return processor.llm_tokenizer.decode(words).strip(), np.concatenate(pieces)
