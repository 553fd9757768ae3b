"""The example of the user's specification of streaming, as it stands there, on the tiny model."""

from pathlib import Path
from typing import Any

import pytest
import torch

from taste_speech import TasteForCausalLM, TasteProcessor
from taste_speech.streaming import TASTESegment, streaming_generate, taste_detokenize, taste_tokenize
from taste_speech.streaming.emit_timing import every_words

ITEM_KEYS = {"is_complete", "completion_reason", "segment"}


@pytest.fixture(scope="module")
def loaded(tiny_checkpoint: Path) -> tuple[TasteForCausalLM, TasteProcessor]:
    model = TasteForCausalLM.from_pretrained(tiny_checkpoint, attn_implementation="eager")
    model = model.to("cpu")
    model.eval()
    return model, TasteProcessor.from_pretrained(tiny_checkpoint)


def ids_of(processor: TasteProcessor, text: str) -> torch.Tensor:
    return torch.tensor([processor.llm_tokenizer.encode(f" {text}", add_special_tokens=False)])


def test_the_whole_example_runs(loaded: Any) -> None:
    model, processor = loaded
    tokenizer = processor.llm_tokenizer
    sys_text_ids = ids_of(processor, "you help people.")
    user_text_1_ids = ids_of(processor, "what time is it?")
    assistant_text_1_ids = ids_of(processor, "it is half past nine.")
    audio = torch.randn(1, 16000, generator=torch.Generator().manual_seed(0)) * 0.1

    user_taste_1_ids = taste_tokenize(model, processor, audio, user_text_1_ids, 16000)
    assert user_taste_1_ids.size(0) == user_text_1_ids.size(0) == 1
    assert user_taste_1_ids.size(1) == user_text_1_ids.size(1)
    assert user_taste_1_ids.size(2) == model.num_quantizers
    assistant_taste_1_ids = taste_tokenize(model, processor, audio, assistant_text_1_ids)

    input_segments = [
        TASTESegment(role="system", modality="text", text_ids=sys_text_ids),
        TASTESegment(role="user", modality="audio", text_ids=user_text_1_ids, taste_ids=user_taste_1_ids),
        TASTESegment(
            role="assistant",
            modality="audio",
            text_ids=assistant_text_1_ids,
            taste_ids=assistant_taste_1_ids,
        ),
    ]
    torch.manual_seed(0)
    generate_outputs = streaming_generate(
        model, processor, input_segments, 0.3, 0.0, 0.5, 1.1, 24, tokenizer.eos_token_id, every_words(2)
    )
    speaker_embeds = processor.voices()["ada"]
    text_ids = torch.zeros(1, 0, dtype=torch.long)
    taste_ids = torch.zeros(1, 0, model.num_quantizers, dtype=torch.long)
    speech_ids = torch.zeros(1, 0, dtype=torch.long)
    audio_ms, samples, reasons = 0, 0, []
    for item in generate_outputs:
        assert item.keys() >= ITEM_KEYS
        reasons.append(item["completion_reason"])
        assert item["is_complete"] == (reasons[-1] != "speaking")
        segment = item["segment"]
        if segment.text_ids.size(1) == 0:
            continue
        output = taste_detokenize(
            model,
            processor,
            speaker_embeds,
            text_ids,
            taste_ids,
            speech_ids,
            audio_ms,
            segment.text_ids,
            segment.taste_ids,
            16000,
        )
        assert output["audio_waveform"].ndim == 2
        assert output["sampling_rate"] == 16000
        assert isinstance(output["chunk_duration_ms"], int)
        text_ids = torch.cat([text_ids, segment.text_ids], dim=1)
        taste_ids = torch.cat([taste_ids, segment.taste_ids], dim=1)
        speech_ids = torch.cat([speech_ids, output["speech_ids"]], dim=1)
        audio_ms += output["chunk_duration_ms"]
        samples += output["audio_waveform"].size(1)
    assert set(reasons[:-1]) <= {"speaking"}
    assert reasons[-1] in ("finished", "max_length", "no_speech")
    assert len(reasons) > 1
    assert audio_ms == round(samples / 16)


def test_named_arguments_are_those_of_the_specification(loaded: Any) -> None:
    model, processor = loaded
    question = TASTESegment("user", "text", ids_of(processor, "what time is it?"))
    items = list(
        streaming_generate(
            model=model,
            processor=processor,
            input_segments=[question],
            text_top_p=0.0,
            taste_top_p=0.0,
            text_temperature=0.5,
            repetition_penalty=1.1,
            max_length=8,
            eos_id=processor.llm_tokenizer.eos_token_id,
            emit_timing_func=every_words(1),
        )
    )
    assert items[-1]["is_complete"]


@pytest.mark.parametrize(
    ("modality", "taste", "message"),
    [
        ("audio", None, "modality='audio' requires taste_ids to be provided"),
        ("text", torch.zeros(1, 1, 3, dtype=torch.long), "modality='text' should not have taste_ids"),
    ],
)
def test_segments_are_checked_in_the_words_of_the_specification(
    modality: str, taste: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        TASTESegment(role="user", modality=modality, text_ids=torch.zeros(1, 1).long(), taste_ids=taste)
