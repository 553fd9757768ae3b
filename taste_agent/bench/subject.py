"""The model that is measured, loaded as the agent loads it."""

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from taste_agent.bench.options import BenchOptions
from taste_agent.dialog.loading import fast_paths, load_checkpoint, number_type, use_threads
from taste_agent.dialog.taste_brain import speaker_embedding
from taste_agent.dialog.torch_device import choose_device
from taste_speech.acceleration import accelerate
from taste_speech.modeling_taste import TasteForCausalLM
from taste_speech.processing_taste import TasteProcessor
from taste_speech.vocoder.voice_generator import VoiceGenerator


@dataclass(frozen=True, eq=False)
class Subject:
    """A model with everything that it needs to hear and speak.

    Attributes:
        name: checkpoint or preset.
        speaker: (1, speaker width).
        dtype: of the large parts, as the report names it.
        load_s: seconds from the call to the first conversation that could begin.
    """

    name: str
    model: TasteForCausalLM
    processor: TasteProcessor
    voice: VoiceGenerator
    speaker: Tensor
    dtype: str
    load_s: float
    is_preset: bool

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.model.device


def load_subject(options: BenchOptions) -> Subject:
    """Load a checkpoint, or build a preset, and switch its fast paths on.

    Raises:
        TasteError, AgentError: checkpoint or device are not there.
        ValueError: int8 on another device than the CPU.
    """
    device = choose_device(options.device)
    number = number_type(options.dtype, device)
    begin = time.perf_counter()
    if options.preset is None:
        model, processor = load_checkpoint(options.checkpoint, device, options.dtype, options.static_shapes)
        speaker = speaker_embedding(processor, "")
    else:
        from taste_agent.bench.presets import build_preset

        model, processor = build_preset(options.preset, device, options.dtype)
        accelerate(model, processor.get_generator(device), fast_paths(number, device, options.static_shapes))
        width = model.config.speech_decoder_config.spk_embed_dim
        speaker = torch.randn(1, width, generator=torch.Generator().manual_seed(0))
    use_threads(model, options.threads)
    model.vocabulary(processor.llm_tokenizer)
    voice = processor.get_generator(device)
    name = options.preset or options.checkpoint
    load_s = time.perf_counter() - begin
    return Subject(
        name,
        model,
        processor,
        voice,
        speaker,
        number,
        load_s,
        options.preset is not None,
    )
