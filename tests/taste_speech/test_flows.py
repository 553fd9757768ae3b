"""Batch mode on the tiny model: completion, reconstruction, scoring."""

import copy
import math
from itertools import groupby
from typing import Any

import numpy as np
import pytest
import torch

from taste_speech import AudioError, TasteForCausalLM
from taste_speech.phones import MARKED_PHONES, PHONES
from taste_speech.streaming.layout import PromptFormat
from tests.tiny import SPEAKER_WIDTH, UNITS

TEXT = "the strawberry ripens slowly"


@pytest.fixture(scope="module")
def inputs(tiny_processor: Any) -> dict[str, Any]:
    """Processor output for a second of noise that is said to be `TEXT`."""
    audio = np.random.default_rng(0).normal(size=16000).astype(np.float32) * 0.1
    return dict(tiny_processor(audio, 16000, ref_audio_list=["ada"], text=TEXT))


@pytest.fixture(scope="module")
def tokenizers(tiny_processor: Any) -> dict[str, Any]:
    return {"llm_tokenizer": tiny_processor.llm_tokenizer, "asr_tokenizer": tiny_processor.audio_tokenizer}


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_extract_vq_gives_each_word_its_codes(tiny_model: Any, inputs: dict[str, Any]) -> None:
    asr, llm = tiny_model.extract_vq(**inputs)
    assert asr.shape == (1, inputs["asr_token_ids"].shape[1], 3)
    assert llm.shape == (1, inputs["llm_token_ids"].shape[1], 3)
    carrying = llm[0, :, 0] != -1
    assert int(carrying.sum()) == len(TEXT.split())
    first_asr = [inputs["asr_word_ids"][0].tolist().index(word) for word in range(4)]
    assert torch.equal(llm[0, carrying], asr[0, first_asr])


@pytest.mark.parametrize("mode", ["audio", "text", "zero"])
def test_completion_speaks_text(mode: str, tiny_model: Any, inputs: Any, tokenizers: Any) -> None:
    given = inputs if mode != "zero" else {"speaker_embeds": inputs["speaker_embeds"]}
    output = tiny_model.inference_completion(
        mode, extra_words=2, text_top_p=0.9, **tokenizers, **given, generator=seeded()
    )
    again = tiny_model.inference_completion(
        mode, extra_words=2, text_top_p=0.9, **tokenizers, **given, generator=seeded()
    )
    assert 2 <= len(output["generated_text"].split()) <= 7
    units = output["speech_token_ids"]
    assert units.dtype == torch.int32
    assert output["speech_token_lengths"].tolist() == [units.shape[1]]
    assert 0 <= int(units.min()) <= int(units.max()) < UNITS
    assert torch.equal(units, again["speech_token_ids"])


def test_completion_of_text_only(tiny_model: Any, inputs: Any, tokenizers: Any) -> None:
    output = tiny_model.inference_completion(
        "text", extra_words=3, output_text_only=True, llm_token_ids=inputs["llm_token_ids"], **tokenizers
    )
    assert output.keys() == {"generated_text"}


def test_the_prompt_is_spoken_again_unless_told_otherwise(
    tiny_model: Any, inputs: Any, tokenizers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoken: list[int] = []

    def generate(*, asr_token_ids: Any, audio_embeds: Any, **_: Any) -> Any:
        assert asr_token_ids.shape == audio_embeds.shape[:2]
        spoken.append(asr_token_ids.shape[1])
        return torch.zeros(1, 1, dtype=torch.int32)

    monkeypatch.setattr(tiny_model.speech_decoder, "generate", generate)
    for generated_only in (False, True):
        tiny_model.inference_completion(
            **tokenizers, **inputs, extra_words=2, out_generated_part_only=generated_only
        )
    assert spoken[0] - spoken[1] == inputs["asr_token_ids"].shape[1]


def test_instruct_ends_at_its_stop_token(tiny_model: Any, inputs: Any, tokenizers: Any) -> None:
    tokenizer = tokenizers["llm_tokenizer"]
    fmt = PromptFormat.from_config(tiny_model.config, tokenizer)
    stop = fmt.segment_end_id
    output = tiny_model.inference_completion(
        "instruct",
        extra_words=4,
        instruct_prefix_ids=tokenizer.encode(" please tell me"),
        instruct_suffix_ids=tokenizer.encode(" and then"),
        stop_id=stop,
        text_top_p=0.9,
        **tokenizers,
        **inputs,
        generator=seeded(),
    )
    assert "<|" not in output["generated_text"]


def test_a_completion_that_stops_at_once_is_empty(
    tiny_model: Any, inputs: Any, tokenizers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taste_speech.spoken_lm.generation.sample_text", lambda *_, **__: 9)
    output = tiny_model.inference_completion("instruct", stop_id=9, **tokenizers, **inputs)
    assert output["generated_text"] == ""
    assert output["speech_token_ids"].shape == (1, 0)


@pytest.mark.parametrize("mode", ["SpokenLLM", "SpeechAutoEncoder"])
def test_reconstruction(mode: str, tiny_model: Any, inputs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tiny_model.inference_reconstruction(mode, **inputs, generator=seeded())
    assert output["speech_token_ids"].shape[1] == output["speech_token_lengths"].item() > 0


def test_reconstruction_by_the_language_model_uses_its_own_codes(tiny_model: Any, inputs: Any) -> None:
    units = [
        tiny_model.inference_reconstruction(mode, **inputs, generator=seeded())["speech_token_ids"].tolist()
        for mode in ("SpokenLLM", "SpeechAutoEncoder")
    ]
    assert units[0] != units[1]


def test_a_checkpoint_of_phones_says_them_in_time(tiny_phones_model: Any, tiny_phones_processor: Any) -> None:
    audio = np.random.default_rng(0).normal(size=16000).astype(np.float32) * 0.1
    given = dict(tiny_phones_processor(audio, 16000, ref_audio_list=["ada"], text=TEXT))
    found = [
        tiny_phones_model.inference_reconstruction(mode, **given)["speech_token_ids"][0]
        for mode in ("SpokenLLM", "SpeechAutoEncoder")
    ]
    asr = given["asr_token_ids"][0].tolist()
    for units in found:
        phones = [phone for phone, _ in groupby(units.remainder(MARKED_PHONES).tolist())]
        assert [phone for phone in phones if phone % len(PHONES)] == [phone for phone, _ in groupby(asr)]
    assert found[0].tolist() != found[1].tolist()
    output = tiny_phones_model.inference_completion(
        "text",
        extra_words=2,
        text_top_p=0.9,
        llm_tokenizer=tiny_phones_processor.llm_tokenizer,
        asr_tokenizer=tiny_phones_processor.audio_tokenizer,
        **given,
        generator=seeded(),
    )
    assert output["generated_text"]
    assert output["speech_token_lengths"].tolist() == [output["speech_token_ids"].shape[1]]


def test_scoring_prefers_what_the_model_would_say(tiny_model: Any, inputs: Any, tokenizers: Any) -> None:
    score = float(tiny_model.scoring(**inputs))
    assert math.isfinite(score)
    shuffled = dict(inputs)
    shuffled["llm_token_ids"] = inputs["llm_token_ids"].flip(1)
    assert float(tiny_model.scoring(**shuffled)) != score


@pytest.mark.parametrize("deviations", [0.0, 1.0])
def test_scoring_measures_the_taste_vector_that_is_read(
    deviations: float, tiny_model: Any, inputs: Any
) -> None:
    model = copy.deepcopy(tiny_model)
    lm = model.spoken_lm
    lm.taste_deviations = deviations
    model.config.spoken_lm_config.loss_weights = "0-1"
    with torch.no_grad():  # a mean of 0 and a deviation of 2, whatever was said
        lm.extraction.fc_mu.weight.zero_()
        lm.extraction.fc_mu.bias.zero_()
        lm.extraction.b_logvar.fill_(math.log(4))
    _, codes = model.extract_vq(**inputs)
    wanted = model.audio_tower.quantizer.code_from_indices(codes[0][codes[0, :, 0] != -1])
    distance = (2 * deviations - wanted).square().mean()
    divergence = 0.5 * (4 + wanted.square() - 1 - math.log(4)).mean()
    torch.testing.assert_close(model.scoring(**inputs), 0.5 * (distance + divergence))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("text_top_p", [0.0, 0.9])
def test_every_precision_runs_the_whole_path(
    dtype: torch.dtype, text_top_p: float, tiny_checkpoint: Any, inputs: Any, tokenizers: Any
) -> None:
    model = TasteForCausalLM.from_pretrained(tiny_checkpoint, dtype=dtype, attn_implementation="eager")
    output = model.inference_completion(
        **tokenizers,
        **inputs,
        extra_words=2,
        text_top_p=text_top_p,
        repetition_penalty=1.1,
        generator=seeded(),
    )
    assert output["speech_token_ids"].shape[1] > 0


@pytest.mark.parametrize(
    ("mode", "changes", "message"),
    [
        ("sing", {}, "unknown conditional_mode 'sing'; choose zero, text, audio or instruct"),
        ("audio", {"audio_features": None}, "audio_features missing; pass the processor's whole output"),
        ("text", {"llm_token_ids": None}, "conditional_mode 'text' needs llm_token_ids"),
        ("text", {"llm_token_ids": torch.zeros(1, 0).long()}, "conditional_mode 'text' needs llm_token_ids"),
        ("text", {"llm_token_ids": torch.zeros(2, 3).long()}, "the batch has 2 items; give one utterance"),
        ("text", {"speaker_embeds": None}, "speaker_embeds are missing"),
        ("text", {"extra_words": 0}, "extra_words is 0; give 1 or more"),
        ("text", {"text_top_p": 2}, "text_top_p is 2; give a number from 0"),
    ],
)
def test_wrong_inputs_are_refused(
    mode: str, changes: Any, message: str, tiny_model: Any, inputs: Any, tokenizers: Any
) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_model.inference_completion(mode, **{"extra_words": 2} | tokenizers | inputs | changes)


def test_wrong_features_are_refused(tiny_model: Any, inputs: Any) -> None:
    with pytest.raises(AudioError, match="audio features have shape"):
        tiny_model.extract_vq(**inputs | {"audio_features": torch.zeros(1, 10, 3)})
    with pytest.raises(ValueError, match="unknown mode 'Mute'; choose SpokenLLM or SpeechAutoEncoder"):
        tiny_model.inference_reconstruction(
            "Mute", **inputs | {"speaker_embeds": torch.zeros(1, SPEAKER_WIDTH)}
        )


@pytest.mark.parametrize("voice", [None, torch.zeros(2, SPEAKER_WIDTH), torch.zeros(1, SPEAKER_WIDTH + 1)])
def test_a_voice_that_does_not_fit_is_noticed_first(
    voice: Any, tiny_model: Any, inputs: Any, tokenizers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def computed(*_: Any, **__: Any) -> None:
        raise AssertionError("something was computed first")

    monkeypatch.setattr("taste_speech.flows._read_utterance", computed)
    given = inputs | {"speaker_embeds": voice}
    with pytest.raises(ValueError, match="speaker_embeds"):
        tiny_model.inference_completion(**tokenizers, **given)
    with pytest.raises(ValueError, match="speaker_embeds"):
        tiny_model.inference_reconstruction(**given)
