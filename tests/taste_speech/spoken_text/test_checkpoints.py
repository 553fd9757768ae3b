"""Both tokenizers get text in the form that the checkpoint was trained on."""

from typing import Any

import pytest
import torch

from taste_speech import TasteProcessor, TextError
from taste_speech.phones import PHONES
from taste_speech.streaming.unit_stream import asr_words, read_words


@pytest.fixture
def speaking(tiny_processor: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The tiny processor as that of a checkpoint which knows text as it is read aloud."""
    monkeypatch.setattr(tiny_processor.config.vocabulary, "text_is_spoken", True)
    return tiny_processor


def test_text_is_read_aloud_once_for_both_tokenizers(speaking: Any) -> None:
    fields, said = speaking.process_text("It’s 7:46 PM"), speaking.process_text("It's seven forty-six P M")
    assert fields.keys() == said.keys()
    assert all(torch.equal(fields[name], said[name]) for name in said)


def test_text_stays_as_written_for_the_others(tiny_processor: Any) -> None:
    words = tiny_processor.split_text("it’s 7:46 PM & “ﬁne”")
    assert words == ["it's", "7:46", "PM", "&", '"fine"']


def test_words_of_a_reply_are_said_as_a_person_would(speaking: Any, tiny_model: Any) -> None:
    ids = torch.tensor([speaking.llm_tokenizer.encode(" it is 7:46.", add_special_tokens=False)])
    starts = [word.start for word in speaking.llm_ids_to_words(ids)]
    taste = torch.full((1, ids.shape[1], tiny_model.num_quantizers), -1)
    taste[0, starts] = 3
    spoken = asr_words(speaking, read_words(speaking, ids, taste))
    texts = [speaking.audio_tokenizer.decode(list(word.ids)).strip() for word in spoken]
    assert texts == ["it", "is", "seven forty-six."]


def test_what_cannot_be_said_is_refused(speaking: Any) -> None:
    with pytest.raises(TextError, match="cannot say '你好'"):
        speaking.process_text("你好")


@pytest.mark.parametrize(
    ("typed", "known"),
    [
        ("what’s your name", "what's your name"),
        ("WHAT IS YOUR NAME", "What is your name"),
        ("2 plus 2", "two plus two"),
        ("ﬁnd\u200b it", "find it"),
    ],
)
def test_the_shipped_checkpoint_knows_what_is_typed(typed: str, known: str) -> None:
    processor = TasteProcessor.from_pretrained("small")
    assert torch.equal(
        processor.process_text(typed)["llm_token_ids"], processor.process_text(known)["llm_token_ids"]
    )
    phones = processor.process_text(typed)["asr_token_ids"]
    assert torch.equal(phones, processor.process_text(known)["asr_token_ids"])
    assert bool((phones % len(PHONES) > 0).all())  # no word is without a sound
