"""The model that is measured: a checkpoint, or random weights of a size (costs do not depend on weights)."""

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from taste_agent.bench import BenchOptions
from taste_agent.dialog.loading import (
    fast_paths,
    load_checkpoint,
    loaded_type,
    number_type,
    use_threads,
)
from taste_agent.dialog.taste_brain import speaker_embedding
from taste_agent.dialog.torch_device import choose_device
from taste_speech import TasteConfig, TasteForCausalLM, TasteProcessor
from taste_speech.acceleration import accelerate
from taste_speech.checkpoint_files import CheckpointFiles
from taste_speech.vocoder.voice_generator import VoiceGenerator


@dataclass(frozen=True, eq=False)
class Subject:
    """A model with everything that it needs to hear and speak; `speaker` is (1, speaker width)."""

    name: str
    model: TasteForCausalLM
    processor: TasteProcessor
    voice: VoiceGenerator
    speaker: Tensor
    dtype: str  # of the large parts
    compiled: bool
    load_s: float
    is_preset: bool

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.model.device


def load_subject(options: BenchOptions) -> Subject:
    """Load a checkpoint as the agent does, or build a preset, and switch its fast paths on.

    Raises:
        TasteError, AgentError: checkpoint or device are not there.
        ValueError: int8 on another device than the CPU.
    """
    device, begin_s = choose_device(options.device), time.perf_counter()
    dtype = number_type(options.dtype, device)
    if options.preset is None:
        model, processor = load_checkpoint(options.checkpoint, device, options.dtype, options.compiled)
        speaker = speaker_embedding(processor, "")
    else:
        model, processor = _build_preset(options.preset, device, dtype)
        accelerate(model, model.voice, fast_paths(dtype, device, options.compiled))
        speaker = torch.ones(1, model.config.speech_decoder_config.spk_embed_dim)
    use_threads(model, options.threads)
    model.vocabulary(processor.llm_tokenizer)
    name = options.preset or options.checkpoint
    load_s, is_preset = time.perf_counter() - begin_s, options.preset is not None
    return Subject(name, model, processor, model.voice, speaker, dtype, options.compiled, load_s, is_preset)


def _build_preset(name: str, device: torch.device, dtype: str) -> tuple[TasteForCausalLM, TasteProcessor]:
    """Build a random model; V0, whose tokenizers are not shipped, takes those of the small checkpoint."""
    files = CheckpointFiles("small")
    config = files.config() if name == "small" else TasteConfig()
    with torch.random.fork_rng(devices=[]), device:
        torch.manual_seed(0)
        model = TasteForCausalLM(config).eval()
        model.set_voice(VoiceGenerator(config.voice_generator).eval())
    tower = model.audio_tower
    for part in (model.spoken_lm.language_model, tower.encoder, tower.aggregator):
        part.to(getattr(torch, loaded_type(dtype, device)))
    model.spoken_lm.reset_rotary()
    processor = TasteProcessor(config, files)
    return model, processor if name == "small" else TasteProcessor(
        config, files, audio_tokenizer=processor.llm_tokenizer
    )
