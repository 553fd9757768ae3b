"""Complete random checkpoints of about one million parameters: one of text and units, one of phones."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from taste_speech import phones
from taste_speech.configuration_taste import TasteConfig
from taste_speech.modeling_taste import TasteForCausalLM
from taste_speech.phones import MARKED_PHONES
from taste_speech.speech_decoder.phone_decoder import PhoneDecoder
from taste_speech.streaming.configuration import RoleTokensConfig
from taste_speech.vocoder.voice_generator import VoiceGenerator
from tests.asr_tokenizer import END_OF_TEXT, PREFIX, build_asr_tokenizer
from tests.llm_tokenizer import LLM_BOS, LLM_EOS, train_llm_tokenizer

SPEAKER_WIDTH = 16
UNITS = 64
SENTENCES = (
    "the strawberry ripens slowly in the summer sun.",
    "what time is it in the city of seven hills?",
    "i think that we could walk along the river, and then go home.",
    "please tell me something about the old library.",
    "yes, the train leaves at half past nine.",
)


def tiny_config(asr_tokenizer: Any, llm_tokenizer: Any, **overrides: Any) -> TasteConfig:
    """Configuration of the tiny checkpoint; `overrides` are merged into its sections."""
    bos, eos = llm_tokenizer.convert_tokens_to_ids([LLM_BOS, LLM_EOS])
    encoder = {"attention_heads": 2, "linear_units": 64, "num_blocks": 1}
    sections: dict[str, Any] = {
        "tower": {
            "d_model": 32,
            "encoder_layers": 2,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 64,
            "decoder_layers": 2,
            "decoder_attention_heads": 2,
            "decoder_ffn_dim": 64,
            "num_mel_bins": 40,
            "vocab_size": len(asr_tokenizer),
            "prefix_ids": asr_tokenizer.convert_tokens_to_ids(list(PREFIX)),
            "eos_id": asr_tokenizer.convert_tokens_to_ids(END_OF_TEXT),
            "pad_to_max_source": False,
        },
        "audio_tower_config": {
            "audio_embed_dim": 32,
            "text_token_size": len(asr_tokenizer),
            "kwargs_for_joint_encoder_segmenter": {"target_hidden_layer": 1, "dtype": "float32"},
            "kwargs_for_quantizer": {"dim": 32, "codebook_dim": 8, "codebook_size": 16, "num_quantizers": 3},
        },
        "speech_decoder_config": {
            "audio_encoder_input_size": 32,
            "encoder_input_size": 32,
            "llm_input_size": 64,
            "llm_output_size": 64,
            **{f"encoder__{name}": value for name, value in encoder.items()},
            **{f"llm__{name}": value for name, value in encoder.items()},
            "text_token_size": len(asr_tokenizer),
            "speech_token_size": UNITS,
            "spk_embed_dim": SPEAKER_WIDTH,
        },
        "spoken_lm_config": {"sos_id": bos, "use_lora": False},
        "text_config": {
            "vocab_size": len(llm_tokenizer),
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "max_position_embeddings": 8192,
            "tie_word_embeddings": False,
            "bos_token_id": bos,
            "eos_token_id": eos,
        },
        "asr_config": {"_name_or_path": "asr"},
        "vocabulary": {"first_special_id": bos, "banned_ids": [bos, eos], "round_rotary_to_bf16": False},
        "unit_decoding": {
            "temperature": 0.9,
            "audio_encoder_blocks": 1,
            "audio_encoder_heads": 2,
            "audio_encoder_linear_units": 64,
            "min_units_per_row": 1.0,
            "max_units_per_row": 3.0,
        },
        "voice_generator": {
            "unit_vocab_size": UNITS,
            "sampling_rate_hz": 16000,
            "hop_samples": 256,
            "mel_bins": 40,
            "speaker_embed_dim": SPEAKER_WIDTH,
            "flow": {
                "encoder": {
                    "input_size": 32,
                    "output_size": 32,
                    "attention_heads": 2,
                    "linear_units": 64,
                    "num_blocks": 1,
                },
                "estimator": {
                    "channels": [32, 32],
                    "time_embed_dim": 160,
                    "time_mlp_dim": 64,
                    "num_transformers": 1,
                    "num_mid_blocks": 1,
                    "num_heads": 2,
                    "head_dim": 16,
                },
                "length_regulator_convs": 1,
                "num_steps": 3,
            },
            "hift": {
                "base_channels": 32,
                "upsample_rates": [8],
                "upsample_kernel_sizes": [16],
                "istft_n_fft": 128,
                "istft_hop": 32,
                "resblock_kernel_sizes": [3],
                "resblock_dilations": [[1, 3]],
                "source_resblock_kernel_sizes": [7],
                "source_resblock_dilations": [[1, 3]],
                "f0_channels": 32,
                "f0_layers": 2,
            },
        },
        "streaming": {"trained_with_role_tokens": True},
        "recognition": {"whisper_name": "tiny.en"},
    }
    for name, values in overrides.items():
        sections[name] |= values
    return TasteConfig(**sections)


def tiny_phones_config(llm_tokenizer: Any) -> TasteConfig:
    """Configuration of the tiny checkpoint whose words and units are phones."""
    size = MARKED_PHONES + 1 + len(PREFIX)
    config = tiny_config(
        build_asr_tokenizer(),
        llm_tokenizer,
        tower={
            "vocab_size": size,
            "eos_id": MARKED_PHONES,
            "prefix_ids": list(range(MARKED_PHONES + 1, size)),
            "source_windows": [500, 1500],
            "decoder_attention_heads": 4,
        },
        audio_tower_config={"text_token_size": MARKED_PHONES},
        speech_decoder_config={
            "text_token_size": MARKED_PHONES,
            "speech_token_size": phones.UNITS,
            "encoder__num_blocks": 2,
        },
        vocabulary={"asr_pieces": "phones", "text_is_spoken": True},
        voice_generator={"unit_vocab_size": phones.UNITS},
    )
    config.voice_generator.flow.phones = True
    return config


def tiny_tokenizers() -> tuple[Any, Any]:
    """ASR tokenizer and LLM tokenizer."""
    return build_asr_tokenizer(), train_llm_tokenizer(SENTENCES, 360)


def tiny_model(config: TasteConfig, llm_tokenizer: Any, seed: int = 0) -> TasteForCausalLM:
    """The model with random weights, spread so that it takes the floor, says short words and varies them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = TasteForCausalLM(config).eval()
        with torch.no_grad():
            lm, quantizer = model.spoken_lm, model.audio_tower.quantizer
            for layer in lm.language_model.model.layers:
                for weight in layer.parameters():
                    if weight.ndim == 2:
                        weight.normal_(std=weight.shape[1] ** -0.5)
            lm.pad_audio_unit_embed.normal_()
            lm.pad_text_unit_embed.normal_(std=0.3)
            lm.fusion.weights.zero_()
            quantizer.codebooks.normal_()
            lm.extraction.fc_mu.weight.normal_(std=0.3)
            lm.extraction.b_logvar.fill_(-4.0)
            if isinstance(model.speech_decoder, PhoneDecoder):
                model.speech_decoder.output.weight.normal_(std=0.1)
            _make_talkative(lm.language_model, llm_tokenizer)
    return model


def _make_talkative(llama: Any, tokenizer: Any) -> None:
    """Logits that favour word starts everywhere, and the assistant's role after a SEGMENT_START."""
    roles = RoleTokensConfig()
    names = [roles.segment_start, roles.segment_end, roles.assistant]
    start, end, assistant = tokenizer.convert_tokens_to_ids(names)
    texts = tokenizer.batch_decode([[i] for i in range(start)])
    word_starts = [i for i, text in enumerate(texts) if text[:1] == " "]
    common = torch.nn.functional.normalize(torch.randn(llama.config.hidden_size), dim=0)
    table, head = llama.model.embed_tokens.weight, llama.lm_head.weight
    table.normal_(std=0.5).add_(common)
    head.normal_(std=0.15)
    head[word_starts] += 0.3 * common
    head[end] -= 0.3 * common
    head[assistant] += 0.5 * table[start]


def save_tiny_checkpoint(folder: Path, **overrides: Any) -> Path:
    """Write the whole checkpoint: model, tokenizers, voices and voice generator."""
    asr_tokenizer, llm_tokenizer = tiny_tokenizers()
    config = tiny_config(asr_tokenizer, llm_tokenizer, **overrides)
    _save(config, llm_tokenizer, folder)
    asr_tokenizer.save_pretrained(folder / "asr")
    return folder


def save_tiny_phones_checkpoint(folder: Path) -> Path:
    """Write the whole checkpoint of phones."""
    llm_tokenizer = train_llm_tokenizer(SENTENCES, 360)
    _save(tiny_phones_config(llm_tokenizer), llm_tokenizer, folder)
    return folder


def _save(config: TasteConfig, llm_tokenizer: Any, folder: Path) -> None:
    tiny_model(config, llm_tokenizer).save_pretrained(folder)
    llm_tokenizer.save_pretrained(folder / "llama_tokenizer")
    voices = torch.nn.functional.normalize(torch.randn(2, SPEAKER_WIDTH, generator=_generator(1)), dim=-1)
    save_file({"ada": voices[0].clone(), "ben": voices[1].clone()}, folder / "voices.safetensors")
    _save_voice_generator(config, folder)


def _save_voice_generator(config: TasteConfig, folder: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        generator = VoiceGenerator(config.voice_generator)
    state = {name: tensor.detach().contiguous().clone() for name, tensor in generator.state_dict().items()}
    save_file(state, folder / "voice_generator.safetensors")


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
