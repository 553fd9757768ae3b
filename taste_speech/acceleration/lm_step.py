"""One row through the spoken LM over fixed buffers: embedding, fusion, Llama, head and taste token."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from taste_speech.acceleration.replay import Replay
from taste_speech.audio_tower.quantizer import NO_TASTE, ResidualQuantizer
from taste_speech.spoken_lm.kv_cache import GrowingCache

if TYPE_CHECKING:
    from taste_speech.acceleration.settings import Acceleration
    from taste_speech.spoken_lm.language_model import SpokenLM

_INPUTS = 2  # text id and position, before the codes


class LmStep:
    """The step of one conversation; its cache's buffers belong to the recording.

    Args:
        lm, quantizer: the weights.
        cache: holds at least one row before each step.
        settings: sizes.
    """

    def __init__(
        self, lm: "SpokenLM", quantizer: ResidualQuantizer, cache: GrowingCache, settings: "Acceleration"
    ) -> None:
        self._lm, self._quantizer, self._cache, self._settings = lm, quantizer, cache, settings
        device = lm.pad_audio_unit_embed.device
        config = lm.language_model.config
        levels = quantizer.num_quantizers
        with torch.inference_mode(False), torch.no_grad():
            self._inputs = torch.zeros(_INPUTS + levels, dtype=torch.long, device=device)
            self.hidden = torch.zeros(1, 1, config.hidden_size, dtype=lm.dtype, device=device)
            """(1, 1, hidden) state of the newest row."""
            self.logits = torch.zeros(config.vocab_size, dtype=lm.dtype, device=device)
            """(vocabulary,) text logits after the newest row."""
            self.codes = torch.zeros(levels, dtype=torch.long, device=device)
            """(levels,) the taste token that the newest row yields."""
        self._replays: dict[int, Replay] = {}
        self._recorded_at = 0

    @torch.inference_mode()
    def run(self, text_id: int, taste: tuple[int, ...] | None) -> None:
        """Add one fused row to the cache; the outputs are in `hidden`, `logits` and `codes`."""
        cache, position = self._cache, self._cache.get_seq_length()
        cache.make_room(position + 1)
        if self._recorded_at != cache.address:  # the buffers moved: recordings know the old ones
            self._replays.clear()
            self._recorded_at = cache.address
        rows = self._rows_for(position + 1)
        if rows not in self._replays:
            # Recording writes at the position of the inputs: the row that comes now overwrites it.
            self._set_inputs(text_id, position, taste)
            self._replays[rows] = Replay(lambda: self._body(rows), self._inputs.device)
        self._set_inputs(text_id, position, taste)
        self._replays[rows]()
        cache.advance()

    def _rows_for(self, needed: int) -> int:
        capacity = self._cache.capacity
        fitting = [rows for rows in self._settings.lm_buckets if needed <= rows < capacity]
        return min(fitting, default=capacity)

    def _set_inputs(self, text_id: int, position: int, taste: tuple[int, ...] | None) -> None:
        codes = taste or (NO_TASTE,) * self._quantizer.num_quantizers
        self._inputs.copy_(torch.tensor([text_id, position, *codes]))

    def _body(self, rows: int) -> None:
        lm, llama, position = self._lm, self._lm.language_model.model, self._inputs[1:2]
        codes = self._inputs[None, None, _INPUTS:]
        audio = self._quantizer.output_from_indices(codes)
        audio = torch.where(codes[..., :1] == NO_TASTE, lm.pad_audio_unit_embed.to(audio.dtype), audio)
        x = lm.fuse(lm.embed_text(self._inputs[None, :1]), audio)
        rotary = llama.rotary_emb(x, position_ids=position[None])
        later = torch.arange(rows, device=x.device) > position
        mask = torch.zeros(rows, dtype=x.dtype, device=x.device)
        mask = mask.masked_fill(later, torch.finfo(x.dtype).min)[None, None, None]
        window = _Window(self._cache, position, rows)
        for layer in llama.layers:
            x = layer(
                x, attention_mask=mask, past_key_values=window, use_cache=True, position_embeddings=rotary
            )
        hidden = llama.norm(x)
        self.hidden.copy_(hidden)
        self.logits.copy_(lm.language_model.lm_head(hidden)[0, 0])
        self.codes.copy_(self._quantizer.indices_from_code(lm.read_taste(hidden))[0, 0])


class _Window:
    """What an attention layer sees as its cache: the first rows, the new one written at its position."""

    def __init__(self, cache: GrowingCache, position: Tensor, rows: int) -> None:
        self._cache, self._position, self._rows = cache, position, rows

    def update(self, keys: Tensor, values: Tensor, layer_index: int) -> tuple[Tensor, Tensor]:
        """Write (1, heads, 1, head dim); returns the first rows' keys and values."""
        both = self._cache.buffers(layer_index)
        for buffer, new in zip(both, (keys, values), strict=True):
            buffer.index_copy_(2, self._position, new)
        return both[0][:, :, : self._rows], both[1][:, :, : self._rows]
