"""Faster inference with the same results: single rows on the CPU, `torch.compile` elsewhere.

`accelerate(model, generator)` switches it on. Nothing that is accelerated knows this package.
"""

from taste_speech.acceleration.switch import Acceleration, accelerate, decelerate, plain_steps

__all__ = ["Acceleration", "accelerate", "decelerate", "plain_steps"]
