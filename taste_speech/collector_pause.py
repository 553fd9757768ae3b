"""Importing without garbage collections. Importing this is cheap."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Makes no garbage collections meanwhile, unless someone else begins them again.

    Importing torch and transformers makes some 350,000 objects that stay. A collection looks through all of
    them and lets no other thread run; the dozens that Python makes on the way are a quarter of the time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
