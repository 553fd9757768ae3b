"""Stage `flow`: conditional flow matching from speech units to mel frames."""

import logging
from pathlib import Path
from typing import Literal

import torch
from accelerate.utils import send_to_device
from safetensors.torch import load_file, save_file
from torch import Tensor

from taste_speech.configuration_base import StrictSection
from taste_speech.configuration_taste import TasteConfig
from taste_speech.training.config import StageContext
from taste_speech.training.loop import LoopSettings, Losses, TrainingLoop, take_what_fits
from taste_speech.training.voice import VoiceFeatures, fixed_embedding, prepared_features, unit_vectors
from taste_speech.vocoder.flow import Flow
from taste_speech.vocoder.voice_generator import VoiceGenerator

logger = logging.getLogger(__name__)


class Settings(StrictSection):
    """Of the flow's training."""

    stores: list[str] = ["reply"]
    voice: str = "rms"
    units: Literal["units", "pairs"] = "units"
    """Stage that made the units."""
    batch_size: int = 12
    max_units: int = 150
    """Longest window; shorter utterances are padded and masked."""
    prior_weight: float = 1.0
    """Of the distance between the flow's condition and the mel."""
    loop: LoopSettings = LoopSettings()


class WindowSampler:
    """Random windows of units with the mel frames they stand for."""

    def __init__(
        self, features: list[VoiceFeatures], units: dict[str, Tensor], settings: Settings, *splits: str
    ) -> None:
        self.settings, self.config = settings, features[0].config
        self.items = [
            (part[key], units[key]) for part in features for key in part.keys(*splits) if key in units
        ]

    def batch(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Units (batch, units), unit counts (batch,), mel (batch, bins, frames) and frame counts (batch,)."""
        pieces = []
        for index in torch.randint(
            len(self.items), (self.settings.batch_size,), generator=generator
        ).tolist():
            item, units = self.items[index]
            # Windows start where a unit and a mel frame begin together, so that lengths are exact.
            grid = self._common_units()
            count = min(len(units), self.settings.max_units)
            starts = max(1, (len(units) - count) // grid + 1)
            start = grid * int(torch.randint(starts, (1,), generator=generator))
            first, frames = self.config.mel_frames(start), self.config.mel_frames(count)
            frames = min(frames, len(item.mel) - first)
            mel = torch.from_numpy(item.mel[first : first + frames].astype("float32"))
            pieces.append((units[start : start + count].long(), mel))
        unit_counts = torch.tensor([len(u) for u, _ in pieces])
        frame_counts = torch.tensor([len(m) for _, m in pieces])
        pad = torch.nn.utils.rnn.pad_sequence
        units_batch = pad([u for u, _ in pieces], batch_first=True)
        mel_batch = pad([m for _, m in pieces], batch_first=True).transpose(1, 2)
        return units_batch, unit_counts, mel_batch, frame_counts

    def _common_units(self) -> int:
        per_unit = self.config.sampling_rate_hz // self.config.units_per_second
        hop, count = self.config.hop_samples, 1
        while count * per_unit % hop:
            count += 1
        return count


@torch.no_grad()
def begin_embeddings(flow: Flow, quantizer: dict[str, Tensor]) -> None:
    """Let units that sound alike begin with embeddings that are alike."""
    size = flow.input_embedding.embedding_dim
    flow.input_embedding.weight.mul_(0.1).add_(unit_vectors(quantizer, size))


def stored_flow(folder: Path) -> dict[str, Tensor]:
    """Weights of the flow of a checkpoint."""
    stored = TasteConfig.from_pretrained(folder).voice_generator
    return VoiceGenerator.from_pretrained(folder, stored).flow.state_dict()


def run(settings: Settings, context: StageContext) -> None:
    """Train, and write `flow.safetensors` (published names without the prefix `flow.`)."""
    folder, config = context.folder("flow"), context.config.voice_generator
    units = load_file(context.folder(settings.units) / "units.safetensors")
    features = prepared_features(context, settings.stores)
    torch.manual_seed(settings.loop.seed)
    flow = Flow(config)
    if settings.units == "units":
        begin_embeddings(flow, load_file(context.folder("units") / "quantizer.safetensors"))
    if context.start is not None:
        take_what_fits(flow, stored_flow(context.start))
    loop = TrainingLoop("flow", folder, flow, settings.loop)
    loop.resume()
    speaker = fixed_embedding(settings.voice, config.speaker_embed_dim).to(loop.device)
    train = WindowSampler(features, units, settings, "train")
    valid = WindowSampler(features, units, settings, "valid")

    def losses(sampler: WindowSampler, generator: torch.Generator) -> Losses:
        batch, unit_counts, mel, frame_counts = send_to_device(sampler.batch(generator), loop.device)
        speakers = speaker.expand(len(batch), -1)
        loss, prior = flow.losses(mel, frame_counts, batch, unit_counts, speakers, generator)
        return {"flow": loss, "prior": settings.prior_weight * prior}

    def evaluate() -> dict[str, float]:
        generator = torch.Generator().manual_seed(1)
        rounds = [losses(valid, generator) for _ in range(8)]
        return {name: float(torch.stack([r[name] for r in rounds]).mean()) for name in rounds[0]}

    def write() -> None:
        save_file({k: v.contiguous() for k, v in flow.state_dict().items()}, folder / "flow.safetensors")

    loop.run(lambda _step, generator: losses(train, generator), evaluate, write)
