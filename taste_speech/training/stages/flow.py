"""Stage `flow`: conditional flow matching from phones in time to mel frames."""

import logging
import math
from collections.abc import Sequence
from functools import partial

import torch
from accelerate.utils import send_to_device
from pydantic import Field
from safetensors.torch import save_file
from torch import Tensor

from taste_speech.configuration_base import StrictSection
from taste_speech.phones import MARKED_PHONES
from taste_speech.training.config import StageContext
from taste_speech.training.corpus.audio_store import AudioStore
from taste_speech.training.corpus.reply_voice import SAMPLE_RATE_HZ
from taste_speech.training.corpus.voice_features import fixed_embedding, phone_units, stored_voice
from taste_speech.training.loop import LoopSettings, Losses, TrainingLoop, take_what_fits
from taste_speech.vocoder.configuration import VoiceGeneratorConfig
from taste_speech.vocoder.flow import Flow
from taste_speech.vocoder.spectra import log_mel

logger = logging.getLogger(__name__)


class Settings(StrictSection):
    """Of the flow's training."""

    stores: list[str] = ["reply"]
    voice: str = "rms"
    batch_size: int = 12
    max_units: int = 150
    """Longest window; shorter utterances are padded and masked."""
    prior_weight: float = 1.0
    """Of the distance between the flow's condition and the mel."""
    prior_alone: float = 0.0
    """Part of the budget at the beginning in which only that distance is learned, at a third of the cost."""
    unpitched_part: float = Field(default=0.1, ge=0, le=1)
    """Part of the windows whose units have no known pitch."""
    loop: LoopSettings = LoopSettings()


Item = tuple[Tensor, Tensor]
"""Units (units,), and the mel (frames, bins) that they stand for."""


class WindowSampler:
    """Random windows of units, with the mel frames they stand for."""

    def __init__(self, items: Sequence[Item], config: VoiceGeneratorConfig, settings: Settings) -> None:
        self.items, self.settings, self.config = items, settings, config

    def batch(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return a batch, padded on the right.

        Returns:
            Units (batch, units), unit counts (batch,), mel (batch, bins, frames), frame counts (batch,).
        """
        pieces, hop = [], self.config.hop_samples
        for index in torch.randint(
            len(self.items), (self.settings.batch_size,), generator=generator
        ).tolist():
            units, mel = self.items[index]
            # Windows start where a unit and a mel frame begin together, so that lengths are exact.
            grid = hop // math.gcd(hop, self.config.sampling_rate_hz // self.config.units_per_second)
            count = min(len(units), self.settings.max_units)
            starts = max(1, (len(units) - count) // grid + 1)
            start = grid * int(torch.randint(starts, (1,), generator=generator))
            first, frames = self.config.mel_frames(start), self.config.mel_frames(count)
            window = units[start : start + count]
            if float(torch.rand((), generator=generator)) < self.settings.unpitched_part:
                window = window % MARKED_PHONES
            pieces.append((window, mel[first : first + frames].float()))
        unit_counts = torch.tensor([len(u) for u, _ in pieces])
        frame_counts = torch.tensor([len(m) for _, m in pieces])
        pad = partial(torch.nn.utils.rnn.pad_sequence, batch_first=True)
        mel_batch = pad([m for _, m in pieces]).transpose(1, 2)
        return pad([u for u, _ in pieces]), unit_counts, mel_batch, frame_counts


def items_of(stores: Sequence[AudioStore], config: VoiceGeneratorConfig, split: str) -> list[Item]:
    """Return the units of each clip of a split, with the mel in half precision.

    They are computed at each start, which takes less than a minute for ten hours of sound.
    """
    items = []
    for store in stores:
        for clip in store.of_split(split):
            count = clip.samples * config.units_per_second // SAMPLE_RATE_HZ
            units = phone_units(store, clip, count, config.units_per_second)
            samples = torch.from_numpy(store.samples_at(clip, config.sampling_rate_hz))
            items.append((units, log_mel(samples[None], config)[0].T.half()))
    return items


def run(settings: Settings, context: StageContext) -> None:
    """Train, and write `flow.safetensors` (published names without the prefix `flow.`)."""
    folder, config = context.folder("flow"), context.config.voice_generator
    stores = [AudioStore(context.folder("corpus") / name) for name in settings.stores]
    torch.manual_seed(settings.loop.seed)
    flow = Flow(config)
    if context.start is not None:
        take_what_fits(flow, stored_voice(context.start, "flow"))
    loop = TrainingLoop("flow", folder, flow, settings.loop)
    loop.resume()
    speaker = fixed_embedding(settings.voice, config.speaker_embed_dim).to(loop.device)
    samplers = {
        split: WindowSampler(items_of(stores, config, split), config, settings)
        for split in ("train", "valid")
    }

    def losses(split: str, generator: torch.Generator) -> Losses:
        batch = send_to_device(samplers[split].batch(generator), loop.device)
        units, counts, mel, frame_counts = batch
        speakers = speaker.expand(len(units), -1)
        alone = loop.progress() < settings.prior_alone
        loss, prior = flow.losses(mel, frame_counts, units, counts, speakers, generator, alone)
        found = {"prior": settings.prior_weight * prior}
        if loss is not None:
            found["flow"] = loss
        return found

    def evaluate() -> dict[str, float]:
        generator = torch.Generator().manual_seed(1)
        rounds = [losses("valid", generator) for _ in range(8)]
        return {name: float(torch.stack([r[name] for r in rounds]).mean()) for name in rounds[0]}

    def write() -> None:
        save_file({k: v.contiguous() for k, v in flow.state_dict().items()}, folder / "flow.safetensors")

    loop.run(lambda _step, generator: losses("train", generator), evaluate, write)
