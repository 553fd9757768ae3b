"""The tower trained as a recogniser: Whisper encoder and decoder, and two heads that only training needs.

One is CTC on the last hidden state. The other tells the pitch from the layer whose states become the
aggregator's values: a recogniser has no use for the pitch and its first convolution drops it, and what is not
in the values no taste token can carry.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.whisper.modeling_whisper import WhisperDecoder, WhisperEncoder

from taste_speech.audio_tower.configuration import TowerConfig
from taste_speech.audio_tower.encoder import EncodedAudio, additive_mask, encode_features, whisper_config
from taste_speech.training.batching import pad_ids

PITCH_CENTRE_HZ, PITCH_OCTAVES = 140.0, 0.25
"""The pitch is told in units of so many octaves from the centre."""


class Recogniser(nn.Module):
    """Encoder and decoder with Whisper's parameter names, logits by the tied embedding.

    The CTC blank is the end-of-text id, which CTC has no other use for.

    Args:
        config: sizes.
        dropout: of both, while training.
        value_layer: index of the layer whose input tells the pitch; None: the last hidden state.
    """

    def __init__(self, config: TowerConfig, dropout: float = 0.0, value_layer: int | None = None) -> None:
        super().__init__()
        self.config = config
        self.value_layer = config.encoder_layers if value_layer is None else value_layer
        whisper = whisper_config(config, "eager")  # much faster than SDPA to differentiate on a CPU
        whisper.dropout = dropout
        self.encoder = WhisperEncoder(whisper)
        self.decoder = WhisperDecoder(whisper)
        self.ctc = nn.Linear(config.d_model, config.vocab_size)
        self.pitch = nn.Linear(config.d_model, 2)

    def encode(self, features: Tensor, n_frames: Tensor | None = None) -> EncodedAudio:
        """(batch, mel frames, bins) log-mel, of `n_frames` each -> encoder states."""
        return encode_features(self.encoder, features, self.value_layer, n_frames)

    def decode(self, token_ids: Tensor, encoded: EncodedAudio) -> Tensor:
        """Next-token logits (batch, tokens, vocabulary)."""
        # The layers are run here because Whisper's decoder has no mask over the encoder's frames.
        decoder, length = self.decoder, token_ids.shape[1]
        hidden = decoder.embed_tokens(token_ids) + decoder.embed_positions.weight[:length]
        causal = additive_mask(torch.ones(length, length, device=hidden.device).tril().bool(), hidden.dtype)
        frames = None if encoded.mask is None else additive_mask(encoded.mask, hidden.dtype)
        for layer in decoder.layers:
            hidden = layer(
                hidden,
                causal.transpose(0, 2),
                encoder_hidden_states=encoded.keys,
                encoder_attention_mask=frames,
                use_cache=False,
            )
        return decoder.layer_norm(hidden) @ decoder.embed_tokens.weight.T

    def losses(
        self,
        features: Tensor,
        n_frames: Tensor,
        token_ids: list[list[int]],
        ctc_weight: float,
        smoothing: float,
        f0_hz: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Attention cross-entropy and weighted CTC of a batch, and the error of the pitch where it is given.

        Args:
            features, n_frames: log-mel, (batch, mel frames, bins) and (batch,).
            token_ids: of each item.
            ctc_weight: of the CTC; the attention has the rest.
            smoothing: of the attention's targets.
            f0_hz: (batch, encoder frames), 0 where unvoiced, negative on padding.
        """
        config = self.config
        encoded = self.encode(features, n_frames)
        inputs = pad_ids([[*config.prefix_ids, *ids] for ids in token_ids], config.eos_id)
        ignored = [-100] * (len(config.prefix_ids) - 1)
        targets = pad_ids([[*ignored, *ids, config.eos_id] for ids in token_ids], -100)
        device = features.device
        logits = self.decode(inputs.to(device), encoded).float()
        attention = functional.cross_entropy(
            logits.flatten(0, 1), targets.to(device).flatten(), ignore_index=-100, label_smoothing=smoothing
        )
        log_probs = self.ctc(encoded.keys).float().log_softmax(-1).transpose(0, 1)
        ctc = functional.ctc_loss(
            log_probs,
            torch.tensor([i for ids in token_ids for i in ids]),
            (n_frames + 1) // 2,
            torch.tensor([len(ids) for ids in token_ids]),
            blank=config.eos_id,
            zero_infinity=True,
        )
        losses = {"attention": attention * (1 - ctc_weight), "ctc": ctc * ctc_weight}
        return losses if f0_hz is None else losses | {"pitch": self.pitch_loss(encoded, f0_hz)}

    def pitch_loss(self, encoded: EncodedAudio, f0_hz: Tensor) -> Tensor:
        """Error of pitch (smooth L1, on voiced frames) and of voicing (cross-entropy), told from the values.

        Args:
            f0_hz: (batch, encoder frames), 0 where unvoiced, negative on padding.
        """
        height, voicing = self.pitch(encoded.values).float().unbind(-1)
        known, voiced = f0_hz >= 0, f0_hz > 0
        wanted = torch.log2(f0_hz[voiced] / PITCH_CENTRE_HZ) / PITCH_OCTAVES
        # The sums of no frames at all are 0, their means would not be numbers.
        error = functional.smooth_l1_loss(height[voiced], wanted, reduction="sum") / voiced.sum().clamp(min=1)
        return error + functional.binary_cross_entropy_with_logits(voicing[known], voiced[known].float())

    @torch.no_grad()
    def greedy(self, features: Tensor, n_frames: Tensor, max_tokens: int = 200) -> list[list[int]]:
        """Most probable token after token, until the end-of-text id."""
        encoded = self.encode(features, n_frames)
        prefix = torch.tensor(self.config.prefix_ids, device=features.device)
        ids = prefix.expand(features.shape[0], -1)
        ended = torch.zeros(features.shape[0], dtype=torch.bool, device=features.device)
        for _ in range(max_tokens):
            best = self.decode(ids, encoded)[:, -1].argmax(-1)
            ended = ended | (best == self.config.eos_id)
            ids = torch.cat([ids, best.masked_fill(ended, self.config.eos_id)[:, None]], 1)
            if bool(ended.all()):
                break
        return [[i for i in row if i != self.config.eos_id] for row in ids[:, len(prefix) :].tolist()]

    @torch.no_grad()
    def ctc_greedy(self, encoded: EncodedAudio) -> list[list[int]]:
        """Most probable CTC path, repetitions and blanks removed."""
        best = self.ctc(encoded.keys).argmax(-1)
        if encoded.mask is not None:
            best = best.masked_fill(~encoded.mask, self.config.eos_id)
        rows = [torch.unique_consecutive(row).tolist() for row in best]
        return [[i for i in row if i != self.config.eos_id] for row in rows]
