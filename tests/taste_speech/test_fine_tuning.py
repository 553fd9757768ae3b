"""The model is trained with the tools of transformers and peft."""

import copy
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from transformers import Trainer, TrainingArguments

from taste_speech import TasteForCausalLM
from taste_speech.streaming.layout import PromptFormat, collate, rows
from taste_speech.streaming.segment import TASTESegment
from taste_speech.words import Word

ADAPTED = r"spoken_lm\.language_model\..*\.(q|v)_proj"


@pytest.fixture
def model(tiny_model: Any) -> Any:
    return copy.deepcopy(tiny_model)


@pytest.fixture
def conversations(tiny_model: Any, tiny_processor: Any) -> list[dict[str, torch.Tensor]]:
    """Two questions with answers, of different lengths; the answers are targets."""
    tokenizer = tiny_processor.llm_tokenizer
    levels, taken = tiny_model.num_quantizers, []
    fmt = PromptFormat.from_config(tiny_model.config, tokenizer)

    def said(role: str, text: str) -> TASTESegment:
        words = [tokenizer.encode(f" {word}", add_special_tokens=False) for word in text.split()]
        codes = [tuple((len(ids) + level) % 16 for level in range(levels)) for ids in words]
        return TASTESegment.from_words(
            role, [Word(ids=tuple(i), taste=c) for i, c in zip(words, codes, strict=True)], levels
        )

    for question, answer in (("what time is it?", "half past nine."), ("the train?", "yes, it leaves.")):
        laid = rows([said("user", question), said("assistant", answer)], fmt)
        taken.append(laid.model_inputs(segments=[1]))
    return taken


def trainer(model: Any, conversations: list[Any], folder: Path, **arguments: Any) -> Trainer:
    settings = {
        "max_steps": 8,
        "learning_rate": 3e-3,
        "logging_steps": 1,
        "save_strategy": "no",
        "disable_tqdm": True,
        "per_device_train_batch_size": 2,
        "use_cpu": True,
        "report_to": "none",
        "seed": 0,
    }
    return Trainer(
        model,
        TrainingArguments(str(folder), **(settings | arguments)),
        data_collator=collate,
        train_dataset=conversations,
        eval_dataset=conversations,
    )


def losses(trained: Trainer) -> list[float]:
    return [entry["loss"] for entry in trained.state.log_history if "loss" in entry]


def test_padding_and_other_segments_do_not_count(model: Any, conversations: list[Any]) -> None:
    alone = [model(**collate([inputs])) for inputs in conversations]
    together = model(**collate(conversations))
    for row, (output, inputs) in enumerate(zip(alone, conversations, strict=True)):
        length = len(inputs["input_ids"])
        torch.testing.assert_close(together.logits[row, :length], output.logits[0])
        torch.testing.assert_close(together.taste_mean[row, :length], output.taste_mean[0])
    targets = [int((inputs["labels"] != -100).sum()) for inputs in conversations]
    mean = sum(n * output.text_loss for n, output in zip(targets, alone, strict=True)) / sum(targets)
    torch.testing.assert_close(together.text_loss, mean)


def test_text_alone_has_no_taste_loss(model: Any) -> None:
    output = model(torch.tensor([[1, 2, 3]]), labels=torch.tensor([[1, 2, 3]]))
    assert output.taste_loss is None
    assert output.loss == 0.5 * output.text_loss


def test_inputs_that_do_not_fit_are_refused(model: Any) -> None:
    ids = torch.tensor([[1, 2, 3]])
    with pytest.raises(ValueError, match="give either input_ids or inputs_embeds"):
        model()
    with pytest.raises(ValueError, match=r"taste_ids have shape \(1, 2, 3\); expected \(1, 3, 3\)"):
        model(ids, torch.zeros(1, 2, 3, dtype=torch.long))


def test_trainer_trains_saves_and_goes_on(model: Any, conversations: list[Any], tmp_path: Path) -> None:
    first = trainer(model, conversations, tmp_path, save_strategy="steps", save_steps=4)
    first.train()
    assert losses(first)[-1] < 0.8 * losses(first)[0]
    assert first.evaluate()["eval_loss"] < losses(first)[0]
    loaded = TasteForCausalLM.from_pretrained(tmp_path / "checkpoint-8")
    batch = collate(conversations)
    torch.testing.assert_close(loaded(**batch).loss, model.eval()(**batch).loss)
    again = trainer(TasteForCausalLM(model.config), conversations, tmp_path)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    assert losses(again) == losses(first)


def test_peft_changes_its_adapters_only(model: Any, conversations: list[Any], tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=ADAPTED))
    done = trainer(adapted, conversations, tmp_path, learning_rate=3e-2, gradient_checkpointing=True)
    done.train()
    assert losses(done)[-1] < losses(done)[0]
    after = {name.replace(".base_layer", ""): value for name, value in model.state_dict().items()}
    assert all(torch.equal(after[name], value) for name, value in before.items())
    batch = collate(conversations)
    expected = adapted.eval()(**batch).loss
    adapted.merge_and_unload().save_pretrained(tmp_path)
    torch.testing.assert_close(TasteForCausalLM.from_pretrained(tmp_path)(**batch).loss, expected)
