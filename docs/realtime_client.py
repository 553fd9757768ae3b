"""Talks with `taste-agent serve` through the `openai` package: by sound, interrupting, cutting, typing.

    python docs/realtime_client.py question.wav --port 8788

The recording is 16-bit mono at 24 kHz. What the agent says is written beside it, as answer.wav.
"""

import argparse
import asyncio
import base64
import wave
from pathlib import Path

from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection

RATE_HZ = 24000
CHUNK_BYTES = RATE_HZ * 2 // 10
"""A tenth of a second."""


async def ask_by_sound(connection: AsyncRealtimeConnection, question: bytes) -> tuple[str, str, bytes]:
    """Say a question as a microphone does; returns what was heard, what was answered, and its sound."""
    sending = asyncio.create_task(speak(connection, question))
    heard, answer, sound = "", "", b""
    async for event in connection:
        if event.type == "conversation.item.input_audio_transcription.completed":
            heard = event.transcript
        elif event.type == "response.output_audio.delta":
            sound += base64.b64decode(event.delta)
        elif event.type == "response.output_audio_transcript.done":
            answer = event.transcript
        elif event.type == "response.done":
            break
    sending.cancel()
    return heard, answer, sound


async def speak(connection: AsyncRealtimeConnection, sound: bytes) -> None:
    """Send sound as a microphone does, and silence after it."""
    position = 0
    while True:
        chunk = sound[position : position + CHUNK_BYTES].ljust(CHUNK_BYTES, b"\0")
        position += CHUNK_BYTES
        await connection.input_audio_buffer.append(audio=base64.b64encode(chunk).decode())
        await asyncio.sleep(0.1)


async def ask_by_text(
    connection: AsyncRealtimeConnection, text: str, cancel_after_ms: int = 0
) -> tuple[str, str]:
    """Type a question; returns the answer and its status. After so much sound of it, the answer is cut."""
    content = [{"type": "input_text", "text": text}]
    await connection.conversation.item.create(item={"type": "message", "role": "user", "content": content})
    await connection.response.create()
    answer, received = "", 0
    async for event in connection:
        if event.type == "response.output_audio.delta":
            received += len(base64.b64decode(event.delta))
            if cancel_after_ms and received >= cancel_after_ms * RATE_HZ * 2 // 1000:
                # Only so much of it was heard: the agent remembers no more.
                await connection.conversation.item.truncate(
                    item_id=event.item_id, content_index=0, audio_end_ms=cancel_after_ms
                )
                cancel_after_ms = 0
        elif event.type == "response.output_audio_transcript.done":
            answer = event.transcript
        elif event.type == "response.done":
            return answer, event.response.status or ""
    return answer, "closed"


async def talk(recording: Path, host: str, port: int, token: str) -> None:
    """Hold a short conversation."""
    with wave.open(str(recording)) as file:
        question = file.readframes(file.getnframes())
    base = f"{host}:{port}/v1"
    client = AsyncOpenAI(api_key=token, base_url=f"http://{base}", websocket_base_url=f"ws://{base}")
    async with client.realtime.connect(model="small") as connection:
        heard, answer, sound = await ask_by_sound(connection, question)
        print(f"heard: {heard}\nanswer: {answer}")
        with wave.open(str(recording.with_name("answer.wav")), "wb") as file:
            file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
            file.writeframes(sound)
        answer, status = await ask_by_text(connection, "tell me a story", cancel_after_ms=1500)
        print(f"{status}: {answer}")
        answer, status = await ask_by_text(connection, "what is seven plus five")
        print(f"{status}: {answer}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recording", type=Path)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8788)
    parser.add_argument("--token", default="none")
    given = parser.parse_args()
    asyncio.run(talk(given.recording, given.host, given.port, given.token))
