import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from taste_speech.errors import CheckpointError
from taste_speech.pretrained.smollm2 import SMOLLM2_FILE, convert, smollm2_folder
from tests.taste_speech.pretrained.packages import needs_package

LETTERS = sorted({"Ġ", "1", "2", *"abcdehilnorst'."})
TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *LETTERS, "th", "the", "Ġthe"]
MERGES = ["t h", "th e", "Ġ the"]
HEADS, KEY_HEADS, WIDTH = 4, 2, 64


@pytest.fixture
def llama():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(TOKENS),
        hidden_size=WIDTH,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        num_key_value_heads=KEY_HEADS,
        rope_theta=5000.0,
        rms_norm_eps=1e-3,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config).eval()


def as_gguf(name, weights):
    """Name and rows as llama.cpp writes them."""
    parts = {
        "model.embed_tokens": "token_embd",
        "model.norm": "output_norm",
        "model.layers": "blk",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
        "self_attn.o_proj": "attn_output",
        "self_attn": "attn",
        "mlp": "ffn",
        ".q_proj": "_q",
        ".k_proj": "_k",
        ".v_proj": "_v",
        ".gate_proj": "_gate",
        ".up_proj": "_up",
        ".down_proj": "_down",
    }
    for ours, theirs in parts.items():
        name = name.replace(ours, theirs)
    heads = HEADS if "attn_q" in name else KEY_HEADS if "attn_k" in name else 0
    if heads:
        weights = weights.reshape(heads, 2, -1, WIDTH).swapaxes(1, 2).reshape(weights.shape)
    return name, weights


def write(path, llama, architecture="llama", pre="smollm", extra=()):
    """Write a model as a GGUF file: embeddings in eight bits, matrices in four; it keeps what is left."""
    writer = gguf.GGUFWriter(path, architecture)
    config = llama.config
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(128)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(TOKENS)
    writer.add_token_types([3, 3, 3] + [1] * (len(TOKENS) - 3))
    writer.add_token_merges(MERGES)
    for add, number in (
        (writer.add_bos_token_id, 1),
        (writer.add_eos_token_id, 2),
        (writer.add_unk_token_id, 0),
        (writer.add_pad_token_id, 2),
    ):
        add(number)
    writer.add_chat_template("{{ messages }}")
    for name, tensor in [*llama.state_dict().items(), *extra]:
        if name == "lm_head.weight":
            continue
        name, weights = as_gguf(name, tensor.numpy())
        kind = gguf.GGMLQuantizationType
        kind = kind.F32 if weights.ndim == 1 else kind.Q8_0 if "embd" in name else kind.Q4_1
        stored = gguf.quantize(weights, kind)
        tensor.copy_(torch.from_numpy(_as_ours(name, gguf.dequantize(stored, kind))).half())
        writer.add_tensor(name, stored, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _as_ours(name, weights):
    heads = HEADS if "attn_q" in name else KEY_HEADS if "attn_k" in name else 0
    if not heads:
        return weights
    return np.ascontiguousarray(weights.reshape(heads, -1, 2, WIDTH).swapaxes(1, 2).reshape(weights.shape))


@pytest.fixture
def converted(tmp_path, llama):
    """Converts a model; gives the folder."""

    def run(**options):
        write(tmp_path / "model.gguf", llama, **options)
        folder = tmp_path / "converted"
        folder.mkdir(exist_ok=True)
        convert([tmp_path / "model.gguf"], folder, lambda share: None)
        return folder

    return run


def test_the_file_becomes_a_model_of_transformers(llama, converted):
    read = AutoModelForCausalLM.from_pretrained(converted(), dtype=torch.float32).eval()
    ids = torch.tensor([[1, 5, 6, 7, 8, 9]])
    with torch.no_grad():  # `llama` has by now the numbers that the file can hold
        torch.testing.assert_close(read(ids).logits, llama(ids).logits, atol=1e-4, rtol=1e-3)
    assert read.config.rope_parameters["rope_theta"] == 5000.0
    assert (read.config.bos_token_id, read.config.eos_token_id) == (1, 2)


def test_the_tokenizer_has_the_file_s_words(converted):
    tokenizer = AutoTokenizer.from_pretrained(converted())
    ids = tokenizer.encode("the <|im_end|> the 12")
    assert tokenizer.convert_ids_to_tokens(ids) == ["the", "Ġ", "<|im_end|>", "Ġthe", "Ġ", "1", "2"]
    assert tokenizer.decode(ids) == "the <|im_end|> the 12"
    assert sorted(tokenizer.all_special_ids) == [0, 1, 2]
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.apply_chat_template([{"role": "user", "content": "no"}], tokenize=False)


def test_what_cannot_be_read_is_named(converted, tmp_path):
    with pytest.raises(CheckpointError, match="holds a falcon, not a llama"):
        converted(architecture="falcon")
    with pytest.raises(CheckpointError, match="kind gpt2/other cannot be built"):
        converted(pre="other")
    with pytest.raises(CheckpointError, match=r"no tensor blk\.0\.attn_sinks\.weight"):
        converted(extra=[("blk.0.attn_sinks.weight", torch.zeros(4))])
    (tmp_path / "broken").write_bytes(b"GGUFfile")
    with pytest.raises(CheckpointError, match="is damaged or not a GGUF file"):
        convert([tmp_path / "broken"], tmp_path, lambda share: None)


@needs_package(SMOLLM2_FILE)
def test_the_package_s_model_knows_paris():
    folder = smollm2_folder()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    question = [{"role": "user", "content": "What is the capital of France?"}]
    inputs = tokenizer.apply_chat_template(
        question, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    ids = model.generate(**inputs, max_new_tokens=12, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert "Paris" in tokenizer.decode(ids)
