"""Faster inference with the same results: single rows on the CPU, `torch.compile` elsewhere.

`accelerate(model, generator)` turns it on. The accelerated modules do not import this package.
"""

from taste_speech.acceleration.switch import Acceleration, accelerate, decelerate, plain_steps

__all__ = ["Acceleration", "accelerate", "decelerate", "plain_steps"]
