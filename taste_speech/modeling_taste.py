"""`TasteForCausalLM`: the TASTE spoken language model with its audio tower and speech decoder."""

import copy
import os
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoModel, AutoModelForCausalLM

from taste_speech.audio_tower.quantizer import NO_TASTE
from taste_speech.audio_tower.tower import AudioTower
from taste_speech.checkpoint_files import CheckpointFiles, read_config
from taste_speech.configuration_sections import TowerConfig
from taste_speech.configuration_taste import PretrainedModels, TasteConfig
from taste_speech.conversion.hub import find_checkpoint, hub_options
from taste_speech.conversion.names import NOT_NEEDED, resolve_tower
from taste_speech.conversion.weights import (
    COMPUTE_DTYPE_PARTS,
    TensorStore,
    fill,
    open_weights,
    plan,
    save_weights,
    tensors_in_memory,
    with_pretrained,
)
from taste_speech.errors import CheckpointError
from taste_speech.flows import SpeechFlows
from taste_speech.speech_decoder.phone_decoder import PhoneDecoder
from taste_speech.speech_decoder.unit_decoder import UnitDecoder
from taste_speech.spoken_lm.language_model import SpokenLM
from taste_speech.spoken_lm.scoring import IGNORED, RowTargets, TasteOutput, embed_rows, score_rows
from taste_speech.vocoder.voice_generator import VoiceGenerator

_RECENT_REPLIES = 8


class TasteForCausalLM(SpeechFlows):
    """Speech and text in, text and speech units out.

    Parts: `audio_tower` (audio -> taste tokens), `spoken_lm` (text and taste tokens -> the next ones),
    `speech_decoder` (text and taste tokens -> speech units), `voice` (speech units -> waveform).
    Weights are loaded and saved in the published layout.
    """

    config_class = TasteConfig
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    def __init__(self, config: TasteConfig) -> None:
        super().__init__(config)
        attention = config._attn_implementation or "sdpa"
        config._attn_implementation = attention  # also of the Llama
        tower = config.audio_tower_config
        tower.check_supported("audio_tower_config")
        self.audio_tower = AudioTower(
            config.tower or TowerConfig(),
            tower.kwargs_for_joint_encoder_segmenter,
            tower.kwargs_for_quantizer,
            attn_implementation="eager" if attention == "eager" else "sdpa",
        )
        self.spoken_lm = SpokenLM(config)
        decoder = PhoneDecoder if config.vocabulary.asr_pieces == "phones" else UnitDecoder
        self.speech_decoder = decoder(config.speech_decoder_config, config.unit_decoding)
        self._files: CheckpointFiles | None = None
        # In a list, so that it is no submodule: its weights are in a separate file and not trained here.
        self._voice: list[VoiceGenerator] = []
        self.recent_replies: deque[tuple[bytes, Any]] = deque(maxlen=_RECENT_REPLIES)
        """States in which the last calls of `taste_detokenize` ended, by the words that were spoken."""
        self.register_load_state_dict_pre_hook(_take_published_names)
        self.post_init()

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Do nothing: the parts initialize themselves."""

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        config: TasteConfig | None = None,
        attn_implementation: str | None = None,
        dtype: torch.dtype | str | None = None,
        torch_dtype: torch.dtype | str | None = None,
        device_map: str | int | torch.device | Mapping[str, str | int | torch.device] | None = None,
        **options: Any,
    ) -> Self:
        """Load a checkpoint with the published layout; the model is in eval mode.

        Args:
            pretrained_model_name_or_path: a folder, the name of a shipped checkpoint ("small") or a hub id.
            config: replacement of the checkpoint's `config.json`.
            attn_implementation: "eager" or "sdpa" (default); for the Llama any that transformers supports.
            dtype: data type of the Llama, the encoder and the aggregator; the other parts stay float32.
                "auto" means the one in config.json; the default is float32. `torch_dtype` is its old name.
            device_map: one device for the whole model; "auto" means an accelerator if there is one; None:
                the CPU.
            options: `revision`, `cache_dir`, `token`, `local_files_only` and `force_download` of the hub.

        Raises:
            CheckpointError: the checkpoint is missing or incomplete, or does not match its configuration.
            TypeError: an argument is unknown.
            ValueError: the configuration names an unsupported variant, or `device_map` is not a device.
        """
        hub = hub_options(options, "config, attn_implementation, dtype and device_map")
        device = _resolve_device(device_map)
        if torch.empty(0).is_meta:
            raise ValueError(
                "from_pretrained was called under torch.device('meta'), which cannot hold weights; "
                "call it outside, or build TasteForCausalLM(config) there"
            )
        folder = find_checkpoint(pretrained_model_name_or_path, **hub)
        if config is None:
            config = read_config(folder, pretrained_model_name_or_path)
        model = cls._build(
            copy.deepcopy(config),
            with_pretrained(open_weights(folder), config),
            _resolve_dtype(dtype if dtype is not None else torch_dtype, config),
            attn_implementation,
            os.fspath(pretrained_model_name_or_path),
        )
        model._files = CheckpointFiles(pretrained_model_name_or_path, **hub)
        return model.to(device)

    @classmethod
    def from_state_dict(
        cls,
        config: TasteConfig,
        published_state: Mapping[str, Tensor],
        *,
        attn_implementation: str | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Self:
        """Build the model from a state dict with published names; see `from_pretrained`."""
        store = tensors_in_memory(published_state)
        return cls._build(copy.deepcopy(config), store, dtype, attn_implementation, "state dict")

    @classmethod
    def _build(
        cls,
        config: TasteConfig,
        store: TensorStore,
        dtype: torch.dtype,
        attn_implementation: str | None,
        origin: str,
    ) -> Self:
        config.tower = resolve_tower(config, {name: tensor.shape for name, tensor in store.items()})
        if attn_implementation is not None:
            config._attn_implementation = attn_implementation
        with torch.device("meta"):
            model = cls(config)
        fill(model, store, config.spoken_lm_config, dtype, origin)
        model.spoken_lm.reset_rotary()
        # The adapters are merged now, and nothing outside the model is needed.
        config.spoken_lm_config.use_lora = False
        config.pretrained = PretrainedModels()
        return model.eval()

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        *,
        dtype: torch.dtype | None = None,
        max_shard_size: int | str = "5GB",
        state_dict: Mapping[str, Tensor] | None = None,
        is_main_process: bool = True,
    ) -> None:
        """Write `config.json` (`use_lora: false`) and the weights under their published names.

        Args:
            save_directory: the folder, which is created if necessary.
            dtype: data type of the stored floating-point weights; None: unchanged.
            max_shard_size: maximum size of one weight file, in bytes or as "100KB" or "5GB".
            state_dict: weights to write instead of the model's own, as a `Trainer` on several devices passes.
            is_main_process: False writes nothing.

        Raises:
            ValueError: `max_shard_size` has another form.
        """
        if not is_main_process:
            return
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        config = copy.deepcopy(self.config)
        config.spoken_lm_config.use_lora = False
        config.tower = self.audio_tower.config
        config.architectures = [type(self).__name__]
        config.save_pretrained(folder)
        save_weights(self.state_dict() if state_dict is None else state_dict, folder, dtype, max_shard_size)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move or cast the model; a data type applies to the same parts as in `from_pretrained`."""
        dtypes = [x for x in (*args, *kwargs.values()) if isinstance(x, torch.dtype)]
        for dtype in dtypes:
            for part in COMPUTE_DTYPE_PARTS:
                self.get_submodule(part).to(dtype)
            self.spoken_lm.reset_rotary()
        rest = [x for x in args if x not in dtypes]
        super().to(*rest, **{name: x for name, x in kwargs.items() if name != "dtype"})
        return self

    def half(self) -> Self:
        """Cast as `to(torch.float16)`."""
        return self.to(torch.float16)

    def double(self) -> Self:
        """Cast as `to(torch.float64)`."""
        return self.to(torch.float64)

    def bfloat16(self) -> Self:
        """Cast as `to(torch.bfloat16)`."""
        return self.to(torch.bfloat16)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        for voice in self._voice:
            voice._apply(fn)
        return super()._apply(fn, recurse)

    @property
    def voice(self) -> VoiceGenerator:
        """The voice generator (speech units -> waveform), loaded on first use; it moves with the model.

        Raises:
            CheckpointError: the checkpoint has none, or the model was not loaded from a checkpoint.
        """
        if not self._voice:
            if self._files is None:
                raise CheckpointError(
                    "the model has no voice generator because it was not loaded from a checkpoint; give it "
                    "one: model.set_voice(VoiceGenerator.from_pretrained(folder))"
                )
            self.set_voice(self._files.voice_generator(self.config))
        return self._voice[0]

    def set_voice(self, voice: VoiceGenerator) -> None:
        """Set the voice generator, which moves to the model's device."""
        self._voice = [voice.to(self.device)]

    def forward(
        self,
        input_ids: Tensor | None = None,
        taste_ids: Tensor | None = None,
        labels: Tensor | None = None,
        taste_labels: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        sample: bool | None = None,
    ) -> TasteOutput:
        """Run rows of a conversation (see `taste_speech.streaming.layout`) through the spoken LM.

        This is for scoring, and for training with transformers' `Trainer` and `peft` adapters without a
        `task_type`; `PromptRows.model_inputs` and `collate` of that module create the inputs. To generate,
        use `inference_completion` or `taste_speech.streaming.streaming_generate`.

        Args:
            input_ids: (batch, rows) text ids. A conversation begins with the first row, which is not fused.
            taste_ids: (batch, rows, levels), the taste token to fuse at each row, -1 for none; None: text
                only.
            labels: (batch, rows), like `input_ids`; -100 where the text is no target. The row before
                predicts it.
            taste_labels: (batch, rows, levels), a word's taste token where it is first fused, -1 elsewhere.
                The row before predicts it.
            attention_mask: (batch, rows), 0 at padding; not needed if the padding is at the end.
            inputs_embeds: (batch, rows, hidden), instead of `input_ids` and `taste_ids`.
            sample: whether to compute the taste loss of a sample; None: only in training mode.

        Raises:
            ValueError: both or neither of `input_ids` and `inputs_embeds` are given, or shapes differ.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give either input_ids or inputs_embeds")
        lm, quantizer = self.spoken_lm, self.audio_tower.quantizer
        if input_ids is not None:
            wanted = (*input_ids.shape, self.num_quantizers)
            if taste_ids is None:
                taste_ids = input_ids.new_full(wanted, NO_TASTE)
            elif tuple(taste_ids.shape) != wanted:
                raise ValueError(f"taste_ids have shape {tuple(taste_ids.shape)}; expected {wanted}")
            inputs_embeds = embed_rows(lm, quantizer, input_ids, taste_ids)
        assert inputs_embeds is not None
        targets = None
        if labels is not None:
            # The last row has no target.
            text_ids, taste = functional.pad(labels[:, 1:], (0, 1), value=IGNORED), None
            if taste_labels is not None:
                taste = functional.pad(taste_labels[:, 1:], (0, 0, 0, 1), value=NO_TASTE)
            targets = RowTargets(text_ids, (text_ids != IGNORED).float(), taste)
        text_weight, taste_weight = map(float, self.config.spoken_lm_config.loss_weights.split("-"))
        return score_rows(
            lm,
            quantizer,
            inputs_embeds,
            targets,
            attention_mask=attention_mask,
            loss_weights=(text_weight, taste_weight),
            sample=self.training if sample is None else sample,
        )

    def get_input_embeddings(self) -> torch.nn.Module:
        """Return the text embeddings."""
        return self.spoken_lm.language_model.get_input_embeddings()


def _take_published_names(model: TasteForCausalLM, state: dict[str, Tensor], *_: Any) -> None:
    """Convert names written by `save_pretrained` to ours before `load_state_dict`, for `Trainer`."""
    for name, source in plan(model, model.config.spoken_lm_config).items():
        if name not in state and all(part in state for part in source.names):
            state[name] = source.merge([state.pop(part) for part in source.names])
    for name in [name for name in state if NOT_NEEDED.fullmatch(name)]:
        del state[name]


def _resolve_device(device_map: Any) -> torch.device:
    if isinstance(device_map, Mapping) and set(device_map) == {""}:
        device_map = device_map[""]
    if device_map == "auto":
        device_map = torch.accelerator.current_accelerator(check_available=True)
    try:
        return torch.device("cpu" if device_map is None else device_map)
    except (RuntimeError, TypeError):
        raise ValueError(
            f"device_map is {device_map!r}; the model must be on one device: give 'auto', 'cpu' or 'cuda:0'"
        ) from None


def _resolve_dtype(dtype: torch.dtype | str | None, config: TasteConfig) -> torch.dtype:
    if dtype is None:
        return torch.float32
    if dtype == "auto":
        dtype = config.dtype or torch.float32
    resolved = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(resolved, torch.dtype) or not resolved.is_floating_point:
        raise ValueError(f"dtype is {dtype!r}; give float32, bfloat16, float16 or 'auto'")
    return resolved


AutoModel.register(TasteConfig, TasteForCausalLM)
AutoModelForCausalLM.register(TasteConfig, TasteForCausalLM)
