"""The ways in which a checkpoint makes sound, and how it takes one in."""

import copy
from functools import cached_property

import numpy as np
import soxr
import torch
from safetensors.numpy import load_file

from taste_speech.checkpoint_files import UNITS
from taste_speech.modeling_taste import TasteForCausalLM
from taste_speech.streaming import StreamingDetokenizer, TASTESegment, taste_tokenize
from taste_speech.streaming.segment import Role
from taste_speech.training.evaluation.minds import TasteMind, TasteTalk, typed
from taste_speech.training.evaluation.sounds import RATE_HZ, Audio, Clip
from taste_speech.training.stages.units import Settings as UnitSettings
from taste_speech.training.stages.units import UnitQuantizer, unit_features
from taste_speech.vocoder.mel import log_mel


class Mouth:
    """The ways in which a checkpoint makes sound, all at 16 kHz with a fixed seed."""

    def __init__(self, mind: TasteMind) -> None:
        self.mind, self.model, self.processor = mind, mind.model, mind.processor
        self.generator = mind.model.voice
        self.speaker = next(iter(mind.processor.voices().values()))

    def _resampled(self, samples: torch.Tensor) -> Audio:
        return soxr.resample(samples.numpy(), self.generator.config.sampling_rate_hz, RATE_HZ)

    def _own_rate(self, clip: Clip) -> Audio:
        return soxr.resample(clip.samples, RATE_HZ, self.generator.config.sampling_rate_hz)

    @torch.no_grad()
    def vocode(self, clip: Clip) -> Audio:
        """Natural mel frames -> waveform."""
        mel = log_mel(torch.from_numpy(self._own_rate(clip))[None], self.generator.config)
        return self._resampled(self.generator.hift(mel, generator=torch.Generator().manual_seed(0))[0])

    @cached_property
    def _quantizer(self) -> UnitQuantizer:
        tensors = load_file(self.processor.files.fetch(UNITS))
        spectra, cepstra = tensors["voiced"].shape
        levels = len(tensors["pitch_edges"]) + 1
        return UnitQuantizer(
            tensors, UnitSettings(pitch_levels=levels, voiced_spectra=spectra, cepstra=cepstra)
        )

    @torch.no_grad()
    def resynthesize(self, clip: Clip) -> Audio:
        """Natural sound -> units -> mel -> waveform."""
        units = self._quantizer.encode(*unit_features(self._own_rate(clip), self.generator.config))
        ids = torch.from_numpy(units.astype(np.int64))[None]
        seed = torch.Generator().manual_seed(0)
        wave, _ = self.generator.inference(
            ids, torch.tensor([ids.shape[1]]), flow_embedding=self.speaker, generator=seed
        )
        return self._resampled(wave[0])

    def say(self, segment: TASTESegment) -> Audio:
        """Text and taste tokens -> waveform."""
        return self.speech().feed(segment.text_ids, segment.taste_ids, final=True).samples

    def speech(self) -> StreamingDetokenizer:
        """What makes the sound of one reply."""
        seed = torch.Generator().manual_seed(0)
        return StreamingDetokenizer(self.model, self.processor, self.speaker, RATE_HZ, seed)

    def retell(self, clip: Clip) -> tuple[Audio, tuple[float, ...]]:
        """A recording -> taste tokens -> waveform, and when its words end."""
        segment = spoken_segment(self.mind, clip.samples, clip.text, "assistant")
        chunk = self.speech().feed(segment.text_ids, segment.taste_ids, final=True)
        return chunk.samples, tuple(end / RATE_HZ for end in chunk.word_ends)

    def reply(self, talk: TasteTalk, question: str) -> tuple[str, Audio]:
        """The answer to a typed question, and its sound."""
        parts = [item["segment"] for item in talk.items(typed(self.processor, "user", question))]
        speech, last = self.speech(), len(parts) - 1
        ids = [token for part in parts for token in part.text_ids[0].tolist()]
        if not ids:
            return "", np.zeros(0, np.float32)
        sounds = [
            speech.feed(part.text_ids, part.taste_ids, final=number == last).samples
            for number, part in enumerate(parts)
        ]
        return self.processor.llm_tokenizer.decode(ids).strip(), np.concatenate(sounds)

    def read(self, text: str) -> Audio:
        """A text that is not its own, as `say` reads it."""
        from taste_agent.dialog.reading import taste_of_text

        return self.say(taste_of_text(self.model, self.processor, text))


def text_only(model: TasteForCausalLM) -> TasteForCausalLM:
    """A copy of the model that speaks from the text alone: all taste tokens stand for the zero vector.

    That is what stage 1 gives the unit decoder where it withholds the audio.
    """
    muted = copy.deepcopy(model)
    project = muted.audio_tower.quantizer.project_out
    torch.nn.init.zeros_(project.weight)
    torch.nn.init.zeros_(project.bias)
    return muted


def spoken_segment(mind: TasteMind, samples: Audio, text: str, role: Role = "user") -> TASTESegment:
    """Return text and taste tokens of a sound at 16 kHz."""
    ids = mind.processor.process_text(text)["llm_token_ids"]
    tastes = taste_tokenize(mind.model, mind.processor, torch.from_numpy(samples)[None], ids, RATE_HZ)
    return TASTESegment(role, "audio", ids, tastes)
