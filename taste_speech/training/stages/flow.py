"""Stage `flow`: conditional flow matching from speech units to mel frames."""

import logging
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from accelerate.utils import send_to_device
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from taste_speech.configuration_base import StrictSection
from taste_speech.configuration_taste import TasteConfig
from taste_speech.training.config import StageContext
from taste_speech.training.corpus import PHONES, Clip
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
    phone_weight: float = 0.0
    """Of the cross-entropy of the phone at each unit, told from what the flow's encoder makes of the units:
    noisy units are understood sooner."""
    replaced_units: float = 0.0
    """Part of the units in whose place any other stands, so that the flow relies on none of them alone."""
    loop: LoopSettings = LoopSettings()


class WindowSampler:
    """Random windows of units with the mel frames they stand for."""

    def __init__(
        self, features: list[VoiceFeatures], units: dict[str, Tensor], settings: Settings, *splits: str
    ) -> None:
        self.settings, self.config = settings, features[0].config
        clips = {clip.id: clip for part in features for clip in part.store}
        self.items = [
            (part[key], units[key], self._phones(clips[key], len(units[key])))
            for part in features
            for key in part.keys(*splits)
            if key in units
        ]

    def batch(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return a batch, padded on the right.

        Returns:
            Units (batch, units), unit counts (batch,), mel (batch, bins, frames), frame counts (batch,), and
            the number of the phone at each unit (batch, units), -1 where nothing tells it.
        """
        pieces = []
        for index in torch.randint(
            len(self.items), (self.settings.batch_size,), generator=generator
        ).tolist():
            item, units, phones = self.items[index]
            # Windows start where a unit and a mel frame begin together, so that lengths are exact.
            grid = self._common_units()
            count = min(len(units), self.settings.max_units)
            starts = max(1, (len(units) - count) // grid + 1)
            start = grid * int(torch.randint(starts, (1,), generator=generator))
            first, frames = self.config.mel_frames(start), self.config.mel_frames(count)
            frames = min(frames, len(item.mel) - first)
            mel = torch.from_numpy(item.mel[first : first + frames].astype("float32"))
            window = slice(start, start + count)
            pieces.append((units[window].long(), mel, phones[window]))
        unit_counts = torch.tensor([len(u) for u, _, _ in pieces])
        frame_counts = torch.tensor([len(m) for _, m, _ in pieces])
        pad = partial(torch.nn.utils.rnn.pad_sequence, batch_first=True)
        units_batch = pad([u for u, _, _ in pieces])
        others = torch.randint(self.config.unit_vocab_size, units_batch.shape, generator=generator)
        replaced = torch.rand(units_batch.shape, generator=generator) < self.settings.replaced_units
        units_batch = torch.where(replaced, others, units_batch)
        mel_batch = pad([m for _, m, _ in pieces]).transpose(1, 2)
        phones_batch = pad([p for _, _, p in pieces], padding_value=-1)
        return units_batch, unit_counts, mel_batch, frame_counts, phones_batch

    def _phones(self, clip: Clip, count: int) -> Tensor:
        """Number of the phone at each unit, (units,); -1 where the voice does not tell."""
        if clip.phones is None:
            return torch.full((count,), -1)
        ends = torch.tensor([end for _, end in clip.timing.phones]) * self.config.units_per_second
        numbers = torch.tensor([PHONES.index(phone) for phone, _ in clip.timing.phones])
        at = torch.searchsorted(ends, torch.arange(count) + 0.5)
        return numbers[at.clamp(max=len(numbers) - 1)]

    def _common_units(self) -> int:
        per_unit = self.config.sampling_rate_hz // self.config.units_per_second
        hop, count = self.config.hop_samples, 1
        while count * per_unit % hop:
            count += 1
        return count


class FlowTraining(torch.nn.Module):
    """The flow, and the layer that tells phones from its encoder."""

    def __init__(self, flow: Flow) -> None:
        super().__init__()
        self.flow = flow
        self.phone_head = torch.nn.Linear(flow.encoder_proj.in_features, len(PHONES))


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
    module = FlowTraining(flow)
    loop = TrainingLoop("flow", folder, module, settings.loop)
    loop.resume()
    speaker = fixed_embedding(settings.voice, config.speaker_embed_dim).to(loop.device)
    train = WindowSampler(features, units, settings, "train")
    valid = WindowSampler(features, units, settings, "valid")

    def losses(sampler: WindowSampler, generator: torch.Generator) -> Losses:
        batch = send_to_device(sampler.batch(generator), loop.device)
        ids, unit_counts, mel, frame_counts, phones = batch
        speakers = speaker.expand(len(ids), -1)
        loss, prior, encoded = flow.losses(mel, frame_counts, ids, unit_counts, speakers, generator)
        found = {"flow": loss, "prior": settings.prior_weight * prior}
        if settings.phone_weight:
            told = module.phone_head(encoded).transpose(1, 2)
            found["phone"] = settings.phone_weight * F.cross_entropy(told, phones, ignore_index=-1)
        return found

    def evaluate() -> dict[str, float]:
        generator = torch.Generator().manual_seed(1)
        rounds = [losses(valid, generator) for _ in range(8)]
        return {name: float(torch.stack([r[name] for r in rounds]).mean()) for name in rounds[0]}

    def write() -> None:
        save_file({k: v.contiguous() for k, v in flow.state_dict().items()}, folder / "flow.safetensors")

    loop.run(lambda _step, generator: losses(train, generator), evaluate, write)
