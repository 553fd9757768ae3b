"""TASTE stage 1 as one module: aggregator, residual quantizer and unit decoder on a frozen encoder."""

from collections import defaultdict
from collections.abc import Sequence
from enum import Enum
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from vector_quantize_pytorch import ResidualVQ

from taste_speech.audio_tower.tower import AudioTower
from taste_speech.configuration_sections import TowerConfig
from taste_speech.configuration_taste import TasteConfig
from taste_speech.speech_decoder.decoding import FIRST_CONDITION
from taste_speech.speech_decoder.encoder import descending_offsets, sinusoids
from taste_speech.speech_decoder.unit_decoder import UnitDecoder, UnitPrediction, rows_at
from taste_speech.training.autoencoder.utterances import PROSODY_SIZE
from taste_speech.training.autoencoder.windows import Windows, number_words
from taste_speech.vocoder.phones import PHONES

_REACH = 1.6
"""Tokens around the place of a unit that an aligned head may attend to."""


class Condition(Enum):
    """What the unit decoder gets besides the text."""

    TEXT = "text"
    CONTINUOUS = "continuous"
    QUANTIZED = "quantized"


def _mean_pace_loss(heard: Tensor, true: Tensor, told: Tensor) -> Tensor:
    """Return the squared error of the mean pace of each window over the tokens that are `told`.

    The pace of a single word depends mostly on its position; that of a sentence on how it is spoken.
    All arguments are (batch, tokens).
    """
    count = told.sum(1).clamp(min=1)
    return (((heard - true) * told).sum(1) / count)[told.any(1)].square().mean()


class TasteAutoencoder(nn.Module):
    """Speech of known text -> one quantized vector per word -> speech units."""

    def __init__(self, config: TasteConfig, aligned_heads: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        sections = config.audio_tower_config
        joint, sizes = sections.kwargs_for_joint_encoder_segmenter, sections.kwargs_for_quantizer
        # Only eager attention returns its weights.
        self.tower = AudioTower(config.tower or TowerConfig(), joint, sizes, "eager")
        self.tower.encoder.requires_grad_(False)
        self.tower.quantizer.requires_grad_(False)
        self.quantizer = ResidualVQ(
            dim=sizes.dim,
            codebook_dim=sizes.codebook_dim,
            codebook_size=sizes.codebook_size,
            num_quantizers=sizes.num_quantizers,
            decay=sizes.decay,
            kmeans_init=True,
            kmeans_iters=10,
            threshold_ema_dead_code=1,
        )
        self.decoder = UnitDecoder(config.speech_decoder_config, config.unit_decoding)
        self.prosody = nn.Linear(sizes.dim, PROSODY_SIZE)
        self.aligned_heads: dict[int, list[int]] = defaultdict(list)
        for block, head in aligned_heads:
            self.aligned_heads[block].append(head)
        self.phones = nn.Linear(config.speech_decoder_config.llm_output_size, len(PHONES))
        self.heard_prosody = nn.Linear(config.speech_decoder_config.llm_input_size, PROSODY_SIZE)
        self.said_prosody = nn.Linear(config.speech_decoder_config.llm_output_size, PROSODY_SIZE)
        self.has_tower, self.is_final, self.has_quantizer = (nn.Buffer(torch.tensor(False)) for _ in range(3))

    @torch.no_grad()
    def scale_inputs(self) -> None:
        """Cancel the scale of the input layers in their norms, so that the blocks matter from the start."""
        decoder = self.decoder
        for encoder in (decoder.text_encoder, decoder.audio_token_encoder, decoder.llm):
            nn.init.constant_(cast(Tensor, encoder.embed.out[1].weight), encoder.embed.scale**-1)

    @torch.no_grad()
    def begin_units(self, vectors: Tensor, counts: Tensor) -> None:
        """Initialize the embeddings and outputs of units by their sound, and the output bias by frequency.

        Args:
            vectors: (units, size) with a mean square of 1; similar for units that sound similar.
            counts: (units,) occurrences of each unit.
        """
        decoder, units = self.decoder, len(vectors)
        decoder.speech_embedding.weight.mul_(0.2).add_(vectors)
        head = decoder.llm_decoder
        head.weight[:units] = head.weight[:units] * 0.2 + 2.0 * vectors / vectors.shape[1] ** 0.5
        head.bias[:units] = ((counts + 1) / (counts + 1).sum()).log()
        head.bias[units:] = head.bias[:units].min()

    def prosody_loss(self, vectors: Tensor, windows: Windows) -> Tensor:
        """Return the squared error of the words' prosody as read from their vectors (batch, tokens, dim)."""
        spoken = windows.heard_words >= 0
        return functional.mse_loss(self.prosody(vectors[spoken]).float(), windows.prosody[spoken])

    def words(self, windows: Windows) -> Tensor:
        """Return the aggregated vectors (batch, tokens, dim) of the utterances, before quantization."""
        return self.tower.aggregate(windows.encoded, windows.token_ids, windows.word_ids)

    def listen(self, windows: Windows) -> tuple[Tensor, Tensor]:
        """Return `words`, and the loss of every other head's attention to the frames of each token's word."""
        attention: list[Tensor] = []
        hooks = [
            cast(nn.Module, layer.encoder_attn).register_forward_hook(
                lambda _module, _inputs, output: attention.append(output[1])
            )
            for layer in self.tower.aggregator.layers
        ]
        try:
            vectors = self.words(windows)
        finally:
            for hook in hooks:
                hook.remove()
        prefix = self.tower.joint.skip_prefix_idx
        right = windows.heard_words[..., None] == windows.frame_words[:, None]  # (batch, tokens, frames)
        masses = [
            (weights[:, ::2, prefix:].float() * right[:, None])
            .sum(-1)
            .transpose(1, 2)[windows.heard_words >= 0]
            for weights in attention
        ]
        return vectors, -(torch.stack(masses) + 1e-4).log().mean()

    def quantize(self, vectors: Tensor, word_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Quantize one vector per word; return (batch, tokens, dim) and the commitment loss."""
        starts, words = number_words(word_ids)
        output, _, commitment = self.quantizer(vectors[starts].float()[None])
        return output[0][words], commitment.sum()

    def condition(
        self, windows: Windows, kind: Condition, dropped: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the audio vectors of the windows (batch, longest window, dim), and their losses.

        Args:
            windows: a batch.
            kind: of the audio vectors.
            dropped: (batch,) true where the audio is withheld (zeros); None: nowhere.
        """
        if kind is Condition.TEXT:
            shape = (*windows.token_ids.shape, self.tower.config.d_model)
            nothing = torch.zeros(shape, device=windows.token_ids.device)
            return windows.cut(nothing), {}
        losses: dict[str, Tensor] = {}
        if windows.taste_ids is not None:
            with torch.no_grad():
                vectors = self.tower.quantizer.output_from_indices(windows.taste_ids)
        elif bool(self.is_final):
            with torch.no_grad():
                vectors, _ = self.tower.quantizer.quantize(self.words(windows).float())
        else:
            vectors, losses["listening"] = self.listen(windows)
            if kind is Condition.QUANTIZED:
                vectors, losses["commitment"] = self.quantize(vectors, windows.heard_words)
            losses["prosody"] = self.prosody_loss(vectors, windows)
        withheld = ~windows.is_heard if dropped is None else dropped | ~windows.is_heard
        return windows.cut(vectors.masked_fill(withheld[:, None, None], 0.0)), losses

    def predict(
        self, windows: Windows, audio: Tensor, heard_units: Tensor, speaker: Tensor
    ) -> tuple[UnitPrediction, dict[str, Tensor]]:
        """Return the teacher-forced prediction, and auxiliary losses.

        The losses teach which token and which phone is being said. Without those of prosody and pace, read
        from the condition rows and at each unit, the decoder relies on the text and ignores the taste tokens.

        Args:
            windows: a batch.
            audio: (batch, longest window, dim) from `condition`.
            heard_units: (batch, units) input units (with noise in training).
            speaker: (1, speaker width).
        """
        decoder = self.decoder
        ids = windows.cut(windows.token_ids)
        tokens, units = ids.shape[1], heard_units.shape[1]
        condition = decoder.encode_condition(ids, audio, windows.n_tokens)
        prefix = decoder.prefix(speaker.expand(len(ids), -1), condition)
        rows, places = decoder.lay_out(prefix, windows.n_tokens, heard_units)
        hidden, attention = self._language_model(rows)
        outputs = rows_at(hidden, places)
        numbers = torch.arange(units, device=ids.device)
        valid = numbers < windows.n_units[:, None]
        right = self._being_said(windows)
        to_tokens = slice(FIRST_CONDITION, FIRST_CONDITION + tokens)
        masses = [
            (rows_at(weights, places[:, :-1])[..., to_tokens].float() * right).sum(-1)[valid]
            for weights in attention
        ]
        phones = self.phones(outputs[:, :-1][valid]).float()
        losses = {
            "alignment": -(torch.stack(masses) + 1e-4).log().mean(),
            "phones": functional.cross_entropy(phones, windows.unit_phones[valid]),
        }
        told = audio.abs().sum(-1) > 0
        if bool(told.any()):
            heard, true = self.heard_prosody(condition).float(), windows.cut(windows.prosody)
            losses["heard_prosody"] = functional.mse_loss(heard[told], true[told])
            losses["heard_pace"] = _mean_pace_loss(heard[..., 0], true[..., 0], told)
            # Given units may have another pace than their word says.
            learned = valid & told.any(1)[:, None] & (numbers >= windows.n_given[:, None])
            said = self.said_prosody(outputs[:, :-1][learned]).float()
            losses["said_prosody"] = functional.mse_loss(said, windows.unit_prosody[learned])
        targets = decoder.unit_targets(windows.unit_ids, windows.n_units, windows.n_given)
        return UnitPrediction(decoder.llm_decoder(outputs), targets), losses

    @staticmethod
    def _being_said(windows: Windows) -> Tensor:
        """Return (batch, units, longest window): true for tokens of a unit's word that are near the unit."""
        word_ids = windows.cut(windows.word_ids)
        numbers = torch.arange(word_ids.shape[1], device=word_ids.device) + windows.first_token[:, None]
        near = (windows.unit_places[..., None] - numbers[:, None]).abs() <= _REACH
        return near & (windows.unit_words[..., None] == word_ids[:, None])

    def _language_model(self, rows: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Run the decoder's `llm`; return its output, and attention (batch, rows, rows) of aligned heads."""
        llm, length = self.decoder.llm, rows.shape[1]
        vectors = sinusoids(descending_offsets(length - 1, 0, rows.device), llm.settings.size)
        mask = torch.ones((length, length), dtype=torch.bool, device=rows.device).tril()
        hidden, attention = llm.embed(rows), []
        for index, block in enumerate(llm.blocks):
            positions = block.self_attn.project_positions(vectors)
            hidden, weights = block(hidden, positions, mask, wants_weights=index in self.aligned_heads)
            if weights is not None:
                attention += [weights[:, head] for head in self.aligned_heads[index]]
        return llm.after_norm(hidden), attention

    def finish_tower(self) -> None:
        """Freeze all but the unit decoder: taste tokens are final."""
        self.export_quantizer()
        for part in (self.tower, self.quantizer, self.prosody):
            part.requires_grad_(False)
        self.is_final.fill_(True)

    @torch.no_grad()
    def export_quantizer(self) -> None:
        """Copy the quantizer, if it was trained here, to `tower.quantizer`, which inference uses."""
        if not bool(self.has_quantizer):
            return
        own, trained = self.tower.quantizer, self.quantizer
        for name in ("project_in", "project_out"):
            getattr(own, name).load_state_dict(getattr(trained, name).state_dict())
        own.codebooks.copy_(torch.stack([layer._codebook.embed[0] for layer in trained.layers]))
