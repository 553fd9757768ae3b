"""Stage `flow`: conditional flow matching from speech units, or phones at them, to mel frames."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial

import torch
from accelerate.utils import send_to_device
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from taste_speech.configuration_base import StrictSection
from taste_speech.training.config import StageContext
from taste_speech.training.corpus.audio_store import AudioStore
from taste_speech.training.corpus.reply_voice import SAMPLE_RATE_HZ
from taste_speech.training.loop import LoopSettings, Losses, TrainingLoop, take_what_fits
from taste_speech.training.voice import (
    VoiceFeatures,
    fixed_embedding,
    marked_phones_at,
    prepared_features,
    stored_voice,
    unit_vectors,
)
from taste_speech.vocoder.configuration import VoiceGeneratorConfig
from taste_speech.vocoder.flow import Flow
from taste_speech.vocoder.phone_timing import PhoneTeller
from taste_speech.vocoder.phones import PHONES

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
    replaced_units: float = 0.1
    """Part of the units in whose place any other stands, while phones are told from them."""
    telling: bool = True
    """Whether the network that tells phones from units learns, too; else it stays that of `start`."""
    loop: LoopSettings = LoopSettings()


Item = tuple[Tensor, Tensor]
"""Units or marked phones (units,), and the mel (frames, bins) that they stand for."""


class WindowSampler:
    """Random windows of units, or of what is at them, with the mel frames they stand for.

    Args:
        items: to draw from.
        config: of the voice.
        settings: of the stage.
    """

    def __init__(self, items: Sequence[Item], config: VoiceGeneratorConfig, settings: Settings) -> None:
        self.items, self.settings, self.config = items, settings, config

    def batch(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return a batch, padded on the right.

        Returns:
            Units (batch, units), unit counts (batch,), mel (batch, bins, frames), frame counts (batch,).
        """
        pieces = []
        for index in torch.randint(
            len(self.items), (self.settings.batch_size,), generator=generator
        ).tolist():
            units, mel = self.items[index]
            # Windows start where a unit and a mel frame begin together, so that lengths are exact.
            grid = self._common_units()
            count = min(len(units), self.settings.max_units)
            starts = max(1, (len(units) - count) // grid + 1)
            start = grid * int(torch.randint(starts, (1,), generator=generator))
            first, frames = self.config.mel_frames(start), self.config.mel_frames(count)
            pieces.append((units[start : start + count].long(), mel[first : first + frames].float()))
        unit_counts = torch.tensor([len(u) for u, _ in pieces])
        frame_counts = torch.tensor([len(m) for _, m in pieces])
        pad = partial(torch.nn.utils.rnn.pad_sequence, batch_first=True)
        mel_batch = pad([m for _, m in pieces]).transpose(1, 2)
        return pad([u for u, _ in pieces]), unit_counts, mel_batch, frame_counts

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


class PhoneTelling:
    """What the network that tells phones from units learns from: the clips of stage `pairs`."""

    def __init__(self, context: StageContext, settings: Settings) -> None:
        self.settings, voice = settings, context.config.voice_generator
        self.unit_count = voice.unit_vocab_size
        units = load_file(context.folder("pairs") / "units.safetensors")
        self._of_split: dict[str, list[tuple[Tensor, Tensor]]] = {"train": [], "valid": []}
        for clip in AudioStore(context.folder("corpus") / "pairs"):
            ids = units[clip.id].long()
            marked = marked_phones_at(clip, len(ids), voice.units_per_second)
            self._of_split[clip.split].append((ids, marked % len(PHONES)))

    def loss(self, teller: PhoneTeller, split: str, generator: torch.Generator) -> Tensor:
        """Cross-entropy of the phones at random windows of units, some of them replaced by any other."""
        size, items = self.settings.max_units, self._of_split[split]
        windows = []
        for index in torch.randint(len(items), (self.settings.batch_size,), generator=generator).tolist():
            ids, phones = items[index]
            start = int(torch.randint(max(1, len(ids) - size + 1), (1,), generator=generator))
            windows.append((ids[start : start + size], phones[start : start + size]))
        pad = partial(torch.nn.utils.rnn.pad_sequence, batch_first=True)
        ids, phones = pad([ids for ids, _ in windows]), pad([p for _, p in windows], padding_value=-1)
        others = torch.randint(self.unit_count, ids.shape, generator=generator)
        replaced = torch.rand(ids.shape, generator=generator) < self.settings.replaced_units
        device = teller.output.weight.device
        told = teller(torch.where(replaced, others, ids).to(device)).transpose(1, 2)
        return F.cross_entropy(told, phones.to(device), ignore_index=-1)


def items_of(features: Sequence[VoiceFeatures], units: Mapping[str, Tensor] | None, split: str) -> list[Item]:
    """Return what the flow reads of each clip of a split, with the mel: its units; without, its phones."""
    items = []
    for part in features:
        voice, clips = part.config, {clip.id: clip for clip in part.store}
        for key in part.keys(split):
            if units is None:
                count = clips[key].samples * voice.units_per_second // SAMPLE_RATE_HZ
                read = marked_phones_at(clips[key], count, voice.units_per_second)
            elif key in units:
                read = units[key]
            else:
                continue
            items.append((read, torch.tensor(part[key].mel)))
    return items


def run(settings: Settings, context: StageContext) -> None:
    """Train, and write `flow.safetensors` (published names without the prefix `flow.`)."""
    folder, config = context.folder("flow"), context.config.voice_generator
    features = prepared_features(context, settings.stores)
    torch.manual_seed(settings.loop.seed)
    flow = Flow(config)
    telling = PhoneTelling(context, settings) if config.flow.phones and settings.telling else None
    units = None if config.flow.phones else load_file(context.folder("units") / "units.safetensors")
    if units is not None:
        begin_embeddings(flow, load_file(context.folder("units") / "quantizer.safetensors"))
    if context.start is not None:
        take_what_fits(flow, stored_voice(context.start, "flow"))
    loop = TrainingLoop("flow", folder, flow, settings.loop)
    loop.resume()
    speaker = fixed_embedding(settings.voice, config.speaker_embed_dim).to(loop.device)
    samplers = {
        split: WindowSampler(items_of(features, units, split), config, settings)
        for split in ("train", "valid")
    }

    def losses(split: str, generator: torch.Generator) -> Losses:
        batch = send_to_device(samplers[split].batch(generator), loop.device)
        read, counts, mel, frame_counts = batch
        speakers = speaker.expand(len(read), -1)
        alone = loop.progress() < settings.prior_alone
        loss, prior = flow.losses(mel, frame_counts, read, counts, speakers, generator, read, alone)
        found = {"prior": settings.prior_weight * prior}
        if loss is not None:
            found["flow"] = loss
        if telling is not None:
            found["phone"] = telling.loss(flow.phone_teller, split, generator)
        return found

    def evaluate() -> dict[str, float]:
        generator = torch.Generator().manual_seed(1)
        rounds = [losses("valid", generator) for _ in range(8)]
        return {name: float(torch.stack([r[name] for r in rounds]).mean()) for name in rounds[0]}

    def write() -> None:
        save_file({k: v.contiguous() for k, v in flow.state_dict().items()}, folder / "flow.safetensors")

    loop.run(lambda _step, generator: losses("train", generator), evaluate, write)
