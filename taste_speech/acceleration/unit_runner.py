"""Units of one item by static steps, read back in groups."""

import math
import threading
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from taste_speech.acceleration.settings import Acceleration
from taste_speech.acceleration.unit_step import UnitStep

if TYPE_CHECKING:
    from taste_speech.speech_decoder.unit_decoder import UnitDecoder


class UnitRunner:
    """Replaces the loop of `UnitDecoder.generate_with_alignment`: same units for the same generator.

    It keeps buffers, not state: nothing of an item is left when it is done. Callers on several threads wait
    for each other.
    """

    def __init__(self, settings: Acceleration) -> None:
        self.settings = settings
        self._steps: dict[int, UnitStep] = {}
        self._weights: tuple[object, ...] = ()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[Self], tuple[Acceleration]]:
        """A copied or stored model records its own steps."""
        return type(self), (self.settings,)

    @torch.no_grad()
    def generate(
        self,
        decoder: "UnitDecoder",
        prefix: Tensor,
        forced_units: Tensor | None,
        limits: tuple[int, int],
        generator: torch.Generator | None,
        greedy: bool,
        align: bool,
        said_tokens: int = 0,
    ) -> tuple[list[int], Tensor]:
        """New units, and attention (forced + new units, condition tokens), empty unless `align`.

        Args:
            prefix: (1, tokens + 3, size).
            forced_units: (1, units) that come first.
            limits: least and most new units.
            said_tokens: tokens at the start of the condition that the forced units say.
        """
        least, most = limits
        forced = 0 if forced_units is None else forced_units.shape[1]
        with self._lock:
            step = self._step(decoder, prefix.shape[1] + forced + most + self.settings.units_per_read)
            replay = step.replay(greedy, align)
            logits, state = decoder.start(prefix, 0, forced_units, align, step.state, said_tokens)
            step.begin(logits, prefix.shape[1] + forced, least, state.condition.stop, said_tokens)
            ids: list[int] = []
            while len(ids) < most:
                count = min(self.settings.units_per_read, most - len(ids))
                draws = _Draws(step, generator, None if greedy else slice(len(ids), len(ids) + count))
                for _ in range(count):
                    replay()
                group = step.ids[len(ids) : len(ids) + count].tolist()
                stopped = decoder.stop_id in group
                if stopped:
                    group = group[: group.index(decoder.stop_id)]
                    draws.keep(len(group) + 1)
                ids += group
                if stopped:
                    break
            if not align:
                return ids, prefix.new_zeros(0, 0)
            looked = step.attention[: len(ids), state.condition]
            return ids, torch.cat([torch.stack(state.attention), looked])[: forced + len(ids)]

    def _step(self, decoder: "UnitDecoder", rows: int) -> UnitStep:
        """Buffers with room for so many rows, for the weights as they are now."""
        tensors = [decoder.llm_decoder.weight]
        tensors += [attention.linear_pos.weight for attention in decoder.llm.attentions]
        weights = (
            tensors[0].device,
            tensors[0].dtype,
            *(x.data_ptr() for x in tensors),
            *(0 if x.is_inference() else x._version for x in tensors),
        )
        if weights != self._weights:
            self._steps.clear()
            self._weights = weights
        capacity = math.ceil(rows / self.settings.unit_bucket) * self.settings.unit_bucket
        if capacity not in self._steps:
            self._steps[capacity] = UnitStep(decoder, capacity)
        return self._steps[capacity]


class _Draws:
    """Random numbers of a group of draws; those that were not needed go back."""

    def __init__(self, step: UnitStep, generator: torch.Generator | None, places: slice | None) -> None:
        self._step, self._places = step, places
        device = step.exponentials.device
        self._generator = generator or _default_generator(device)
        self._before = self._generator.get_state() if places else None
        if places is not None:
            self._fill(places)

    def keep(self, count: int) -> None:
        """Leave the generator as if only `count` numbers had been drawn."""
        if self._places is not None and self._before is not None:
            self._generator.set_state(self._before)
            self._fill(slice(self._places.start, self._places.start + count))

    def _fill(self, places: slice) -> None:
        # One call for each draw, as torch.multinomial makes it, so that the numbers are the same.
        rows = self._step.exponentials[places]
        for row in rows:
            if self._generator.device == row.device:
                row.exponential_(1, generator=self._generator)
            else:
                noise = torch.empty(row.shape, device=self._generator.device)
                row.copy_(noise.exponential_(1, generator=self._generator))


def _default_generator(device: torch.device) -> torch.Generator:
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        return torch.cuda.default_generators[index]
    if device.type == "mps":
        return torch.mps._get_default_mps_generator()
    return torch.default_generator
