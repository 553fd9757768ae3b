"""The spoken LM's cache for one conversation: the rows that it has read, and their keys and values."""

from collections.abc import Sequence

import torch
from torch import Tensor

from taste_speech.audio_tower.quantizer import NO_TASTE, ResidualQuantizer
from taste_speech.spoken_lm.language_model import SpokenLM
from taste_speech.spoken_lm.scoring import embed_rows
from taste_speech.streaming.layout import Row


class RowCache:
    """Rows that the LM has read, their keys and values, and the outputs of the last row.

    `advance_to` takes the whole history, drops cached rows that no longer belong to it, and computes only the
    new ones. Cutting a reply, dropping a turn and continuing to listen need nothing else.
    """

    def __init__(self, lm: SpokenLM, quantizer: ResidualQuantizer) -> None:
        self._lm = lm
        self._quantizer = quantizer
        self._cache = lm.new_cache()
        self._rows: list[Row] = []
        self._hidden: Tensor | None = None
        self._logits: Tensor | None = None
        self.forwarded_rows = 0
        """Number of rows computed so far, the cost of the conversation."""

    @property
    def rows(self) -> tuple[Row, ...]:
        """The cached rows."""
        return tuple(self._rows)

    @property
    def logits(self) -> Tensor:
        """Text logits after the last row: (vocabulary,)."""
        if self._logits is None:
            raise RuntimeError("no row has been computed; call advance_to first")
        return self._logits

    @torch.inference_mode()
    def read_taste(self) -> tuple[int, ...]:
        """Return the taste token of the word that ends with the last row."""
        if self._hidden is None:
            raise RuntimeError("no row has been computed; call advance_to first")
        return tuple(self._quantizer.indices_from_code(self._lm.read_taste(self._hidden))[0, 0].tolist())

    def advance_to(self, rows: Sequence[Row]) -> int:
        """Cache exactly `rows` and the outputs of the last one; return how many rows were computed."""
        kept = _common_prefix(self._rows, rows)
        if kept == len(rows) == len(self._rows) and self._logits is not None:
            return 0
        kept = min(kept, len(rows) - 1)  # the last row is always computed, because its outputs are needed
        self._cache.keep(kept)
        del self._rows[kept:]
        self._forward(rows[kept:])
        return len(rows) - kept

    def append(self, row: Row) -> None:
        """Add one row."""
        self._forward([row])

    def clone(self) -> "RowCache":
        """Return an independent copy."""
        other = RowCache(self._lm, self._quantizer)
        other._cache = self._cache.clone()
        other._rows = list(self._rows)
        other._hidden, other._logits = self._hidden, self._logits
        other.forwarded_rows = self.forwarded_rows
        return other

    def reset(self) -> None:
        """Forget everything."""
        self._cache = self._lm.new_cache()
        self._rows.clear()
        self._hidden = self._logits = None

    @torch.inference_mode()
    def _forward(self, rows: Sequence[Row]) -> None:
        hidden, logits = self._lm(self._embed(rows), self._cache, last_only=True)
        self._hidden, self._logits = hidden, logits[0, -1]
        self._rows += rows
        self.forwarded_rows += len(rows)

    def _embed(self, rows: Sequence[Row]) -> Tensor:
        """Return the input rows (1, R, hidden); the first row of a conversation is not fused."""
        device = self._lm.pad_audio_unit_embed.device
        none = (NO_TASTE,) * self._quantizer.num_quantizers
        text_ids = torch.tensor([[row.text_id for row in rows]], device=device)
        taste_ids = torch.tensor([[row.taste or none for row in rows]], device=device)
        return embed_rows(self._lm, self._quantizer, text_ids, taste_ids, begins=not self._rows)


def _common_prefix(held: Sequence[Row], wanted: Sequence[Row]) -> int:
    for index, (old, new) in enumerate(zip(held, wanted, strict=False)):
        if old != new:
            return index
    return min(len(held), len(wanted))
