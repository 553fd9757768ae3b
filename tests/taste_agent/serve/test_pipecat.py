"""A turn through Pipecat's OpenAI Realtime service, pointed at the server."""

import asyncio
from typing import Any

import numpy as np
import pytest
import soxr

from tests.taste_agent.fakes import RATE, FakeBrain
from tests.taste_agent.serve.serving import serving
from tests.taste_agent.speech import silence, spoken, track

pytest.importorskip("pipecat", reason="Pipecat is missing; pip install 'pipecat-ai[openai]'")
pytestmark = pytest.mark.soak

from pipecat.frames.frames import (  # noqa: E402
    EndFrame,
    ErrorFrame,
    InputAudioRawFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSTextFrame,
)
from pipecat.pipeline.pipeline import Pipeline  # noqa: E402
from pipecat.pipeline.worker import PipelineWorker  # noqa: E402
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor  # noqa: E402
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService  # noqa: E402
from pipecat.workers.runner import WorkerRunner  # noqa: E402

QUESTION, ANSWER = "what is the capital of italy", "it is rome"


class Collector(FrameProcessor):
    """Keeps what comes by."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[Any] = []

    async def process_frame(self, frame: Any, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        self.frames.append(frame)
        await self.push_frame(frame, direction)

    def of(self, kind: type) -> list[Any]:
        return [frame for frame in self.frames if isinstance(frame, kind)]


async def one_turn(port: int) -> tuple[Collector, Collector]:
    """Says the question as a microphone does and waits for the answer's sound."""
    before, after = Collector(), Collector()
    service = OpenAIRealtimeLLMService(api_key="none", base_url=f"ws://127.0.0.1:{port}/v1/realtime")
    task = PipelineWorker(Pipeline([before, service, after]))
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(task)
    running = asyncio.create_task(runner.run())
    sound = soxr.resample(track(silence(0.5), spoken(QUESTION), silence(4.0)), RATE, 24000)
    await asyncio.sleep(2.0)
    for first in range(0, len(sound), 2400):
        chunk = (sound[first : first + 2400] * 32767).astype("<i2").tobytes()
        await task.queue_frame(InputAudioRawFrame(audio=chunk, sample_rate=24000, num_channels=1))
        await asyncio.sleep(0.1)
    await asyncio.sleep(2.0)
    await task.queue_frame(EndFrame())
    await asyncio.wait_for(running, 20)
    return before, after


def test_pipecat_does_a_turn() -> None:
    with serving(lambda: FakeBrain(heard=[QUESTION], replies=[ANSWER])) as server:
        before, after = asyncio.run(one_turn(server.port))
    assert not before.of(ErrorFrame)
    heard = [frame.text for collector in (before, after) for frame in collector.of(TranscriptionFrame)]
    assert heard == [QUESTION]
    sound = np.frombuffer(b"".join(frame.audio for frame in after.of(TTSAudioRawFrame)), "<i2")
    assert len(sound) / 24000 == pytest.approx(1.2, abs=0.05)
    assert "".join(frame.text for frame in after.of(TTSTextFrame)) == ANSWER
