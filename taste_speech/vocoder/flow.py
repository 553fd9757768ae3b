"""Conditional flow matching (Lipman et al., 2023): speech units -> mel frames.

Training follows optimal-transport paths with classifier-free guidance (Ho and Salimans, 2022); both
halves of the guidance are one batch of two.
"""

import itertools
import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from taste_speech.speech_decoder.encoder import EncoderSettings, RelativeEncoder
from taste_speech.speech_decoder.phone_embedding import PhoneEmbedding
from taste_speech.vocoder.configuration import FlowConfig, VoiceGeneratorConfig
from taste_speech.vocoder.frames import LengthRegulator, frame_mask, masked, stretched_units
from taste_speech.vocoder.unet import Estimator


class FlowRunner(Protocol):
    """Another way to solve the flow."""

    def solve(
        self,
        flow: "FlowMatching",
        noise: Tensor,
        condition: Tensor,
        speaker: Tensor,
        prompt: Tensor,
        known: Tensor | None,
        is_known: Tensor | None,
        num_steps: int,
    ) -> Tensor:
        """Solve as `FlowMatching.integrate` does without a mask."""


class FlowMatching(nn.Module):
    """The ordinary differential equation from noise to mel, and its training loss."""

    def __init__(self, mel_bins: int, config: FlowConfig) -> None:
        super().__init__()
        self.config = config
        self.estimator = Estimator(mel_bins, config.estimator)
        self.runner: FlowRunner | None = None
        """Solves in the place of `integrate`, where there is one."""

    def times(self, num_steps: int, device: torch.device) -> Tensor:
        """(num_steps + 1,) from `start` to 1, dense at its beginning: 1 - cos(pi/2 k/n) of the way."""
        passed = 1 - torch.cos(torch.linspace(0, 1, num_steps + 1, device=device) * (math.pi / 2))
        return self.config.start + (1 - self.config.start) * passed

    def forward(
        self,
        noise: Tensor,
        condition: Tensor,
        speaker: Tensor,
        known: Tensor | None = None,
        mask: Tensor | None = None,
        num_steps: int | None = None,
    ) -> Tensor:
        """Solve the flow with Euler steps.

        Args:
            noise: (batch, bins, frames), standard normal.
            condition: (batch, bins, frames).
            speaker: (batch, bins).
            known: (batch, bins, k) mel of the first k frames; they stay on the path to it, so that the
                other frames go on from there. None: nothing is known.
            mask: (batch, 1, frames); None: all frames are valid.
            num_steps: None takes the configured number.

        Returns:
            mel, (batch, bins, frames).
        """
        steps = num_steps or self.config.num_steps
        prompt, is_known = torch.zeros_like(condition), None
        if known is not None:
            frames = known.shape[-1]
            known = F.pad(self._normalized(known), (0, noise.shape[-1] - frames))
            is_known = torch.arange(noise.shape[-1], device=noise.device) < frames
            if self.config.known_frames_as_prompt:
                prompt = known
        if self.runner is not None and mask is None:
            x = self.runner.solve(self, noise, condition, speaker, prompt, known, is_known, steps)
        else:
            x = self.integrate(noise, condition, speaker, prompt, known, is_known, mask, steps)
        return x * self.config.mel_std + self.config.mel_mean

    def integrate(
        self,
        noise: Tensor,
        condition: Tensor,
        speaker: Tensor,
        prompt: Tensor,
        known: Tensor | None,
        is_known: Tensor | None,
        mask: Tensor | None,
        num_steps: int,
    ) -> Tensor:
        """Take Euler steps in the flow's own scale; nothing in them depends on values.

        Args:
            noise, condition, prompt, known: (batch, bins, frames); known as far as `is_known` says.
            speaker: (batch, bins).
            is_known: (frames,) booleans.
            mask: (batch, 1, frames).
            num_steps: Euler steps.
        """
        rate = self.config.cfg_rate
        if rate > 0:
            # The second half of the batch is unconditioned.
            condition, speaker, prompt = (
                torch.cat([given, torch.zeros_like(given)]) for given in (condition, speaker, prompt)
            )
            mask = None if mask is None else torch.cat([mask, mask])
        times = self.times(num_steps, noise.device).to(noise.dtype)

        def velocity(x: Tensor, step: int) -> Tensor:
            state = torch.cat([x, x]) if rate > 0 else x
            return self.estimator(state, condition, times[step].expand(len(state)), speaker, prompt, mask)

        return self.euler(velocity, noise, condition[: len(noise)], times, known, is_known)

    def euler(
        self,
        velocity: Callable[[Tensor, int], Tensor],
        noise: Tensor,
        condition: Tensor,
        times: Tensor,
        known: Tensor | None,
        is_known: Tensor | None,
    ) -> Tensor:
        """Take Euler steps with guidance, in any layout of frames and bins.

        Args:
            velocity: of a state at the start of a step; with guidance conditioned and unconditioned ones.
            noise, condition, known: (batch, ...); known as far as `is_known` says.
            times: (steps + 1,).
            is_known: booleans that broadcast to `noise`.
        """
        rate, first = self.config.cfg_rate, self.config.start
        x = (1 - first) * noise + first * condition
        if known is not None and is_known is not None:
            x = torch.where(is_known, (1 - first) * noise + first * known, x)
        for step, (start, end) in enumerate(itertools.pairwise(times)):
            change = velocity(x, step)
            if rate > 0:
                conditioned, unconditioned = change.chunk(2)
                change = (1 + rate) * conditioned - rate * unconditioned
            x = x + (end - start) * change
            if known is not None and is_known is not None:
                x = torch.where(is_known, (1 - end) * noise + end * known, x)
        return x

    def _normalized(self, mel: Tensor) -> Tensor:
        return (mel - self.config.mel_mean) / self.config.mel_std

    def loss(
        self,
        mel: Tensor,
        condition: Tensor,
        speaker: Tensor,
        mask: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return the mean squared error of the velocity at random times on the path from noise to `mel`."""
        batch = len(mel)
        mel = masked(self._normalized(mel), mask)
        device = generator.device if generator is not None else mel.device
        uniform = torch.rand((3, batch, 1, 1), generator=generator, device=device).to(mel.device)
        noise = torch.randn(mel.shape, generator=generator, device=device).to(mel)
        time = 1 - torch.cos(uniform[0] * (math.pi / 2))
        rest = 1 - self.config.sigma_min
        state = (1 - rest * time) * noise + time * mel
        prompt = self._prompt(mel, mask, uniform[1])
        kept = uniform[2] > self.config.condition_dropout
        velocity = self.estimator(
            masked(state, mask),
            condition * kept,
            time.flatten(),
            speaker * kept[:, :, 0],
            prompt * kept,
            mask,
        )
        return _mean_square(velocity - (mel - rest * noise), mask)

    def distance(self, condition: Tensor, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the mean squared distance of a condition from the mel, in the flow's own scale."""
        return _mean_square(condition - self._normalized(mel), mask)

    def _prompt(self, mel: Tensor, mask: Tensor | None, uniform: Tensor) -> Tensor:
        """`mel` at the beginning of some items (a random share of their frames), else zero."""
        share = (1 - uniform / max(self.config.prompt_rate, 1e-6)).clamp(min=0) * self.config.prompt_share
        frames = mel.shape[-1] if mask is None else mask.sum(-1, keepdim=True)
        known = torch.arange(mel.shape[-1], device=mel.device) < share * frames
        return mel * known


def _mean_square(errors: Tensor, mask: Tensor | None) -> Tensor:
    """Return the mean square of (batch, bins, frames) over the valid frames."""
    batch, bins, frames = errors.shape
    count = batch * frames if mask is None else mask.sum()
    return masked(errors.square(), mask).sum() / (count * bins)


class Flow(nn.Module):
    """Units and a speaker -> mel frames; attribute names are the published ones below `flow.`."""

    def __init__(self, config: VoiceGeneratorConfig) -> None:
        super().__init__()
        self.config = config
        encoder = config.flow.encoder
        if config.flow.phones:
            self.phone_embedding = PhoneEmbedding(encoder.input_size, pitched=True)
        else:
            self.input_embedding = nn.Embedding(config.unit_vocab_size, encoder.input_size)
        self.spk_embed_affine_layer = nn.Linear(config.speaker_embed_dim, config.mel_bins)
        self.encoder = RelativeEncoder(
            EncoderSettings(
                input_size=encoder.input_size,
                size=encoder.output_size,
                heads=encoder.attention_heads,
                linear_units=encoder.linear_units,
                blocks=encoder.num_blocks,
                causal=False,
                # Speech has more frames than the encoder can learn by heart.
                dropout=0.0,
                positional_dropout=0.0,
            )
        )
        self.encoder_proj = nn.Linear(encoder.output_size, config.mel_bins)
        self.length_regulator = LengthRegulator(config.mel_bins, config.flow.length_regulator_convs)
        self.decoder = FlowMatching(config.mel_bins, config.flow)

    def speaker_vector(self, speaker_embeds: Tensor) -> Tensor:
        """(batch, speaker width) of any norm -> (batch, bins)."""
        return self.spk_embed_affine_layer(F.normalize(speaker_embeds, dim=-1))

    def encode(self, unit_ids: Tensor, unit_counts: Tensor | None = None) -> Tensor:
        """(batch, units), of which `unit_counts` (batch,) are valid -> (batch, units, encoder width)."""
        embedding = self.phone_embedding if self.config.flow.phones else self.input_embedding
        x = embedding(unit_ids.clamp(min=0))
        if unit_counts is not None:
            x = x * frame_mask(unit_counts, unit_ids.shape[1]).transpose(1, 2)
        return self.encoder(x, unit_counts)

    def condition(self, encoded: Tensor, frame_units: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return what the units say about each frame.

        Args:
            encoded: (batch, units, encoder width) of `encode`.
            frame_units: (batch, frames), the unit under each frame.
            mask: (batch, 1, frames) valid frames; None: all.

        Returns:
            (batch, bins, frames).
        """
        return self.length_regulator(self.encoder_proj(encoded), frame_units, mask)

    def inference(
        self,
        unit_ids: Tensor,
        speaker_embeds: Tensor,
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
        num_steps: int | None = None,
    ) -> Tensor:
        """Return the mel frames of whole utterances of equal length.

        Args:
            unit_ids: (batch, units).
            speaker_embeds: (batch, speaker width).
            noise: (batch, bins, frames); None draws it with `generator`.
            generator: random generator; None uses torch's global one.
            num_steps: Euler steps; None takes the configured number.

        Returns:
            (batch, bins, `config.mel_frames(units)`).
        """
        batch, units = unit_ids.shape
        frames = self.config.mel_frames(units)
        counts = torch.full((batch,), units, device=unit_ids.device)
        frame_units = stretched_units(counts, torch.full_like(counts, frames), frames)
        condition = self.condition(self.encode(unit_ids), frame_units)
        if noise is None:
            device = generator.device if generator is not None else condition.device
            noise = torch.randn(condition.shape, generator=generator, device=device).to(condition)
        return self.decoder(noise, condition, self.speaker_vector(speaker_embeds), num_steps=num_steps)

    def losses(
        self,
        mel: Tensor,
        frame_counts: Tensor,
        unit_ids: Tensor,
        unit_counts: Tensor,
        speaker_embeds: Tensor,
        generator: torch.Generator | None = None,
        prior_alone: bool = False,
    ) -> tuple[Tensor | None, Tensor]:
        """Return the flow's loss on a batch padded on the right, and the prior's.

        The prior is Matcha-TTS's (Mehta et al., 2024): the condition itself should be near the mel, which
        leaves less for the flow to do.

        Args:
            mel: (batch, bins, frames).
            frame_counts: (batch,) valid frames.
            unit_ids: (batch, units), padded with any valid id.
            unit_counts: (batch,) valid units.
            speaker_embeds: (batch, speaker width).
            generator: random generator of times, noise and dropped conditions.
            prior_alone: None for the flow's loss, which takes most of the time.
        """
        frames = mel.shape[-1]
        mask = frame_mask(frame_counts, frames)
        frame_units = stretched_units(unit_counts, frame_counts, frames)
        condition = self.condition(self.encode(unit_ids, unit_counts), frame_units, mask)
        prior = self.decoder.distance(condition, mel, mask)
        if prior_alone:
            return None, prior
        speaker = self.speaker_vector(speaker_embeds)
        return self.decoder.loss(mel, condition, speaker, mask, generator), prior
