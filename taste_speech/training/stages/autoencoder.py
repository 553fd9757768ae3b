"""Stage `autoencoder`: TASTE stage 1, speech of known text -> one taste token per word -> speech units.

As in the paper (arXiv:2504.07053, section 3.2) the unit decoder first learns from text only, then with the
aggregator's continuous vectors, then with quantized ones. Windows of whole words are what chunk-wise
synthesis asks of it later: units of the first words are given, those of the last ones are wanted.

Text only needs no tower, so this stage may start before `tower` has finished: it then goes on with text only
until it is started again.
"""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from taste_speech.configuration_base import StrictSection
from taste_speech.features import LogMelFeatures
from taste_speech.training import word_times
from taste_speech.training.config import StageContext
from taste_speech.training.corpus.audio_store import AudioStore
from taste_speech.training.free_speech import FreeSpeech
from taste_speech.training.loop import LoopSettings, Losses, TrainingLoop
from taste_speech.training.spelling import Spelling
from taste_speech.training.stages.tower import trained_recogniser
from taste_speech.training.taste_autoencoder import Condition, TasteAutoencoder, Windows
from taste_speech.training.unit_noise import UnitNoise
from taste_speech.training.unit_windows import (
    AlignedUtterance,
    EncodedStore,
    UnitProsody,
    WindowBatches,
    align_utterance,
    standardise,
)
from taste_speech.training.voices import fixed_embedding

logger = logging.getLogger(__name__)
SAMPLED_BATCHES = 40
"""Batches from which means, deviations and codebooks are first estimated."""


class Settings(StrictSection):
    """Of stage 1."""

    loop: LoopSettings = LoopSettings()
    stores: list[str] = ["reply", "reply2"]
    voice: str = "rms"
    batch_units: int = 2600
    """Units and ASR tokens in one padded batch."""
    whole_part: float = 0.5
    """Fraction of the batches that are whole utterances, not windows."""
    text_until: float = 0.15
    continuous_until: float = 0.5
    """Fractions of the budget at which the aggregator and the quantizer come in."""
    final_from: float = 0.8
    """Fraction of the budget from which taste tokens stay as they are, so that `spoken_lm` may start."""
    withheld_part: float = 0.1
    """Fraction of the items without audio, so that text alone stays enough to speak."""
    replaced_units: tuple[float, float] = (0.8, 0.4)
    """Largest fraction of the units of an item that the decoder sees replaced, at the start and at the end of
    the budget; each item draws its own below it. Without, the decoder goes by the units alone and what it
    says only sounds like speech (compare the dropout in the prenet of Tacotron 2, Shen et al., 2018)."""
    near_part: float = 0.6
    """Of those, replaced by one that sounds alike instead of any."""
    neighbours: int = 6
    strange_pitch_part: float = 0.5
    """Fraction of the items in which the decoder sees units at any level of pitch: what has been said is then
    no hint at how high the next unit is, and the taste tokens must tell."""
    aligned_heads: list[tuple[int, int]] = [(1, 0), (2, 0)]
    """(block, head) of the decoder that learn to look at what is being said."""
    alignment_weight: float = 0.2
    phones_weight: float = 0.3
    """Of the phone that each unit belongs to, told from the decoder's last hidden state."""
    spelling_weight: float = 0.1
    """Of the phones of the text, told from the text encoder."""
    spelling_every: int = 4
    """Steps from one batch of spelling to the next, so that it is not forgotten."""
    spelling_steps: int = 800
    """Steps in which the text encoder learns to spell before there are units."""
    prosody_weight: float = 0.3
    prosody_steps: int = 250
    """Steps in which the aggregator learns to tell the words' prosody before the decoder listens to it."""
    prosody_rate: float = 1e-3
    commitment_weight: float = 0.25
    label_smoothing: float = 0.0
    evaluated_batches: int = 4
    spoken_utterances: int = 16
    """Unseen ones that are spoken freely for `FreeSpeech`."""


def load_utterances(settings: Settings, context: StageContext) -> tuple[list[AlignedUtterance], EncodedStore]:
    """Tokenized and aligned utterances that have units, and their encoder states."""
    folder, config = context.folder("autoencoder"), context.config
    units = load_file(context.folder("units") / "units.safetensors")
    tokenizer = AutoTokenizer.from_pretrained(context.folder("tokenizers") / "asr")
    stores = [AudioStore(context.folder("corpus") / name) for name in settings.stores]
    clips = [(store, clip) for store in stores for clip in store if clip.id in units]
    times = word_times.prepare([clip for _, clip in clips], folder / "times.json", settings.loop.threads)
    encoded = EncodedStore(folder / "encoded", config.tower.d_model)
    recogniser = trained_recogniser(context)
    if recogniser is not None:
        value_layer = config.audio_tower_config.kwargs_for_joint_encoder_segmenter.target_hidden_layer
        encoded.prepare(clips, recogniser, value_layer)
    rate = config.unit_decoding.units_per_second
    prosody = UnitProsody(load_file(context.folder("units") / "quantizer.safetensors")["centroids"])
    utterances = [
        align_utterance(clip, units[clip.id], times[clip.id], tokenizer, rate, prosody) for _, clip in clips
    ]
    return standardise(utterances), encoded


@torch.no_grad()
def with_taste_ids(
    utterances: list[AlignedUtterance], model: TasteAutoencoder, context: StageContext
) -> list[AlignedUtterance]:
    """The utterances with their taste tokens, of a tower that stays as it is; kept in a file."""
    path = context.folder("autoencoder") / "taste_ids.safetensors"
    known = load_file(path) if path.exists() else {}
    features = LogMelFeatures(model.tower.config)
    clips = {clip.id: (store, clip) for store in _stores(context) for clip in store}
    for item in utterances:
        if item.key not in known:
            store, clip = clips[item.key]
            mel = features(store.samples(clip).astype(np.float32) / 32768)
            ids, words = torch.tensor([item.token_ids]), torch.tensor([item.word_ids])
            indices = model.tower(mel, ids, torch.tensor([ids.shape[1]]), words).indices[0]
            firsts = [item.word_ids.index(word) for word in range(len(item.word_end_units))]
            known[item.key] = indices[firsts].short()
    save_file(known, path)
    return [replace(item, taste_ids=known[item.key].long()) for item in utterances]


def _stores(context: StageContext) -> list[AudioStore]:
    folder = context.folder("corpus")
    return [AudioStore(path) for path in sorted(folder.iterdir()) if path.is_dir()]


def learn_spelling(
    model: TasteAutoencoder, spelling: Spelling, settings: Settings, generator: torch.Generator
) -> None:
    """Teach the text encoder how words are said, from the words of the dialogue text and flite's lexicon."""
    parts = (model.decoder.text_embedding, model.decoder.text_encoder, model.spelling)
    parameters = [parameter for part in parts for parameter in part.parameters()]
    optimizer = torch.optim.AdamW(parameters, settings.loop.learning_rate)
    for step in range(settings.spelling_steps):
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.loop.precision == "bf16"):
            loss = model.spelling_loss(*spelling.batch(generator))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, settings.loop.clip_norm)
        optimizer.step()
        if step % settings.loop.log_every == 0:
            logger.info("autoencoder: spelling step %d, loss %.3f", step, float(loss.detach()))


def take_tower(
    model: TasteAutoencoder,
    settings: Settings,
    context: StageContext,
    train: WindowBatches,
    generator: torch.Generator,
) -> None:
    """Encoder and aggregator from the recogniser, once there is one; the latter is taught to hear prosody."""
    recogniser = trained_recogniser(context)
    if recogniser is None or bool(model.has_tower):
        return
    model.take_tower(recogniser.encoder, recogniser.decoder)
    parameters = [*model.tower.aggregator.parameters(), *model.prosody.parameters()]
    optimizer = torch.optim.AdamW(parameters, settings.prosody_rate)
    batches = train.endless(generator)
    for step in range(settings.prosody_steps):
        windows = next(batches)
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.loop.precision == "bf16"):
            loss = model.prosody_loss(model.words(windows), windows)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, settings.loop.clip_norm)
        optimizer.step()
        if step % settings.loop.log_every == 0:
            logger.info("autoencoder: prosody step %d, loss %.3f", step, float(loss.detach()))
    model.begin_audio(_sample(train))


def _sample(batches: WindowBatches) -> list[Windows]:
    """Some whole utterances."""
    generator = torch.Generator().manual_seed(0)
    return [windows for _, windows in zip(range(SAMPLED_BATCHES), batches.endless(generator), strict=False)]


class Trainer:
    """The losses and the evaluation of stage 1."""

    def __init__(
        self,
        settings: Settings,
        loop: TrainingLoop,
        batches: WindowBatches,
        valid: WindowBatches,
        noise: UnitNoise,
        spelling: Spelling,
    ) -> None:
        self.spelling = spelling
        self.settings, self.loop, self.noise = settings, loop, noise
        self.batches, self.valid = batches.endless(loop.generator), valid
        self.sample = _sample(batches)
        self.model: TasteAutoencoder = loop.accelerator.unwrap_model(loop.module)
        size = self.model.decoder.config.spk_embed_dim
        self.speaker = fixed_embedding(settings.voice, size)
        self.speech = FreeSpeech(batches.utterances, valid.utterances, settings.spoken_utterances)

    def kind(self) -> Condition:
        """What the budget spent so far asks for."""
        used = self.loop.progress()
        if bool(self.model.is_final):
            return Condition.QUANTIZED
        if used < self.settings.text_until or not bool(self.model.has_tower):
            return Condition.TEXT
        return Condition.CONTINUOUS if used < self.settings.continuous_until else Condition.QUANTIZED

    def losses(self, step: int, generator: torch.Generator) -> Losses:
        """Units, alignment and commitment."""
        settings, windows = self.settings, next(self.batches)
        kind = self.kind()
        dropped = torch.rand(len(windows.token_ids), generator=generator) < settings.withheld_part
        if kind is Condition.QUANTIZED and not (self.model.has_quantizer or self.model.is_final):
            self.model.begin_quantizer(self.sample)
        if self.loop.progress() >= self.settings.final_from and not bool(self.model.is_final):
            self.model.finish_tower()
            save_tower(self.model, self.loop.workdir)
        audio, own = self.model.condition(windows, kind, dropped)
        heard = self.noise(windows.unit_ids, generator, self.loop.progress())
        prediction, said = self.model.predict(windows, audio, heard, self.speaker)
        own |= said
        if step % settings.spelling_every == 0:
            own["spelling"] = self.model.spelling_loss(*self.spelling.batch(generator))
        weights = {
            "commitment": settings.commitment_weight,
            "prosody": settings.prosody_weight,
            "heard_prosody": settings.prosody_weight,
            "alignment": settings.alignment_weight,
            "phones": settings.phones_weight,
            "spelling": settings.spelling_weight,
        }
        return {
            "units": prediction.loss(settings.label_smoothing),
            **{name: weights[name] * loss for name, loss in own.items()},
        }

    def evaluate(self) -> dict[str, float]:
        """Loss and accuracy on whole unseen utterances, by text only and with what is trained now."""
        result = {}
        for kind in {Condition.TEXT, self.kind()}:
            losses, accuracies, others = [], [], []
            for number, (_, windows) in enumerate(self.valid.whole()):
                if number == self.settings.evaluated_batches:
                    break
                audio, _ = self.model.condition(windows, kind, None)
                prediction, said = self.model.predict(windows, audio, windows.unit_ids, self.speaker)
                others.append(torch.stack([said["alignment"], said["phones"]]))
                losses.append(prediction.loss())
                accuracies.append(prediction.accuracy())
            result[f"{kind.value}_loss"] = float(torch.stack(losses).mean())
            result[f"{kind.value}_accuracy"] = float(torch.stack(accuracies).mean())
            alignment, phones = torch.stack(others).mean(0).tolist()
            result |= {f"{kind.value}_alignment": alignment, f"{kind.value}_phones": phones}
        result |= self.speech.phone_errors(self.model, self.speaker)
        return result


def run(settings: Settings, context: StageContext) -> None:
    """Train; writes `audio_tower.safetensors` and `speech_decoder.safetensors`."""
    folder = context.folder("autoencoder")
    utterances, encoded = load_utterances(settings, context)
    torch.manual_seed(settings.loop.seed)
    model = TasteAutoencoder(context.config, settings.aligned_heads)
    model.scale_inputs()
    loop = TrainingLoop("autoencoder", folder, model, settings.loop)
    resumed = loop.resume()
    if bool(model.is_final):
        model.finish_tower()
        save_tower(model, folder)
        utterances = with_taste_ids(utterances, model, context)
    spelling = Spelling.of_dialogues(context, settings.voice)
    if not resumed:
        learn_spelling(model, spelling, settings, loop.generator)

    def batches(split: str, whole_part: float) -> WindowBatches:
        chosen = [utterance for utterance in utterances if utterance.split == split]
        return WindowBatches(chosen, encoded, settings.batch_units, whole_part)

    quantizer = load_file(context.folder("units") / "quantizer.safetensors")
    noise, valid = UnitNoise(quantizer, settings), batches("valid", 1.0)
    train = batches("train", settings.whole_part)
    take_tower(model, settings, context, train, loop.generator)
    trainer = Trainer(settings, loop, train, valid, noise, spelling)
    logger.info("autoencoder: %d utterances", len(utterances))
    loop.run(trainer.losses, trainer.evaluate)
    model.export_quantizer()
    save_tower(model, folder)
    decoder = {name: value.contiguous() for name, value in model.decoder.state_dict().items()}
    save_file(decoder, folder / "speech_decoder.safetensors")


def save_tower(model: TasteAutoencoder, folder: Path) -> None:
    """Write `audio_tower.safetensors`: encoder, aggregator and exported quantizer."""
    weights = {name: value.contiguous() for name, value in model.tower.state_dict().items()}
    save_file(weights, folder / "audio_tower.safetensors")


def trained_autoencoder(settings: Settings, context: StageContext) -> TasteAutoencoder:
    """The model of the last saved state, in evaluation mode, with its quantizer exported."""
    model = TasteAutoencoder(context.config, settings.aligned_heads)
    state = torch.load(context.folder("autoencoder") / "state.pt", weights_only=True, map_location="cpu")
    model.load_state_dict(state["module"])
    model.export_quantizer()
    return model.eval()
