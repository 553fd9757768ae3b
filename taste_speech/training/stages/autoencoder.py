"""Stage `autoencoder`: TASTE stage 1, speech of known text -> one taste token per word -> speech units.

As in the paper (arXiv:2504.07053, section 3.2) the unit decoder first learns from text only, then with the
aggregator's continuous vectors, then with quantized ones. Windows of whole words are what chunk-wise
synthesis asks of it later: units of the first words are given, those of the last ones are wanted.

The encoder is a pretrained one that stays as it is. Its states of a part of the corpus are kept on disk; of
the other utterances only the text is known to the aggregator's side.

Once taste tokens are final, `audio_tower.safetensors` is written: there is none before.
"""

import hashlib
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import Tensor

from taste_speech.configuration_base import StrictSection
from taste_speech.modeling_taste import TasteForCausalLM
from taste_speech.pretrained.whisper import tiny_en_folder
from taste_speech.training.autoencoder import (
    Condition,
    EncodedStore,
    TasteAutoencoder,
    UnitNoise,
    WindowBatches,
    Windows,
    begin_audio,
    begin_quantizer,
    guess,
    learn_prosody,
    load_utterances,
    with_taste_ids,
)
from taste_speech.training.config import StageContext
from taste_speech.training.loop import LoopSettings, Losses, TrainingLoop
from taste_speech.training.replacing import replacing
from taste_speech.training.voice import fixed_embedding, unit_vectors

logger = logging.getLogger(__name__)
TOWER_NAME = "audio_tower.safetensors"
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
    window_words: int = Field(default=14, ge=1)
    """Most words in a window: a chunk of a reply and the words before it that stay in view."""
    text_until: float = 0.15
    continuous_until: float = 0.5
    """Fractions of the budget at which the aggregator and the quantizer come in."""
    final_from: float = 0.8
    """Fraction of the budget from which taste tokens stay as they are, so that `spoken_lm` may start."""
    withheld_part: float = 0.1
    """Fraction of the items without audio, so that text alone stays enough to speak."""
    guessed_part: float = 0.3
    """Fraction of the batches, once taste tokens are final, with tokens as a language model would guess them:
    a decoder that only knows true ones speaks less clearly from those."""
    guess_explains: float = 0.87
    """Of the variance of the codes; measured on a spoken LM before its taste loss lost the noise."""
    replaced_units: tuple[float, float] = (0.8, 0.4)
    """Largest fraction of the units of an item that the decoder sees replaced, at the start and at the end of
    the budget; each item draws its own below it. Without, the decoder goes by the units alone and what it
    says only sounds like speech (compare the dropout in the prenet of Tacotron 2, Shen et al., 2018)."""
    near_part: float = 0.6
    """Of those, replaced by one that sounds alike instead of any."""
    neighbors: int = 6
    strange_pitch_part: float = 0.5
    """Fraction of the items in which the decoder sees units at any level of pitch: what has been said is then
    no hint at how high the next unit is, and the taste tokens must tell."""
    strange_pace_part: float = Field(default=0.5, ge=0, le=1)
    """Fraction of the windows whose first words are at another pace than the rest: what has been said is then
    no hint at how long the next sound is, and the taste tokens must tell."""
    aligned_heads: list[tuple[int, int]] = [(1, 0), (2, 0)]
    """(block, head) of the decoder that learn to look at what is being said."""
    alignment_weight: float = 0.2
    phones_weight: float = 0.3
    """Of the phone that each unit belongs to, told from the decoder's last hidden state."""
    heard_part: float = Field(default=0.35, gt=0, le=1)
    """Fraction of the training utterances that are encoded; of the others only the text is used."""
    prosody_weight: float = 0.3
    listening_weight: float = 0.1
    """Of where the aggregator's heads look."""
    pace_weight: float = 1.0
    """Of the mean pace of a window, told from the condition: the unit decoder does not hear it otherwise."""
    said_weight: float = 0.5
    """Of the prosody of the word that is being said, told from the unit decoder's last hidden state."""
    prosody_steps: int = 250
    """Steps in which the aggregator learns to tell the words' prosody before the decoder listens to it."""
    prosody_rate: float = 1e-3
    commitment_weight: float = 0.25
    label_smoothing: float = 0.0
    evaluated_batches: int = 4


def take_audio(
    model: TasteAutoencoder, settings: Settings, train: WindowBatches, generator: torch.Generator
) -> None:
    """Teach the aggregator to hear prosody, and make what it hears easy for the unit decoder to take."""
    learn_prosody(
        model, train.endless(generator), settings.prosody_steps, settings.prosody_rate, settings.loop
    )
    begin_audio(model, _sample(train))
    model.has_tower.fill_(True)


def _sample(batches: WindowBatches) -> list[Windows]:
    """Some whole utterances."""
    generator = torch.Generator().manual_seed(0)
    return [windows for _, windows in zip(range(SAMPLED_BATCHES), batches.endless(generator), strict=False)]


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
        self.train, self.valid = train, valid
        self.batches = train.endless(loop.generator)
        self.sample = _sample(train)
        self.model: TasteAutoencoder = loop.accelerator.unwrap_model(loop.module)
        self.speaker = speaker

    def kind(self) -> Condition:
        """What the budget spent so far asks for."""
        used = self.loop.progress()
        if bool(self.model.is_final):
            return Condition.QUANTIZED
        if used < self.settings.text_until or not bool(self.model.has_tower):
            return Condition.TEXT
        return Condition.CONTINUOUS if used < self.settings.continuous_until else Condition.QUANTIZED

    def losses(self, _step: int, generator: torch.Generator) -> Losses:
        """Units, alignment and commitment."""
        settings = self.settings
        if self.loop.progress() >= settings.final_from and may_finish(self.model):
            self._finish_tower()
        windows, kind = next(self.batches), self.kind()
        dropped = torch.rand(len(windows.token_ids), generator=generator) < settings.withheld_part
        dropped = dropped.to(self.loop.device)
        if kind is Condition.QUANTIZED and not (self.model.has_quantizer or self.model.is_final):
            begin_quantizer(self.model, self.sample)
        audio, own = self.model.condition(self._guessed(windows, generator), kind, dropped)
        heard = self.noise(windows.unit_ids, generator, self.loop.progress())
        prediction, said = self.model.predict(windows, audio, heard, self.speaker)
        own |= said
        weights = {
            "commitment": settings.commitment_weight,
            "prosody": settings.prosody_weight,
            "listening": settings.listening_weight,
            "heard_prosody": settings.prosody_weight,
            "heard_pace": settings.pace_weight,
            "said_prosody": settings.said_weight,
            "alignment": settings.alignment_weight,
            "phones": settings.phones_weight,
        }
        return {
            "units": prediction.loss(settings.label_smoothing),
            **{name: weights[name] * loss for name, loss in own.items()},
        }

    def _finish_tower(self) -> None:
        """From now on taste tokens are looked up, so that some can be guessed."""
        finish_tower(self.model, self.loop)
        for batches in (self.train, self.valid):
            tower = self.model.tower
            batches.take(with_taste_ids(batches.utterances, tower, batches.encoded, self.context))

    def _guessed(self, windows: Windows, generator: torch.Generator) -> Windows:
        """The windows, at times with guessed taste tokens."""
        settings, ids = self.settings, windows.taste_ids
        if ids is None or float(torch.rand((), generator=generator)) >= settings.guessed_part:
            return windows
        quantizer = self.model.tower.quantizer
        guessed = guess(quantizer, ids, windows.word_ids, settings.guess_explains, generator)
        return replace(windows, taste_ids=guessed)

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
        return result


def run(settings: Settings, context: StageContext) -> None:
    """Train; writes `speech_decoder.safetensors`, once taste tokens are final `audio_tower.safetensors`."""
    folder = context.folder("autoencoder")
    torch.manual_seed(settings.loop.seed)
    model = TasteAutoencoder(context.config, settings.aligned_heads)
    model.scale_inputs()
    units = load_file(context.folder("units") / "units.safetensors")
    quantizer = load_file(context.folder("units") / "quantizer.safetensors")
    if context.start is None:
        begin_units(model, quantizer, units)
    else:
        begin_with(model, context.start)
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
        logger.info("autoencoder: encoding %d utterances", len(heard))
        encoded.prepare(heard, model.tower)

    if bool(model.is_final):
        encode()
        model.finish_tower()
        save_tower(model, folder)
        utterances = with_taste_ids(utterances, model.tower, encoded, context)
    else:
        (folder / TOWER_NAME).unlink(missing_ok=True)  # of a run before this one

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
    logger.info("autoencoder: %d utterances", len(utterances))

    def write() -> None:
        if loop.finished and may_finish(model):
            finish_tower(model, loop)
        weights = {name: value.contiguous() for name, value in model.decoder.state_dict().items()}
        save_file(weights, folder / "speech_decoder.safetensors")

    if not bool(model.has_tower):
        loop.run(trainer.losses, trainer.evaluate, write, settings.text_until)
        encode()
        take_audio(model, settings, train, loop.generator)
        loop.save()
    loop.run(trainer.losses, trainer.evaluate, write)


def begin_units(model: TasteAutoencoder, quantizer: dict[str, Tensor], units: dict[str, Tensor]) -> None:
    """Tell the unit decoder how units sound and how often they are said, before it learns anything."""
    config = model.decoder.config
    counts = torch.cat(list(units.values())).long().bincount(minlength=config.speech_token_size)
    model.begin_units(unit_vectors(quantizer, config.llm_output_size), counts)


def begin_with(model: TasteAutoencoder, start: Path) -> None:
    """Take the tower and the unit decoder of a checkpoint; its taste tokens stay as they are."""
    stored = TasteForCausalLM.from_pretrained(start)
    model.tower.load_state_dict(stored.audio_tower.state_dict())
    model.decoder.load_state_dict(stored.speech_decoder.state_dict())
    model.has_tower.fill_(True)
    model.is_final.fill_(True)


def is_given(name: str) -> bool:
    """Return whether a tensor of the autoencoder is the pretrained encoder's."""
    return name.startswith("tower.encoder.")


def is_heard(key: str, part: float) -> bool:
    """Return whether an utterance is among the `part` of them that is encoded."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "little") < part * 2**32


def pretrained_encoder() -> dict[str, Tensor]:
    """Weights of the encoder that all taste tokens come from, in float32."""
    prefix = "model.encoder."
    stored = load_file(tiny_en_folder() / "model.safetensors")
    return {
        name.removeprefix(prefix): value.float() for name, value in stored.items() if name.startswith(prefix)
    }


def may_finish(model: TasteAutoencoder) -> bool:
    """Return whether there are taste tokens that still change."""
    return bool(model.has_quantizer) and not bool(model.is_final)


def finish_tower(model: TasteAutoencoder, loop: TrainingLoop) -> None:
    """Taste tokens stay as they are from now on; the state says so before other stages find the tower."""
    model.finish_tower()
    loop.save()
    save_tower(model, loop.workdir)


def save_tower(model: TasteAutoencoder, folder: Path) -> None:
    """Write `audio_tower.safetensors`: encoder, aggregator and exported quantizer."""
    weights = {name: value.contiguous() for name, value in model.tower.state_dict().items()}
    with replacing(folder / TOWER_NAME) as partial:
        save_file(weights, partial)


def final_tower(context: StageContext) -> dict[str, Tensor] | None:
    """Weights of the audio tower; None while its taste tokens may still change."""
    folder = context.folder("autoencoder")
    if not (folder / TOWER_NAME).exists():
        return None
    return load_file(folder / TOWER_NAME)


def trained_autoencoder(settings: Settings, context: StageContext) -> TasteAutoencoder:
    """The model of the last saved state, in evaluation mode, with its quantizer exported."""
    model = TasteAutoencoder(context.config, settings.aligned_heads)
    model.load_state_dict(_state(context)["module"], strict=False)  # the encoder is given
    model.export_quantizer()
    return model.eval()


def _state(context: StageContext) -> dict[str, Any]:
    """The last saved state, read where it is looked at."""
    path = context.folder("autoencoder") / "state.pt"
    return torch.load(path, weights_only=True, map_location="cpu", mmap=True)
