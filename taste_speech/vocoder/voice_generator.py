"""`VoiceGenerator`: speech units -> waveform."""

import os
import re
from pathlib import Path
from typing import Self

import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers.utils.hub import convert_file_size_to_int

from taste_speech.cpu import one_thread_if_small
from taste_speech.errors import CheckpointError
from taste_speech.vocoder.configuration import VoiceGeneratorConfig
from taste_speech.vocoder.flow import Flow
from taste_speech.vocoder.hift import HiFT
from taste_speech.vocoder.source_filter import SourceFilter

FILE_NAMES = (
    "voice_generator.safetensors",
    "cosyvoice/voice_generator.safetensors",
    "cosyvoice/voice_generator.pth",
)
_FIRST_SHARD = "voice_generator-00001-of-*.safetensors"
_SHARD = re.compile(r"(.*-)\d{5}-of-(\d{5})\.safetensors")
_NAMES_SHOWN = 3


class VoiceGenerator(nn.Module):
    """Flow matching and vocoder of a checkpoint; state-dict names are the published ones."""

    def __init__(self, config: VoiceGeneratorConfig | None = None) -> None:
        super().__init__()
        self.config = config or VoiceGeneratorConfig()
        self.flow = Flow(self.config)
        self.hift = make_vocoder(self.config)

    @property
    def sampling_rate_hz(self) -> int:
        """Rate of the waveform."""
        return self.config.sampling_rate_hz

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.flow.encoder_proj.weight.device

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], config: VoiceGeneratorConfig | None = None) -> Self:
        """Load a `.safetensors` or `.pth` file strictly: in eval mode, on the CPU, with folded weight norm.

        The first shard (`...-00001-of-00002.safetensors`) stands for all of them.

        Raises:
            CheckpointError: the file is missing, damaged, or its tensors do not fit `config`.
        """
        state = read_state(Path(path))
        with one_thread_if_small(sum(tensor.numel() for tensor in state.values())):
            generator = cls(config)
            _check_state(state, generator.state_dict(), Path(path))
            generator.load_state_dict(state)
            return generator.eval().fold_weight_norm()

    @classmethod
    def from_pretrained(
        cls, folder: str | os.PathLike[str], config: VoiceGeneratorConfig | None = None
    ) -> Self:
        """Load the voice generator of a checkpoint folder; safetensors are preferred.

        Raises:
            CheckpointError: none of the known file names is there, or as `from_file`.
        """
        return cls.from_file(existing_file(Path(folder)), config)

    def save_pretrained(
        self,
        folder: str | os.PathLike[str],
        dtype: torch.dtype | None = None,
        max_shard_size: int | str = "5GB",
    ) -> Path:
        """Write `voice_generator.safetensors`, or shards, into `folder`; return the path to load.

        Args:
            folder: created if it is not there; other files of a voice generator in it are removed.
            dtype: of the stored tensors; None: as they are.
            max_shard_size: size from which the file is split: bytes, or "100KB", "5GB".

        Raises:
            ValueError: `max_shard_size` has another form.
        """
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        state = {name: value.to(dtype).contiguous() for name, value in self.state_dict().items()}
        split = split_torch_state_dict_into_shards(
            state,
            filename_pattern="voice_generator{suffix}.safetensors",
            max_shard_size=convert_file_size_to_int(max_shard_size),
        )
        for stale in (*target.glob("voice_generator-*-of-*.safetensors"), target / FILE_NAMES[0]):
            stale.unlink(missing_ok=True)
        for name, tensors in split.filename_to_tensors.items():
            save_file({tensor: state[tensor] for tensor in tensors}, target / name)
        return target / min(split.filename_to_tensors)

    def fold_weight_norm(self) -> Self:
        """Compute the vocoder's effective weights once, for inference; do so after loading."""
        self.hift.fold_weight_norm()
        return self

    @torch.no_grad()
    def inference(
        self,
        speech_token_ids: Tensor,
        speech_token_lengths: Tensor | None = None,
        flow_embedding: Tensor | None = None,
        generator: torch.Generator | None = None,
        num_steps: int | None = None,
    ) -> tuple[Tensor, int]:
        """Return the waveform of one utterance.

        Args:
            speech_token_ids: (1, units).
            speech_token_lengths: (1,) valid units; None: all.
            flow_embedding: (1, speaker width) speaker embedding.
            generator: random generator of noise and phases; None uses torch's global one.
            num_steps: Euler steps of the flow; None takes the configured number.

        Returns:
            (1, samples) on the CPU, and the sampling rate in Hz.
        """
        if speech_token_ids.dim() != 2 or len(speech_token_ids) != 1:
            raise ValueError(
                f"speech_token_ids have shape {tuple(speech_token_ids.shape)}; give one utterance, (1, units)"
            )
        if flow_embedding is None:
            raise ValueError("flow_embedding is missing; give the speaker embedding, (1, speaker width)")
        count = speech_token_ids.shape[1] if speech_token_lengths is None else int(speech_token_lengths[0])
        if self.config.mel_frames(count) == 0:
            return torch.zeros(1, 0), self.sampling_rate_hz
        speaker = flow_embedding.to(self.flow.encoder_proj.weight)
        units = speech_token_ids[:, :count].to(self.device)
        mel = self.flow.inference(units, speaker, None, generator, num_steps)
        return self.hift(mel, generator=generator).float().cpu(), self.sampling_rate_hz


def make_vocoder(config: VoiceGeneratorConfig) -> HiFT | SourceFilter:
    """Return the vocoder that a configuration asks for."""
    return HiFT(config) if config.source_filter is None else SourceFilter(config)


def find_file(folder: Path) -> Path | None:
    """Return the file of a checkpoint folder that `VoiceGenerator.from_file` reads, or None."""
    names = [folder / name for name in FILE_NAMES]
    return next((path for path in (*names, *sorted(folder.glob(_FIRST_SHARD))) if path.is_file()), None)


def existing_file(folder: Path) -> Path:
    """Return the file of a checkpoint folder that `VoiceGenerator.from_file` reads.

    Raises:
        CheckpointError: there is none.
    """
    path = find_file(folder)
    if path is None:
        raise CheckpointError(
            f"{str(folder)!r} has no voice generator; expected one of {', '.join(FILE_NAMES)}"
        )
    return path


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a voice generator's file; the first of its shards stands for all of them.

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    shard = _SHARD.fullmatch(path.name)
    if shard is None:
        return _read_file(path)
    stem, count = shard.groups()
    state: dict[str, Tensor] = {}
    for number in range(1, int(count) + 1):
        state |= _read_file(path.with_name(f"{stem}{number:05d}-of-{count}.safetensors"))
    return state


def _read_file(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise CheckpointError(f"voice generator {str(path)!r} does not exist; fetch it or correct the path")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        return dict(state.items())
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"cannot read {str(path)!r} ({reason[:200]}); fetch the file again") from error
    except Exception as error:  # pickle has error types of its own for contents it refuses
        raise CheckpointError(
            f"{str(path)!r} is not a state dict of tensors ({type(error).__name__}); fetch the file again"
        ) from error


def _check_state(state: dict[str, Tensor], expected: dict[str, Tensor], path: Path) -> None:
    problems = [
        f"{what} {_shown(names)}"
        for what, names in (
            ("missing", sorted(expected.keys() - state.keys())),
            ("not expected", sorted(state.keys() - expected.keys())),
            (
                "of another shape",
                sorted(n for n in expected.keys() & state.keys() if expected[n].shape != state[n].shape),
            ),
        )
        if names
    ]
    if problems:
        raise CheckpointError(
            f"{str(path)!r} does not fit section voice_generator of the configuration: {'; '.join(problems)}"
        )


def _shown(names: list[str]) -> str:
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more
