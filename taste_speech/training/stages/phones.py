"""Stage `phones`: the acoustic model of the `ctc` recogniser, on very many listener voices.

It begins with the lower layers of the tower, which has learned to hear before.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import cast

import numpy as np
import soxr
import torch
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from taste_speech.recognition.acoustic import AcousticModel, save_acoustic_model
from taste_speech.recognition.phones import PHONES
from taste_speech.training.config import StageContext
from taste_speech.training.corpus.audio_store import AudioStore
from taste_speech.training.corpus.augmentation import augment
from taste_speech.training.corpus.recognition_model import first_pronunciations, write_recognition_model
from taste_speech.training.initial import INITIAL_NAME
from taste_speech.training.loop import LoopSettings, Losses, TrainingLoop
from taste_speech.training.stages import tower as tower_stage
from taste_speech.training.stages.tower import AugmentedBatches, Speech
from taste_speech.training.word_errors import edit_distance

logger = logging.getLogger(__name__)
OUTPUT_NAME = "acoustic.safetensors"
"""Its name in the checkpoint; the run keeps full precision."""


class Settings(tower_stage.Settings):
    """Of the acoustic model's training; what is said of audio is shared with the tower."""

    loop: LoopSettings = LoopSettings()
    stores: list[str] = ["crowd", "listeners", "reply", "murmurs", "diphone", "parametric"]
    batch_seconds: float = 30.0
    clean_part: float = 0.15
    joined_part: float = 0.1
    dropout: float = 0.05
    respeed_part: float = 0.6
    """Fraction of the utterances that are played faster or slower, formants and all: another speaker."""
    respeed: tuple[float, float] = (0.82, 1.22)
    last_position: int = Field(default=400, ge=0)
    """Positions are drawn up to this, so that the model knows no place from another."""
    evaluated_clips: int = 100


class VariedBatches(AugmentedBatches):
    """Batches in which speakers' size and speed vary too."""

    settings: Settings

    def _taken(self, samples: np.ndarray) -> np.ndarray:
        if self.rng.random() < self.settings.respeed_part:
            rate = self.speech.tower.sampling_rate_hz
            samples = soxr.resample(samples, rate, rate * self.rng.uniform(*self.settings.respeed))
        return super()._taken(samples)


class PhoneTargets:
    """Texts as the columns of their phones, by the first pronunciation of each word."""

    def __init__(self, texts: Iterable[str]) -> None:
        column = {phone: i + 1 for i, phone in enumerate(PHONES)}
        words = {word for text in texts for word in text.split()}
        self.columns = {
            word: [column[phone] for phone in phones] for word, phones in first_pronunciations(words).items()
        }

    def __call__(self, text: str) -> list[int]:
        """Columns of the phones of a text."""
        return [column for word in text.split() for column in self.columns[word]]


def tower_weights(weights: dict[str, Tensor], model: AcousticModel) -> dict[str, Tensor]:
    """Whisper encoder tensors under the names of `model`; of wider layers the units with most weight."""
    taken = {
        f"{name}.{part}": weights[f"{name}.{part}"]
        for name in ("conv1", "conv2")
        for part in ("weight", "bias")
    }
    for i, layer in enumerate(cast(Iterable[nn.TransformerEncoderLayer], model.layers)):
        source = target = f"layers.{i}"
        attention = {part: weights[f"{source}.self_attn.{part}_proj.weight"] for part in ("q", "k", "v")}
        query, value = (weights[f"{source}.self_attn.{part}_proj.bias"] for part in ("q", "v"))
        taken |= {
            f"{target}.self_attn.in_proj_weight": torch.cat(list(attention.values())),
            # Whisper's keys have no bias.
            f"{target}.self_attn.in_proj_bias": torch.cat([query, torch.zeros_like(query), value]),
            f"{target}.self_attn.out_proj.weight": weights[f"{source}.self_attn.out_proj.weight"],
            f"{target}.self_attn.out_proj.bias": weights[f"{source}.self_attn.out_proj.bias"],
        }
        first, second = weights[f"{source}.fc1.weight"], weights[f"{source}.fc2.weight"]
        kept = (first.norm(dim=1) * second.norm(dim=0)).topk(layer.linear1.out_features).indices
        taken |= {
            f"{target}.linear1.weight": first[kept],
            f"{target}.linear1.bias": weights[f"{source}.fc1.bias"][kept],
            f"{target}.linear2.weight": second[:, kept],
            f"{target}.linear2.bias": weights[f"{source}.fc2.bias"],
        }
        for own, whisper in (("norm1", "self_attn_layer_norm"), ("norm2", "final_layer_norm")):
            taken |= {f"{target}.{own}.{p}": weights[f"{source}.{whisper}.{p}"] for p in ("weight", "bias")}
    return taken


def phone_error_rate(references: list[list[int]], hypotheses: list[list[int]]) -> float:
    """Edit distance over the number of reference phones."""
    errors = sum(edit_distance(r, h) for r, h in zip(references, hypotheses, strict=True))
    return errors / max(1, sum(map(len, references)))


def evaluate(
    model: AcousticModel,
    speech: Speech,
    targets: PhoneTargets,
    groups: dict[str, list[np.ndarray]],
    clips: list[int],
) -> dict[str, float]:
    """Greedy phone error rates of the same clips in several conditions."""
    result = {}
    for name, audio in groups.items():
        found: list[list[int]] = []
        for start in range(0, len(audio), 12):
            batch = speech.batch(audio[start : start + 12], [[i] for i in clips[start : start + 12]])
            batch = batch.to(model.output.weight.device)
            log_probs, frames = model(batch.features, batch.n_frames)
            for row, count in zip(log_probs.argmax(-1), frames.tolist(), strict=True):
                found.append([i for i in torch.unique_consecutive(row[:count]).tolist() if i])
        result[f"phone_errors_{name}"] = phone_error_rate([targets(speech.text(i)) for i in clips], found)
    return result


def ctc_loss(
    model: AcousticModel, batch: tower_stage.Batch, targets: list[list[int]], position: int
) -> Tensor:
    """Mean CTC loss of a batch."""
    log_probs, frames = model(batch.features, batch.n_frames, position)
    return functional.ctc_loss(
        log_probs.transpose(0, 1),
        torch.tensor([i for ids in targets for i in ids]),
        frames,
        torch.tensor([len(ids) for ids in targets]),
        zero_infinity=True,
    )


def run(settings: Settings, context: StageContext) -> None:
    """Train; writes `acoustic.safetensors`, also when it is stopped."""
    folder, tower = context.folder("phones"), context.config.tower
    if tower is None:
        raise ValueError("the recipe's model has no section 'tower'; add one with its features")
    model = AcousticModel(context.config.recognition.acoustic, tower.num_mel_bins, settings.dropout)
    loop = TrainingLoop("phones", folder, model, settings.loop)
    if not loop.resume() and not (folder / INITIAL_NAME).exists():
        _begin_with_tower(model, context)
    output = folder / OUTPUT_NAME
    if loop.finished and output.exists():
        return
    stores = [AudioStore(context.folder("corpus") / name) for name in settings.stores]
    speech = Speech([store for store in stores if len(store)], tower, context.folder("tokenizers") / "asr")
    training = speech.of_split("train")
    valid = speech.of_split("valid")[: settings.evaluated_clips]
    targets = PhoneTargets(speech.text(i) for i in [*training, *valid])
    rng = np.random.default_rng(settings.loop.seed)
    clean = [speech.samples(i) for i in valid]
    groups = {"clean": clean, "augmented": [augment(samples, rng).astype(np.float32) for samples in clean]}
    batches: Iterator[tower_stage.Batch] = iter(VariedBatches(speech, training, settings, loop.generator))
    logger.info("phones: %d clips to train on", len(training))
    on_cpu = loop.device.type == "cpu"

    def compute_losses(_step: int, generator: torch.Generator) -> Losses:
        batch = next(batches).to(loop.device)
        position = int(torch.randint(settings.last_position + 1, (), generator=generator))
        # Fused attention takes much longer to differentiate on a CPU.
        with sdpa_kernel(SDPBackend.MATH) if on_cpu else nullcontext():
            return {"ctc": ctc_loss(loop.module, batch, [targets(t) for t in batch.texts], position)}

    unwrapped = loop.accelerator.unwrap_model(loop.module)

    def write() -> None:
        save_file({name: tensor.contiguous() for name, tensor in unwrapped.state_dict().items()}, output)

    loop.run(compute_losses, lambda: evaluate(unwrapped, speech, targets, groups, valid), write)


def trained_weights(context: StageContext) -> dict[str, Tensor] | None:
    """What the stage has reached; None before it was run."""
    path = context.folder("phones") / OUTPUT_NAME
    return load_file(path) if path.exists() else None


def write_recogniser(folder: Path, context: StageContext, sentences: Sequence[str]) -> bool:
    """Write language model, dictionary and acoustic model into `folder`; say whether there are weights yet.

    Args:
        folder: made if it is missing; what is in it from before is replaced.
        context: of the run.
        sentences: what users say.
    """
    write_recognition_model(folder, sentences)
    weights = trained_weights(context)
    if weights is not None:
        save_acoustic_model(weights, folder / OUTPUT_NAME)
    return weights is not None


def _begin_with_tower(model: AcousticModel, context: StageContext) -> None:
    """Take what the tower has learned, from this run or the checkpoint that it began with."""
    candidates = (
        (context.folder("tower") / "recogniser.safetensors", "encoder."),
        (context.folder("autoencoder") / "initial.safetensors", "tower.encoder."),
    )
    for path, prefix in candidates:
        if Path(path).exists():
            weights = {
                k[len(prefix) :]: v.float() for k, v in load_file(path).items() if k.startswith(prefix)
            }
            model.load_state_dict(tower_weights(weights, model), strict=False)
            logger.info("phones: begins with the encoder in %s", path)
            return
