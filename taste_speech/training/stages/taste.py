"""Stage `taste`: TASTE stage 1, speech of known text -> one taste token per word -> phones in time.

The encoder is pretrained and frozen; its states are kept on disk. The aggregator, the quantizer and the phone
decoder learn together: how long each phone lasts, where the speaker pauses and how high the voice is must
pass through one vector for each word. It is continuous at first, and then quantized (arXiv:2504.07053,
section 3.2).
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from accelerate.utils import send_to_device
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from vector_quantize_pytorch import ResidualVQ

from taste_speech.audio_tower.encoder import EncodedAudio
from taste_speech.audio_tower.tower import AudioTower, average_words
from taste_speech.configuration_base import StrictSection
from taste_speech.configuration_sections import TowerConfig
from taste_speech.configuration_taste import TasteConfig
from taste_speech.phones import begins_word
from taste_speech.pretrained.whisper import tiny_en_folder
from taste_speech.speech_decoder.phone_decoder import MEAN_HZ, PhoneDecoder
from taste_speech.speech_decoder.phone_embedding import PhoneEmbedding
from taste_speech.training.config import StageContext, replacing
from taste_speech.training.corpus.audio_store import AudioStore, Clip
from taste_speech.training.corpus.taste_tokens import EncodedStore, heard_by
from taste_speech.training.corpus.voice_features import marked_phones_of, phone_pitch_hz
from taste_speech.training.loop import LoopSettings, Losses, TrainingLoop

logger = logging.getLogger(__name__)
TOWER_NAME, DECODER_NAME, TASTES_NAME = (
    "audio_tower.safetensors",
    "speech_decoder.safetensors",
    "taste_ids.safetensors",
)
_FRAMES_PER_SECOND = 50
_SHORTEST_PAUSE_S = 0.03


class Settings(StrictSection):
    """Of the training."""

    loop: LoopSettings = LoopSettings()
    stores: list[str] = ["answers", "paced"]
    heard_stores: list[str] = ["low"]
    """Recordings that get taste tokens, too, and are not trained on."""
    batch: int = Field(default=16, ge=1)
    longest_s: float = 14.0
    """Longer clips are left out."""
    continuous_until: float = Field(default=0.5, ge=0, le=1)
    """Fraction of the budget at which the quantizer comes in."""
    stretch_part: float = Field(default=0.7, ge=0, le=1)
    """Fraction of the examples of which the decoder gets a stretch of words, as replies come in chunks."""
    most_words: int = Field(default=12, ge=1)
    """Longest stretch."""
    withheld_part: float = Field(default=0.1, ge=0, le=1)
    """Fraction of the examples without taste, so that the decoder can still speak from the text alone."""
    noise: float = 0.3
    """Deviation of the noise on the projected vectors before there is a quantizer."""
    listening_weight: float = 0.3
    """Weight of the attention to the frames of each phone."""
    duration_weight: float = 4.0
    pace_weight: float = 8.0
    """Weight of the mean logarithm of the durations of a word's phones."""
    pause_weight: float = 0.5
    pitch_weight: float = 20.0
    commitment_weight: float = 0.1
    size_weight: float = 0.02
    """Weight of the mean square of the projected vectors before there is a quantizer."""
    quantizer_sample: int = 40
    """Number of batches from which the quantizer's codebooks are first filled."""


@dataclass(frozen=True)
class SpokenPhones:
    """The phones of a clip, without pauses; all are (phones,) but `frames`.

    Attributes:
        key: id of the clip.
        marked: marked phones.
        words: number of each phone's word.
        durations: in seconds.
        pauses: seconds of silence before the phone; nan before the first one.
        pitch: octaves above 200 Hz; nan where nothing is voiced.
        frames: (phones, 2), first encoder frame and that after the last.
    """

    key: str
    marked: Tensor
    words: Tensor
    durations: Tensor
    pauses: Tensor
    pitch: Tensor
    frames: Tensor

    @classmethod
    def of(cls, store: AudioStore, clip: Clip) -> "SpokenPhones":
        """Return the phones of a clip."""
        marked, words = (torch.tensor(each) for each in marked_phones_of(clip))
        pitch_hz = phone_pitch_hz(store, clip, marked)
        ends = torch.tensor([end for _, end in clip.timing.phones])
        starts = torch.cat([ends.new_zeros(1), ends[:-1]])
        said = words >= 0
        begin, end = starts[said], ends[said]
        pauses = torch.cat([ends.new_full((1,), math.nan), (begin[1:] - end[:-1]).clamp(min=0)])
        pitch = (pitch_hz[said] / MEAN_HZ).log2()
        frames = torch.stack([begin * _FRAMES_PER_SECOND, (end * _FRAMES_PER_SECOND).ceil()], 1).long()
        return cls(clip.id, marked[said], words[said], end - begin, pauses, pitch, frames)


@dataclass(frozen=True)
class Batch:
    """Clips, padded on the right; (batch, phones) but for `encoded`, `frames` and `stretch`."""

    encoded: EncodedAudio
    marked: Tensor
    words: Tensor  # -1 at padding
    durations: Tensor
    pauses: Tensor
    pitch: Tensor
    frames: Tensor  # (batch, phones, 2)
    stretch: Tensor  # (batch, 2), first phone that the decoder gets and that after the last
    kept: Tensor  # (batch,) false where taste is withheld

    @property
    def mask(self) -> Tensor:
        """(batch, phones), true for phones."""
        return self.words >= 0

    def cut(self, per_phone: Tensor) -> Tensor:
        """(batch, phones, ...) -> (batch, longest stretch, ...) of the stretches."""
        count = int((self.stretch[:, 1] - self.stretch[:, 0]).max())
        places = torch.arange(count, device=per_phone.device)
        index = (self.stretch[:, :1] + places).clamp(max=per_phone.shape[1] - 1)
        index = index.reshape(*index.shape, *[1] * (per_phone.ndim - 2))
        return per_phone.gather(1, index.expand(-1, -1, *per_phone.shape[2:]))

    @property
    def cut_mask(self) -> Tensor:
        """(batch, longest stretch), true for phones of the stretch."""
        lengths = self.stretch[:, 1:] - self.stretch[:, :1]
        return torch.arange(int(lengths.max()), device=lengths.device) < lengths

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on a device."""
        moved = send_to_device({**vars(self), "encoded": vars(self.encoded)}, device)
        return Batch(**moved | {"encoded": EncodedAudio(**moved["encoded"])})


class Batches:
    """Random batches of clips of about the same length."""

    def __init__(
        self,
        items: Sequence[SpokenPhones],
        encoded: EncodedStore,
        settings: Settings,
        device: torch.device | str = "cpu",
    ) -> None:
        self.items = sorted(items, key=lambda item: encoded.frames(item.key))
        self.encoded, self.settings, self.device = encoded, settings, torch.device(device)

    def batch(self, generator: torch.Generator) -> Batch:
        """Return a batch for training."""
        count, settings = self.settings.batch, self.settings
        start = _draw(max(1, len(self.items) - count + 1), generator)
        items = self.items[start : start + count]
        stretches = [self._stretch(item, generator) for item in items]
        return self.collate(
            items, stretches, torch.rand(len(items), generator=generator) >= settings.withheld_part
        )

    def whole(self) -> list[Batch]:
        """Return all clips as they are."""
        size, found = self.settings.batch, []
        for start in range(0, len(self.items), size):
            items = self.items[start : start + size]
            found.append(
                self.collate(items, [(0, len(i.marked)) for i in items], torch.ones(len(items)).bool())
            )
        return found

    def _stretch(self, item: SpokenPhones, generator: torch.Generator) -> tuple[int, int]:
        if float(torch.rand((), generator=generator)) >= self.settings.stretch_part:
            return 0, len(item.marked)
        total = int(item.words[-1]) + 1
        count = min(1 + _draw(self.settings.most_words, generator), total)
        first = _draw(total - count + 1, generator)
        inside = ((item.words >= first) & (item.words < first + count)).nonzero()[:, 0]
        return (int(inside[0]), int(inside[-1]) + 1) if len(inside) else (0, len(item.marked))

    def collate(
        self, items: Sequence[SpokenPhones], stretches: Sequence[tuple[int, int]], kept: Tensor
    ) -> Batch:
        """Return a batch of these clips."""
        keys, values = zip(*(self.encoded.states(item.key) for item in items), strict=True)
        n_frames = torch.tensor([len(each) for each in keys])
        pad = partial(pad_sequence, batch_first=True)
        return Batch(
            EncodedAudio(
                pad(list(keys)), pad(list(values)), torch.arange(int(n_frames.max())) < n_frames[:, None]
            ),
            pad([item.marked for item in items]),
            pad([item.words for item in items], padding_value=-1),
            pad([item.durations for item in items], padding_value=1.0),
            pad([item.pauses for item in items], padding_value=math.nan),
            pad([item.pitch for item in items], padding_value=math.nan),
            pad([item.frames for item in items]),
            torch.tensor(stretches),
            kept,
        ).to(self.device)


def _draw(below: int, generator: torch.Generator) -> int:
    return int(torch.randint(below, (), generator=generator))


class TasteTraining(nn.Module):
    """Speech of known text -> one quantized vector per word -> phones in time."""

    def __init__(self, config: TasteConfig) -> None:
        super().__init__()
        sections = config.audio_tower_config
        sizes = sections.kwargs_for_quantizer
        # Only eager attention returns its weights.
        self.tower = AudioTower(
            config.tower or TowerConfig(), sections.kwargs_for_joint_encoder_segmenter, sizes, "eager"
        )
        self.tower.encoder.requires_grad_(False)
        self.tower.quantizer.requires_grad_(False)
        self.rvq = ResidualVQ(
            dim=sizes.dim,
            codebook_dim=sizes.codebook_dim,
            codebook_size=sizes.codebook_size,
            num_quantizers=sizes.num_quantizers,
            decay=sizes.decay,
            kmeans_init=True,
            kmeans_iters=10,
            threshold_ema_dead_code=1,
        )
        self.decoder = PhoneDecoder(config.speech_decoder_config, config.unit_decoding)
        self.has_codes = nn.Buffer(torch.tensor(False))

    @torch.no_grad()
    def begin_embeddings(self) -> None:
        """Let marked phones that share a phone, a mark or a stress begin with vectors that are alike."""
        vectors = PhoneEmbedding(self.tower.config.d_model)
        for table in (vectors.marks, vectors.stresses):
            nn.init.normal_(table.weight, std=0.3)
        nn.init.normal_(vectors.begins_word, std=0.3)
        embeddings = self.tower.aggregator.embed_tokens.weight
        count = self.decoder.config.text_token_size
        embeddings[:count] = 0.3 * vectors(torch.arange(count))

    def listen(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return a vector for each phone's word (batch, phones, dim), and the loss of the attention.

        Of each layer one head learns to attend to the phone, another one to where it begins and a third one
        to where it ends: the positions there tell how long it is.
        """
        attention: list[Tensor] = []
        hooks = [
            cast(nn.Module, layer.encoder_attn).register_forward_hook(
                lambda _module, _inputs, output: attention.append(output[1])
            )
            for layer in self.tower.aggregator.layers
        ]
        try:
            vectors = self.tower.aggregate(batch.encoded, batch.marked, batch.words)
        finally:
            for hook in hooks:
                hook.remove()
        frames = torch.arange(batch.encoded.keys.shape[1], device=batch.frames.device)
        first, last = batch.frames[..., :1], batch.frames[..., 1:].clamp(max=len(frames))
        inside = (frames >= first) & (frames < torch.maximum(last, first + 1))
        begins, ends = (frames - first).abs() <= 1, (frames - last + 1).abs() <= 1
        skipped, losses = self.tower.joint.skip_prefix_idx, []
        for weights in attention:
            for head, wanted in enumerate((inside, begins, ends)):
                mass = (weights[:, head, skipped:].float() * wanted).sum(-1)[batch.mask]
                losses.append(-(mass + 1e-3).log().mean())
        return vectors, torch.stack(losses).mean()

    def code(self, vectors: Tensor, batch: Batch, noise: float) -> tuple[Tensor, Tensor]:
        """Pass vectors (batch, phones, dim) through the codes; return them, and the loss of the codes."""
        starts, numbers = number_words(batch.words)
        own = vectors[starts]
        if bool(self.has_codes):
            output, _, commitment = self.rvq(own.float()[None])
            coded, loss = output[0], commitment.sum()
        else:
            projected = self.rvq.project_in(own)
            # Without codebooks: small, and robust against errors of the size that codes will have.
            loss = projected.square().mean()
            coded = self.rvq.project_out(projected + noise * torch.randn_like(projected))
        return coded[numbers], loss

    @torch.no_grad()
    def begin_codes(self, sample: Sequence[Batch]) -> None:
        """Fill the codebooks by k-means."""
        rows = []
        for batch in sample:
            vectors, _ = self.listen(batch)
            rows.append(vectors[number_words(batch.words)[0]])
        self.rvq.train()
        self.rvq(torch.cat(rows).float()[None])
        self.has_codes.fill_(True)

    @torch.no_grad()
    def export_codes(self) -> None:
        """Copy the codes to `tower.quantizer`, which inference uses."""
        own = self.tower.quantizer
        for name in ("project_in", "project_out"):
            getattr(own, name).load_state_dict(getattr(self.rvq, name).state_dict())
        own.codebooks.copy_(torch.stack([layer._codebook.embed[0] for layer in self.rvq.layers]))


def number_words(words: Tensor) -> tuple[Tensor, Tensor]:
    """Number the words of a batch.

    Args:
        words: (batch, phones) number of each phone's word in its clip, -1 at padding.

    Returns:
        (batch, phones): true at the first phone of each word; and the number of each phone's word among all
        of the batch (that of the word before at padding).
    """
    before = nn.functional.pad(words, (1, 0), value=-1)[:, :-1]
    starts = (words != before) & (words >= 0)
    return starts, (starts.flatten().long().cumsum(0) - 1).clamp(min=0).view_as(words)


def losses_of(model: TasteTraining, batch: Batch, settings: Settings) -> tuple[Losses, dict[str, Tensor]]:
    """Return the weighted losses of a batch, and the unweighted errors of what the decoder predicts."""
    vectors, listening = model.listen(batch)
    coded, code_loss = model.code(vectors, batch, settings.noise if model.training else 0.0)
    errors = decoder_errors(model.decoder, batch, batch.cut(coded * batch.kept[:, None, None]))
    weights = {
        "duration": settings.duration_weight,
        "pace": settings.pace_weight,
        "pauses": settings.pause_weight,
        "pause": settings.pause_weight,
        "pitch": settings.pitch_weight,
    }
    code_weight = settings.commitment_weight if bool(model.has_codes) else settings.size_weight
    losses = {name: weights[name] * error for name, error in errors.items()}
    return losses | {
        "listening": settings.listening_weight * listening,
        "code": code_weight * code_loss,
    }, errors


def decoder_errors(decoder: PhoneDecoder, batch: Batch, audio: Tensor) -> dict[str, Tensor]:
    """Return the errors of the decoder on the stretches, given vectors (batch, longest stretch, dim)."""
    marked, mask = batch.cut(batch.marked), batch.cut_mask
    manner = decoder(marked, audio, mask)
    durations, pauses, pitch = (batch.cut(each) for each in (batch.durations, batch.pauses, batch.pitch))
    words = batch.cut(batch.words).masked_fill(~mask, -1)
    error = (manner.duration - durations.clamp(min=0.01).log()) * mask
    starts, _ = number_words(words)
    pace = average_words(error[..., None], words)[..., 0][starts]
    # Nothing tells of a pause before a stretch.
    told = starts & begins_word(marked) & ~pauses.isnan()
    told[:, 0] = False
    is_pause = pauses[told] > _SHORTEST_PAUSE_S
    errors = {"duration": error[mask].square().mean(), "pace": pace.square().mean()}
    if bool(told.any()):
        cross_entropy = nn.functional.binary_cross_entropy_with_logits
        errors["pauses"] = cross_entropy(manner.pauses[told], is_pause.float())
    if bool(is_pause.any()):
        wanted = pauses[told][is_pause].log()
        errors["pause"] = (manner.pause[told][is_pause] - wanted).square().mean()
    voiced = mask & ~pitch.isnan()
    if bool(voiced.any()):
        errors["pitch"] = (manner.pitch - pitch)[voiced].square().mean()
    return errors


def run(settings: Settings, context: StageContext) -> None:
    """Train; write the audio tower, the phone decoder, and the taste tokens of the corpus."""
    folder = context.folder("taste")
    torch.manual_seed(settings.loop.seed)
    model = TasteTraining(context.config)
    model.begin_embeddings()
    loop = TrainingLoop("taste", folder, model, settings.loop, given=is_given)
    loop.resume()
    model.tower.encoder.load_state_dict(pretrained_encoder())
    spoken, heard = (
        clips_of(context, names, settings.longest_s) for names in (settings.stores, settings.heard_stores)
    )
    encoded = EncodedStore(folder / "encoded", model.tower)
    encoded.prepare([*spoken, *heard])
    every = {clip.id: SpokenPhones.of(store, clip) for store, clip in spoken}
    items = {
        split: Batches([every[c.id] for _, c in spoken if c.split == split], encoded, settings, loop.device)
        for split in ("train", "valid")
    }
    valid = items["valid"].whole()
    logger.info("taste: %d clips to train on", len(items["train"].items))

    def compute_losses(_step: int, generator: torch.Generator) -> Losses:
        if loop.progress() >= settings.continuous_until and not bool(model.has_codes):
            model.begin_codes([items["train"].batch(generator) for _ in range(settings.quantizer_sample)])
        losses = losses_of(model, items["train"].batch(generator), settings)[0]
        model.export_codes()  # so that any state that is saved has them
        return losses

    def evaluate() -> dict[str, float]:
        told = [losses_of(model, batch, settings)[1] for batch in valid]
        size = model.tower.config.d_model
        alone = [
            decoder_errors(model.decoder, each, each.durations.new_zeros(*each.marked.shape, size))
            for each in valid
        ]
        return _means(told) | {f"text_{name}": mean for name, mean in _means(alone).items()}

    def write() -> None:
        model.export_codes()
        for name, part in ((TOWER_NAME, model.tower), (DECODER_NAME, model.decoder)):
            weights = {key: value.contiguous() for key, value in part.state_dict().items()}
            with replacing(folder / name) as path:
                save_file({k: v for k, v in weights.items() if not k.startswith("encoder.")}, path)

    loop.run(compute_losses, evaluate, write)
    heard_by(model.tower.eval(), [*spoken, *heard], folder / TASTES_NAME, encoded)


def _means(rows: Sequence[dict[str, Tensor]]) -> dict[str, float]:
    """Return the mean of each value over the rows that have it."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: float(torch.stack([row[name] for row in rows if name in row]).mean()) for name in names}


def clips_of(context: StageContext, names: Sequence[str], longest_s: float) -> list[tuple[AudioStore, Clip]]:
    """Return the clips of these stores of the corpus that are not longer, with the stores."""
    stores = [AudioStore(context.folder("corpus") / name) for name in names]
    return [(store, clip) for store in stores for clip in store if clip.samples < longest_s * clip.rate_hz]


def is_given(name: str) -> bool:
    """Return whether a tensor belongs to the pretrained encoder."""
    return name.startswith("tower.encoder.")


def pretrained_encoder() -> dict[str, Tensor]:
    """Return the weights of Whisper tiny.en's encoder in float32."""
    prefix = "model.encoder."
    stored = load_file(tiny_en_folder() / "model.safetensors")
    return {
        name.removeprefix(prefix): value.float() for name, value in stored.items() if name.startswith(prefix)
    }
