"""Stage `autoencoder`: TASTE stage 1, speech of known text -> one taste token per word -> speech units.

As in the paper (arXiv:2504.07053, section 3.2) the unit decoder first learns from text only, then with the
aggregator's continuous vectors, then with quantized ones. It learns on windows of whole words, because
synthesis in chunks works like that: units of the first words are given, those of the last words are wanted.

The encoder is pretrained and frozen. Its states for a part of the corpus are kept on disk; of the other
utterances the aggregator only gets the text.

`audio_tower.safetensors` is written once taste tokens are final, and not before.
"""

import hashlib
import logging
from dataclasses import replace
from pathlib import Path

import torch
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import Tensor

from taste_speech.pretrained.whisper import tiny_en_folder
from taste_speech.training.autoencoder.initialization import begin_audio, begin_quantizer, learn_prosody
from taste_speech.training.autoencoder.model import Condition, TasteAutoencoder
from taste_speech.training.autoencoder.taste_tokens import EncodedStore, with_taste_ids
from taste_speech.training.autoencoder.utterances import load_utterances
from taste_speech.training.autoencoder.windows import (
    NoiseSettings,
    UnitNoise,
    WindowBatches,
    Windows,
    guess,
)
from taste_speech.training.config import StageContext, replacing
from taste_speech.training.loop import LoopSettings, Losses, TrainingLoop
from taste_speech.training.voice import fixed_embedding, unit_vectors

logger = logging.getLogger(__name__)
TOWER_NAME = "audio_tower.safetensors"
SAMPLED_BATCHES = 40
"""Number of batches from which means, deviations and codebooks are first estimated."""


class Settings(NoiseSettings):
    """Settings of stage 1."""

    loop: LoopSettings = LoopSettings()
    stores: list[str] = ["reply", "reply2"]
    voice: str = "rms"
    batch_units: int = 2600
    """Units and ASR tokens in one padded batch."""
    whole_part: float = 0.5
    """Fraction of the batches that are whole utterances, not windows."""
    window_words: int = Field(default=14, ge=1)
    """Most words in a window: a chunk of a reply and the words before it that stay visible."""
    text_until: float = 0.15
    """Fraction of the budget at which the aggregator comes in."""
    continuous_until: float = 0.5
    """Fraction of the budget at which the quantizer comes in."""
    final_from: float = 0.8
    """Fraction of the budget from which taste tokens no longer change, so that stage `mind` can start."""
    withheld_part: float = 0.1
    """Fraction of the items without audio, so that the decoder can still speak from the text alone."""
    guessed_part: float = 0.3
    """Fraction of the batches, once taste tokens are final, with tokens as a language model would guess them:
    a decoder that has only seen true ones speaks less clearly from those."""
    guess_explains: float = 0.87
    """Part of the variance of the codes that such a guess explains."""
    strange_pace_part: float = Field(default=0.5, ge=0, le=1)
    """Fraction of the windows whose first words have another pace than the rest: the past then says nothing
    about the duration of the next sound, and the decoder must take it from the taste tokens."""
    aligned_heads: list[tuple[int, int]] = [(1, 0), (2, 0)]
    """(block, head) of the decoder's heads that learn to attend to what is being said."""
    alignment_weight: float = 0.2
    """Weight of the loss of these heads."""
    phones_weight: float = 0.3
    """Weight of predicting the phone of each unit from the decoder's last hidden state."""
    heard_part: float = Field(default=0.35, gt=0, le=1)
    """Fraction of the training utterances that are encoded; of the others only the text is used."""
    prosody_weight: float = 0.3
    """Weight of predicting the words' prosody from the aggregator's vectors, and from the condition rows."""
    listening_weight: float = 0.1
    """Weight of the aggregator's attention to the right frames."""
    pace_weight: float = 1.0
    """Weight of predicting the mean pace of a window from the condition; else the decoder ignores it."""
    said_weight: float = 0.5
    """Weight of predicting the prosody of the current word from the decoder's last hidden state."""
    prosody_steps: int = 250
    """Steps in which the aggregator learns prosody before the decoder listens to it."""
    prosody_rate: float = 1e-3
    commitment_weight: float = 0.25
    label_smoothing: float = 0.0
    evaluated_batches: int = 4


class Trainer:
    """The losses and the evaluation of stage 1."""

    def __init__(
        self,
        settings: Settings,
        context: StageContext,
        loop: TrainingLoop,
        train: WindowBatches,
        valid: WindowBatches,
        noise: UnitNoise,
        speaker: Tensor,
    ) -> None:
        self.settings, self.context, self.loop, self.noise = settings, context, loop, noise
        self.train, self.valid, self.speaker = train, valid, speaker
        self.batches = train.endless(loop.generator)
        self.sample = _sample(train)
        self.model: TasteAutoencoder = loop.accelerator.unwrap_model(loop.module)
        self.weights = {
            "commitment": settings.commitment_weight,
            "prosody": settings.prosody_weight,
            "listening": settings.listening_weight,
            "heard_prosody": settings.prosody_weight,
            "heard_pace": settings.pace_weight,
            "said_prosody": settings.said_weight,
            "alignment": settings.alignment_weight,
            "phones": settings.phones_weight,
        }

    def kind(self) -> Condition:
        """Return the condition for the current part of the budget."""
        used = self.loop.progress()
        if bool(self.model.is_final):
            return Condition.QUANTIZED
        if used < self.settings.text_until or not bool(self.model.has_tower):
            return Condition.TEXT
        return Condition.CONTINUOUS if used < self.settings.continuous_until else Condition.QUANTIZED

    def losses(self, _step: int, generator: torch.Generator) -> Losses:
        """Return the weighted losses of a fresh batch."""
        settings, model = self.settings, self.model
        if self.loop.progress() >= settings.final_from and may_finish(model):
            finish_tower(model, self.loop)
            for batches in (self.train, self.valid):  # from now on taste tokens are looked up
                batches.take(with_taste_ids(batches.utterances, model.tower, batches.encoded, self.context))
        windows, kind = next(self.batches), self.kind()
        dropped = torch.rand(len(windows.token_ids), generator=generator) < settings.withheld_part
        dropped = dropped.to(self.loop.device)
        if kind is Condition.QUANTIZED and not (model.has_quantizer or model.is_final):
            begin_quantizer(model, self.sample)
        audio, own = model.condition(self._guessed(windows, generator), kind, dropped)
        heard = self.noise(windows.unit_ids, generator, self.loop.progress())
        prediction, said = model.predict(windows, audio, heard, self.speaker)
        return {
            "units": prediction.loss(settings.label_smoothing),
            **{name: self.weights[name] * loss for name, loss in (own | said).items()},
        }

    def _guessed(self, windows: Windows, generator: torch.Generator) -> Windows:
        settings, ids = self.settings, windows.taste_ids
        if ids is None or float(torch.rand((), generator=generator)) >= settings.guessed_part:
            return windows
        quantizer = self.model.tower.quantizer
        guessed = guess(quantizer, ids, windows.word_ids, settings.guess_explains, generator)
        return replace(windows, taste_ids=guessed)

    def evaluate(self) -> dict[str, float]:
        """Return losses and accuracy on whole unseen utterances, from text only and as trained now."""
        result = {}
        for kind in {Condition.TEXT, self.kind()}:
            rows = []
            for _, windows in zip(range(self.settings.evaluated_batches), self.valid.whole(), strict=False):
                audio, _ = self.model.condition(windows, kind, None)
                prediction, said = self.model.predict(windows, audio, windows.unit_ids, self.speaker)
                rows.append([prediction.loss(), prediction.accuracy(), said["alignment"], said["phones"]])
            for name, values in zip(
                ("loss", "accuracy", "alignment", "phones"), zip(*rows, strict=True), strict=True
            ):
                result[f"{kind.value}_{name}"] = float(torch.stack(values).mean())
        return result


def _sample(batches: WindowBatches) -> list[Windows]:
    generator = torch.Generator().manual_seed(0)
    return [windows for _, windows in zip(range(SAMPLED_BATCHES), batches.endless(generator), strict=False)]


def run(settings: Settings, context: StageContext) -> None:
    """Train; write `speech_decoder.safetensors`, and the audio tower once its taste tokens are final."""
    folder = context.folder("autoencoder")
    torch.manual_seed(settings.loop.seed)
    model = TasteAutoencoder(context.config, settings.aligned_heads)
    model.scale_inputs()
    quantizer = begin_units(model, context)
    loop = TrainingLoop("autoencoder", folder, model, settings.loop, given=is_given)
    loop.resume()
    if context.config.pretrained.encoder is not None:
        model.tower.encoder.load_state_dict(pretrained_encoder())
    utterances, clips = load_utterances(context, settings.stores)
    encoded = EncodedStore(folder / "encoded", model.tower.config.d_model)

    def encode() -> None:
        heard = [
            clips[u.key] for u in utterances if u.split != "train" or is_heard(u.key, settings.heard_part)
        ]
        logger.info("autoencoder: encoding %d of %d utterances", len(heard), len(utterances))
        encoded.prepare(heard, model.tower)

    if bool(model.is_final):
        encode()
        model.finish_tower()
        save_tower(model, folder)
        utterances = with_taste_ids(utterances, model.tower, encoded, context)
    else:
        (folder / TOWER_NAME).unlink(missing_ok=True)  # from an earlier run

    def batches(split: str, whole_part: float) -> WindowBatches:
        return WindowBatches(
            [utterance for utterance in utterances if utterance.split == split],
            encoded,
            settings.batch_units,
            whole_part,
            settings.window_words,
            loop.device,
            settings.strange_pace_part,
        )

    noise = UnitNoise(quantizer, settings)
    train, valid = batches("train", settings.whole_part), batches("valid", 1.0)
    speaker = fixed_embedding(settings.voice, model.decoder.config.spk_embed_dim).to(loop.device)
    trainer = Trainer(settings, context, loop, train, valid, noise, speaker)

    def write() -> None:
        if loop.finished and may_finish(model):
            finish_tower(model, loop)
        weights = {name: value.contiguous() for name, value in model.decoder.state_dict().items()}
        save_file(weights, folder / "speech_decoder.safetensors")

    if not bool(model.has_tower):
        loop.run(trainer.losses, trainer.evaluate, write, settings.text_until)
        encode()
        windows = train.endless(loop.generator)
        learn_prosody(model, windows, settings.prosody_steps, settings.prosody_rate, settings.loop)
        begin_audio(model, _sample(train))
        model.has_tower.fill_(True)
        loop.save()
    loop.run(trainer.losses, trainer.evaluate, write)


def begin_units(model: TasteAutoencoder, context: StageContext) -> dict[str, Tensor]:
    """Initialize the decoder's units by their sound and frequency; return the tensors of the quantizer."""
    config, folder = model.decoder.config, context.folder("units")
    quantizer, units = load_file(folder / "quantizer.safetensors"), load_file(folder / "units.safetensors")
    counts = torch.cat(list(units.values())).long().bincount(minlength=config.speech_token_size)
    model.begin_units(unit_vectors(quantizer, config.llm_output_size), counts)
    return quantizer


def is_given(name: str) -> bool:
    """Return whether a tensor of the autoencoder belongs to the pretrained encoder."""
    return name.startswith("tower.encoder.")


def is_heard(key: str, part: float) -> bool:
    """Return whether an utterance is in the fraction `part` that is encoded."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "little") < part * 2**32


def pretrained_encoder() -> dict[str, Tensor]:
    """Return the weights of Whisper tiny.en's encoder in float32."""
    prefix = "model.encoder."
    stored = load_file(tiny_en_folder() / "model.safetensors")
    return {
        name.removeprefix(prefix): value.float() for name, value in stored.items() if name.startswith(prefix)
    }


def may_finish(model: TasteAutoencoder) -> bool:
    """Return whether there are taste tokens that can still change."""
    return bool(model.has_quantizer) and not bool(model.is_final)


def finish_tower(model: TasteAutoencoder, loop: TrainingLoop) -> None:
    """Make taste tokens final, in the saved state first: other stages start when they find the tower."""
    model.finish_tower()
    loop.save()
    save_tower(model, loop.workdir)


def save_tower(model: TasteAutoencoder, folder: Path) -> None:
    """Write `audio_tower.safetensors`: encoder, aggregator and exported quantizer."""
    weights = {name: value.contiguous() for name, value in model.tower.state_dict().items()}
    with replacing(folder / TOWER_NAME) as partial:
        save_file(weights, partial)


def final_tower(context: StageContext) -> dict[str, Tensor] | None:
    """Return the weights of the audio tower; None while its taste tokens can still change."""
    path = context.folder("autoencoder") / TOWER_NAME
    return load_file(path) if path.exists() else None


def trained_autoencoder(settings: Settings, context: StageContext) -> TasteAutoencoder:
    """Return the model of the last saved state, in evaluation mode, with its quantizer exported."""
    path = context.folder("autoencoder") / "state.pt"
    state = torch.load(path, weights_only=True, map_location="cpu", mmap=True)["module"]
    model = TasteAutoencoder(context.config, settings.aligned_heads)
    model.load_state_dict(state, strict=False)  # it lacks the pretrained encoder
    model.export_quantizer()
    return model.eval()
