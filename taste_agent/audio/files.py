"""A sound file as the person's voice: block by block, brought to the engine's rate."""

from collections.abc import Iterator

from taste_agent.audio.ports import Samples
from taste_agent.audio.resampling import StreamResampler
from taste_agent.clock import ENGINE_RATE_HZ
from taste_speech.sound_file import SoundFile


def engine_blocks(sound: SoundFile, block_samples: int | None = None) -> Iterator[tuple[Samples, float]]:
    """Samples at the engine's rate, and the seconds of the file that have been read with them.

    Args:
        sound: what is read.
        block_samples: of the file, read at a time.

    Raises:
        AudioError: the file has changed since it was looked through.
    """
    resampler = StreamResampler(sound.rate_hz, ENGINE_RATE_HZ)
    read = 0
    try:
        for block in sound.blocks(block_samples):
            read += len(block)
            yield resampler.feed(block), read / sound.rate_hz
        yield resampler.finish(), sound.duration_s
    finally:
        resampler.finish()  # soxr complains of a filter that is left over at the program's end
