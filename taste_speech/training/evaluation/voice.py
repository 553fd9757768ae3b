"""How well the voice is understood: the vocoder alone, units to sound, and tokenize -> detokenize."""

import copy
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from taste_speech.modeling_taste import TasteForCausalLM
from taste_speech.processing_taste import TasteProcessor
from taste_speech.streaming import StreamingDetokenizer
from taste_speech.training.evaluation.judge import Judge
from taste_speech.training.evaluation.material import RATE_HZ, Spoken
from taste_speech.training.evaluation.segments import as_segment
from taste_speech.training.evaluation.table import Row
from taste_speech.training.stages.units import UnitQuantizer, unit_features
from taste_speech.training.word_errors import word_error_rate
from taste_speech.vocoder.mel import log_mel

Audio = NDArray[np.float32]
DRAWS = 3
"""Seeds that a sentence is spoken with: one or another moves the word errors by half a point."""


def error_rate(judge: Judge, sentences: Sequence[Spoken], sounds: Sequence[Audio]) -> float:
    """Word error rate in percent of the judge on `sounds`."""
    heard = [judge.transcribe(sound) for sound in sounds]
    return 100 * word_error_rate([s.text for s in sentences], heard)


def draw(speak: Callable[[Spoken, int], Audio], sentences: Sequence[Spoken]) -> list[list[Audio]]:
    """All sentences as `speak(sentence, seed)` says them, once for each of `DRAWS` seeds."""
    return [[speak(sentence, seed) for sentence in sentences] for seed in range(DRAWS)]


def error_row(
    name: str,
    judge: Judge,
    sentences: Sequence[Spoken],
    drawn: Sequence[Sequence[Audio]],
    at_most: float | None = None,
) -> Row:
    """Mean of the draws' word error rates."""
    errors = [error_rate(judge, sentences, sounds) for sounds in drawn]
    return Row(name, float(np.mean(errors)), "%", at_most, False, sum(map(len, drawn)))


@torch.no_grad()
def vocode(processor: TasteProcessor, sentence: Spoken, seed: int) -> Audio:
    """Natural mel frames -> waveform."""
    generator = processor.get_generator("cpu")
    mel = log_mel(torch.from_numpy(sentence.samples)[None], generator.config)
    return generator.hift(mel, generator=torch.Generator().manual_seed(seed))[0].numpy()


@torch.no_grad()
def resynthesise_units(
    processor: TasteProcessor, quantizer: UnitQuantizer, speaker: torch.Tensor, sentence: Spoken, seed: int
) -> Audio:
    """Natural sound -> units -> mel -> waveform."""
    generator = processor.get_generator("cpu")
    units = quantizer.encode(*unit_features(sentence.samples, generator.config))
    ids = torch.from_numpy(units.astype(np.int64))[None]
    wave, _ = generator.inference(
        ids,
        torch.tensor([ids.shape[1]]),
        flow_embedding=speaker,
        generator=torch.Generator().manual_seed(seed),
    )
    return wave[0].numpy()


def text_only(model: TasteForCausalLM) -> TasteForCausalLM:
    """A copy of the model that speaks from the text alone: all taste tokens stand for the zero vector.

    That is what stage 1 gives the unit decoder where it withholds the audio.
    """
    muted = copy.deepcopy(model)
    project = muted.audio_tower.quantizer.project_out
    torch.nn.init.zeros_(project.weight)
    torch.nn.init.zeros_(project.bias)
    return muted


def retell(
    model: TasteForCausalLM, processor: TasteProcessor, speaker: torch.Tensor, sentence: Spoken, seed: int = 0
) -> Audio:
    """Sound and text -> taste tokens -> units -> sound, in one piece."""
    segment = as_segment(model, processor, "assistant", sentence)
    generator = torch.Generator().manual_seed(seed)
    speech = StreamingDetokenizer(model, processor, speaker, RATE_HZ, generator)
    return speech.feed(segment.text_ids, segment.taste_ids, final=True).samples


def vocoder_rows(
    judge: Judge, processor: TasteProcessor, sentences: Sequence[Spoken], natural: float
) -> list[Row]:
    """Word errors, PESQ and STOI of the vocoder on natural mel frames."""
    from pesq import pesq
    from pystoi import stoi

    drawn = draw(partial(vocode, processor), sentences)
    pairs = [
        (s.samples[: len(sound)], sound[: len(s.samples)])
        for sounds in drawn
        for s, sound in zip(sentences, sounds, strict=True)
    ]
    quality = [pesq(RATE_HZ, reference, sound, "wb") for reference, sound in pairs]
    clarity = [stoi(reference, sound, RATE_HZ) for reference, sound in pairs]
    return [
        error_row("vocoder alone: word error", judge, sentences, drawn, natural + 1.5),
        Row("vocoder alone: PESQ-WB", float(np.mean(quality)), "", 2.8, True, len(pairs)),
        Row("vocoder alone: STOI", float(np.mean(clarity)), "", 0.96, True, len(pairs)),
    ]
