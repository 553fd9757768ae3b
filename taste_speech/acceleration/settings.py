"""What `accelerate` switches on."""

from typing import Literal

from pydantic import Field

from taste_speech.configuration_base import StrictSection


class Acceleration(StrictSection):
    """Settings of the fast paths. The defaults change no result beyond rounding."""

    static_shapes: bool | None = None
    """Steps over buffers of fixed size and address, recorded as CUDA graphs on CUDA. None: on CUDA; on the
    CPU, where they gain nothing (tests switch them on), float32 models take rows one by one with fewer calls
    and fewer bytes. False: the plain steps everywhere."""
    lm_rows: int = Field(default=2688, ge=16)
    """Rows of history that a conversation has room for at once; beyond it the room doubles, and the step is
    recorded again."""
    lm_buckets: tuple[int, ...] = (256, 512, 1024, 2048)
    """A step looks at the first so many rows, the smallest number that suffices (beyond the last: all)."""
    unit_bucket: int = Field(default=256, ge=1)
    """Room for prefix and units is a multiple of this."""
    units_per_read: int = Field(default=8, ge=1)
    """Units that are decoded before they are read back; those after the stop id are thrown away."""
    flow_bucket_frames: int = Field(default=64, ge=2, multiple_of=2)
    """Mel frames are padded to a multiple of this."""
    flow_max_frames: int = Field(default=768, ge=2)
    """Longer windows take the plain path."""
    linear: Literal["as_is", "float16", "bfloat16", "int8"] = "as_is"
    """Linear layers: as loaded, or in a smaller type, which changes results. float16: the Llama's weights
    only, computed with in float32; where the CPU has no such product, they stay as they are. float16 and
    int8: on the CPU only."""
