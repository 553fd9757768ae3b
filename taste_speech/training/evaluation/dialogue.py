"""Whether questions in unseen words and voices are heard, answered right, and said clearly."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from taste_speech.modeling_taste import TasteForCausalLM
from taste_speech.processing_taste import TasteProcessor
from taste_speech.recognition.base import Recognizer
from taste_speech.streaming import Conversation, StreamingDetokenizer, streaming_generate
from taste_speech.training.corpus.dialogues.talks import Turn
from taste_speech.training.evaluation.judge import Judge
from taste_speech.training.evaluation.material import RATE_HZ, Spoken, in_reply_voice
from taste_speech.training.evaluation.segments import as_segment
from taste_speech.training.evaluation.table import Row
from taste_speech.training.evaluation.voice import error_rate
from taste_speech.training.word_errors import word_error_rate

BLOCK_SAMPLES = 1600


@dataclass(frozen=True)
class Reply:
    """What came of one spoken question."""

    turn: Turn
    heard: str
    speaks: bool
    text: str
    samples: NDArray[np.float32]
    first_audio_s: float
    """Compute time from the end of the question to the first samples, recognition included."""
    recognition_s: float
    total_s: float

    @property
    def is_right(self) -> bool:
        """Whether the text matches the accepted answers of its kind of question."""
        return self.speaks and self.turn.accepts(self.text)


class Speaker:
    """The parts of a checkpoint that turn a spoken question into a spoken reply."""

    def __init__(self, model: TasteForCausalLM, processor: TasteProcessor, recognizer: Recognizer) -> None:
        self.model, self.processor, self.recognizer = model, processor, recognizer
        self.voice = next(iter(processor.voices().values()))

    def reply(self, turn: Turn, question: Spoken, aloud: bool = True, seed: int = 0) -> Reply:
        """Hear, think and speak with the default settings; the recogniser hears the question as it comes."""
        generator = torch.Generator().manual_seed(seed)
        self.recognizer.start()
        for start in range(0, len(question.samples), BLOCK_SAMPLES):
            self.recognizer.accept(question.samples[start : start + BLOCK_SAMPLES])
        begun = time.perf_counter()
        heard = self.recognizer.finish().text
        recognised = time.perf_counter()
        if not heard.strip():
            return Reply(turn, "", False, "", np.zeros(0, np.float32), 0.0, recognised - begun, 0.0)
        conversation = Conversation(self.model, self.processor)
        conversation.append(as_segment(self.model, self.processor, "user", question, heard))
        words, pieces, first = [], [], None
        speech = StreamingDetokenizer(self.model, self.processor, self.voice, RATE_HZ, generator)
        for item in streaming_generate(
            self.model, self.processor, [], state=conversation, generator=generator
        ):
            segment = item["segment"]
            words += segment.text_ids[0].tolist()
            if aloud:
                pieces.append(speech.feed(segment.text_ids, segment.taste_ids, item["is_complete"]).samples)
                if first is None and len(pieces[-1]):
                    first = time.perf_counter()
        finished = time.perf_counter()
        text = self.processor.llm_tokenizer.decode(words).strip()
        samples = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
        latency = (first or finished) - begun
        return Reply(turn, heard, bool(words), text, samples, latency, recognised - begun, finished - begun)


def rows(judge: Judge, finished: Sequence[Reply], unfinished: Sequence[Reply], suffix: str = "") -> list[Row]:
    """Recognition, right answers, intelligibility of the reply, finished or not, speed."""
    n = len(finished)
    answered = [r for r in finished if len(r.samples)]
    said = [Spoken(r.text, r.samples, "reply") for r in answered]
    right = 100 * sum(r.is_right for r in finished) / n
    known = [r for r in finished if r.turn.kind != "unknown"]
    asked = [*finished, *unfinished]
    misheard = 100 * word_error_rate([r.turn.text for r in asked], [r.heard for r in asked])
    result = [
        Row(f"recogniser on the questions: word error{suffix}", misheard, "%", None, False, len(asked)),
        Row(f"heard and answered right{suffix}", right, "%", 85, True, n),
        Row(
            f"complete turns answered{suffix}",
            100 * sum(r.speaks for r in known) / len(known),
            "%",
            90,
            True,
            n,
        ),
    ]
    if unfinished:
        silent = 100 * sum(not r.speaks for r in unfinished) / len(unfinished)
        result.append(Row(f"cut-off turns given no_speech{suffix}", silent, "%", 90, True, len(unfinished)))
    if said:
        spoken = error_rate(judge, said, [s.samples for s in said])
        natural = in_reply_voice([s.text for s in said])
        bound = error_rate(judge, natural, [s.samples for s in natural])
        factor = sum(r.total_s for r in answered) / (sum(len(r.samples) for r in answered) / RATE_HZ)
        latency = float(np.median([r.first_audio_s for r in answered]))
        share = float(np.median([r.recognition_s for r in answered]))
        result += [
            Row(f"reply as sound against its text: word error{suffix}", spoken, "%", 15, False, len(said)),
            Row(
                f"the same replies in the natural voice: word error{suffix}",
                bound,
                "%",
                None,
                False,
                len(said),
            ),
            Row(f"whole reply: real-time factor{suffix}", factor, "", 0.5, False, len(said)),
            Row(f"first audio, compute latency (median){suffix}", latency, "s", 1.0, False, len(said)),
            Row(f"of it recognition (median){suffix}", share, "s", None, False, len(said)),
        ]
    return result
