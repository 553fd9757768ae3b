"""The spoken language model, a Llama whose input carries text and taste and whose output yields both."""

import copy
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn
from transformers import Cache, LlamaConfig, LlamaForCausalLM
from transformers.cache_utils import DynamicLayer
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from taste_speech.configuration_taste import TasteConfig

_FIRST_CAPACITY = 64


class ConversationCache(Protocol):
    """Keys and values of a conversation that can be truncated and copied."""

    def keep(self, rows: int) -> None:
        """Forget all rows except the first `rows`."""

    def clone(self) -> Self:
        """Return an independent copy."""


class GrowingLayer(DynamicLayer):
    """Keys and values of one layer in a buffer that doubles when it is full.

    A step costs the same no matter how long the history is; transformers' own layer copies all of it.
    """

    is_sliding = False
    is_initialized: bool
    keys: Any
    values: Any

    def __init__(self) -> None:
        super().__init__()
        self.length = 0

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Append (batch, heads, rows, head dim); return the keys and values of all rows so far."""
        begin, end = self.length, self.length + key_states.shape[-2]
        if not self.is_initialized or end > self.keys.shape[-2]:
            self._grow(key_states, value_states, end)
        self.keys[..., begin:end, :] = key_states
        self.values[..., begin:end, :] = value_states
        self.length = end
        return self.keys[..., :end, :], self.values[..., :end, :]

    def get_seq_length(self) -> int:
        """Return the number of rows."""
        return self.length

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return length and offset of the keys that `query_length` new rows attend to."""
        return self.length + query_length, 0

    def _grow(self, keys: Tensor, values: Tensor, needed: int) -> None:
        self.dtype, self.device = keys.dtype, keys.device
        capacity = max(needed, _FIRST_CAPACITY, 2 * self.length)
        for name, new in (("keys", keys), ("values", values)):
            buffer = new.new_zeros(*new.shape[:-2], capacity, new.shape[-1])
            if self.length:
                buffer[..., : self.length, :] = getattr(self, name)[..., : self.length, :]
            setattr(self, name, buffer)
        self.is_initialized = True


class GrowingCache(Cache):
    """`GrowingLayer`s for all layers of a model. Not for training: rows are written in place."""

    def __init__(self, num_layers: int) -> None:
        super().__init__(layers=[GrowingLayer() for _ in range(num_layers)])

    def keep(self, rows: int) -> None:
        """Forget all rows except the first `rows`."""
        for layer in self.layers:
            layer.length = min(layer.length, rows)

    def clone(self) -> Self:
        """Return an independent copy."""
        return copy.deepcopy(self)


class Fusion(nn.Module):
    """Weighted sum of a text embedding and a projected audio embedding.

    fused = w[0] * linear(audio) + w[1] * text with w = softmax(weights); index 0 is audio.
    """

    def __init__(self, audio_size: int, hidden_size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(audio_size, hidden_size)
        # Training starts from a text model, so almost all of the weight is on the text.
        self.weights = nn.Parameter(torch.tensor([-2.0, 2.0]))

    def forward(self, text_embeds: Tensor, audio_embeds: Tensor) -> Tensor:
        """Fuse (..., hidden) with (..., audio_size) in float32; return (..., hidden)."""
        weights = self.weights.float().softmax(-1)
        return weights[0] * self.linear(audio_embeds.float()) + weights[1] * text_embeds.float()


class Extraction(nn.Module):
    """Gaussian head that reads a taste vector (before quantization) from an LLM hidden state."""

    def __init__(self, hidden_size: int, codebook_dim: int) -> None:
        super().__init__()
        self.fc_mu = nn.Linear(hidden_size, codebook_dim)
        self.b_logvar = nn.Parameter(torch.zeros(codebook_dim))

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance, each (..., codebook_dim) float32, for hidden states (..., hidden)."""
        mu = self.fc_mu(hidden.float())
        return mu, self.b_logvar.float().expand_as(mu)


class RowRunner(Protocol):
    """A replacement of the plain Llama for some rows."""

    def new_cache(self) -> ConversationCache:
        """Return an empty cache; the caller owns it."""

    def run(self, x: Tensor, cache: ConversationCache, last_only: bool) -> tuple[Tensor, Tensor] | None:
        """Run rows as `SpokenLM.forward` does; return None for rows or caches that it does not handle."""


class SpokenLM(nn.Module):
    """Llama with a fusion layer before it and an extraction layer after it."""

    def __init__(self, config: TasteConfig) -> None:
        super().__init__()
        config.spoken_lm_config.check_supported("spoken_lm_config")
        text: LlamaConfig = config.text_config
        quantizer = config.audio_tower_config.kwargs_for_quantizer
        self._round_rotary = config.vocabulary.round_rotary_to_bf16
        self.taste_deviations = config.spoken_lm_config.taste_deviations
        self.sos_id: int = config.spoken_lm_config.sos_id
        self.row_runner: RowRunner | None = None
        """Replacement of the plain Llama, if there is one."""
        self.language_model = LlamaForCausalLM(text)
        self.fusion = Fusion(quantizer.dim, text.hidden_size)
        self.extraction = Extraction(text.hidden_size, quantizer.codebook_dim)
        self.pad_text_unit_embed = nn.Parameter(torch.zeros(text.hidden_size))
        self.pad_audio_unit_embed = nn.Parameter(torch.zeros(quantizer.dim))
        self.reset_rotary()

    def reset_rotary(self) -> None:
        """Compute the rotary frequencies, which checkpoints do not store, on the device of the weights.

        The published model was trained with frequencies rounded to bfloat16 and angles in float32.
        """
        with torch.device(self.pad_text_unit_embed.device):
            rotary = LlamaRotaryEmbedding(self.language_model.config)
        if self._round_rotary:
            rotary.inv_freq = rotary.inv_freq.bfloat16().float()
            rotary.original_inv_freq = rotary.inv_freq.clone()
        self.language_model.model.rotary_emb = rotary

    @property
    def dtype(self) -> torch.dtype:
        """Data type of the Llama's weights."""
        return self.language_model.model.norm.weight.dtype

    def new_cache(self) -> ConversationCache:
        """Return an empty key-value cache for `forward`; the caller owns it."""
        if self.row_runner is not None:
            return self.row_runner.new_cache()
        return GrowingCache(self.language_model.config.num_hidden_layers)

    def embed_text(self, text_ids: Tensor) -> Tensor:
        """Return the text embeddings (..., hidden) of ids (...)."""
        return self.language_model.model.embed_tokens(text_ids)

    def sos_row(self) -> Tensor:
        """Return the first row (1, 1, hidden), which is not fused."""
        return self.embed_text(torch.tensor([[self.sos_id]], device=self.pad_text_unit_embed.device))

    def fuse(self, text_embeds: Tensor, audio_embeds: Tensor) -> Tensor:
        """Fuse text embeddings (..., hidden) with audio embeddings (..., width), in the Llama's dtype."""
        return self.fusion(text_embeds, audio_embeds).to(self.dtype)

    def forward(
        self, inputs_embeds: Tensor, cache: ConversationCache | None = None, last_only: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Run rows through the Llama.

        Args:
            inputs_embeds: (B, S, hidden) new rows.
            cache: keys and values of earlier rows, extended in place; None: there are no earlier rows.
            last_only: whether to compute only the last row's outputs, as generation needs after a prefill.

        Returns:
            hidden states after the final norm (B, S or 1, hidden) and text logits (B, S or 1, vocabulary).
        """
        inputs_embeds = inputs_embeds.to(self.dtype)
        if self.row_runner is not None and cache is not None:
            outputs = self.row_runner.run(inputs_embeds, cache, last_only)
            if outputs is not None:
                return outputs
        output = self.language_model.model(
            inputs_embeds=inputs_embeds, past_key_values=cache, use_cache=cache is not None
        )
        hidden = output.last_hidden_state[:, -1:] if last_only else output.last_hidden_state
        return hidden, self.language_model.lm_head(hidden)

    def read_taste(self, hidden: Tensor) -> Tensor:
        """Return the taste vector z = mu + k sigma (..., codebook_dim), to be quantized.

        The published model adds the standard deviation (k = 1) at inference instead of sampling with it; see
        `SpokenLMConfig.taste_deviations`.
        """
        mu, logvar = self.extraction(hidden)
        return mu + self.taste_deviations * torch.exp(0.5 * logvar)
