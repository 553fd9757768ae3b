"""How well the voice is understood: the vocoder alone, units to sound, and tokenize -> detokenize."""

import copy
from collections.abc import Sequence

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


def error_rate(judge: Judge, sentences: Sequence[Spoken], sounds: Sequence[Audio]) -> float:
    """Word error rate in percent of the judge on `sounds`."""
    heard = [judge.transcribe(sound) for sound in sounds]
    return 100 * word_error_rate([s.text for s in sentences], heard)


@torch.no_grad()
def vocode(processor: TasteProcessor, sentence: Spoken) -> Audio:
    """Natural mel frames -> waveform."""
    generator = processor.get_generator("cpu")
    mel = log_mel(torch.from_numpy(sentence.samples)[None], generator.config)
    return generator.hift(mel, generator=torch.Generator().manual_seed(0))[0].numpy()


@torch.no_grad()
def resynthesise_units(
    processor: TasteProcessor, quantizer: UnitQuantizer, speaker: torch.Tensor, sentence: Spoken
) -> Audio:
    """Natural sound -> units -> mel -> waveform."""
    generator = processor.get_generator("cpu")
    units = quantizer.encode(*unit_features(sentence.samples, generator.config))
    ids = torch.from_numpy(units.astype(np.int64))[None]
    wave, _ = generator.inference(
        ids,
        torch.tensor([ids.shape[1]]),
        flow_embedding=speaker,
        generator=torch.Generator().manual_seed(0),
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

    sounds = [vocode(processor, s) for s in sentences]
    pairs = [(s.samples[: len(x)], x[: len(s.samples)]) for s, x in zip(sentences, sounds, strict=True)]
    quality = [pesq(RATE_HZ, reference, sound, "wb") for reference, sound in pairs]
    clarity = [stoi(reference, sound, RATE_HZ) for reference, sound in pairs]
    n = len(sentences)
    return [
        Row("vocoder alone: word error", error_rate(judge, sentences, sounds), "%", natural + 1.5, False, n),
        Row("vocoder alone: PESQ-WB", float(np.mean(quality)), "", 2.8, True, n),
        Row("vocoder alone: STOI", float(np.mean(clarity)), "", 0.96, True, n),
    ]
