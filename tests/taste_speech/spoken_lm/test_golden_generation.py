"""The spoken LM agrees with the reference implementation, cached and uncached."""

from typing import Any

import pytest
import torch
from torch import Tensor

from taste_speech.spoken_lm.generation import (
    WordDelay,
    arrange,
    arrange_rows,
    complete,
    make_prompt,
    word_start_codes,
)
from taste_speech.spoken_lm.sampling import TextSampling

VOCABULARY_SIZE = 128256
EXTRA_WORDS = {"audio": 6, "zero": 4, "text": 4}


class SyntheticTokenizer:
    """The tokenizer that the golden generations were made with."""

    def __len__(self) -> int:
        return VOCABULARY_SIZE

    def decode(self, i: int) -> str:
        if i >= 128000:
            return f"<|s{i}|>"
        if i % 11 == 5:
            return "\n"
        if i % 50 == 7:
            return f"z{i}."
        return f" w{i}" if i % 3 == 0 else f"x{i}"


@pytest.fixture(scope="module")
def tokenizer() -> SyntheticTokenizer:
    return SyntheticTokenizer()


def test_word_start_codes_match(golden: dict[str, Tensor]) -> None:
    lengths = [torch.tensor([golden[f"{kind}_token_ids"].shape[1]]) for kind in ("asr", "llm")]
    codes = word_start_codes(
        golden["extract.asr_indices"],
        golden["asr_word_ids"],
        lengths[0],
        golden["llm_word_ids"],
        lengths[1],
    )
    assert torch.equal(codes, golden["extract.llm_indices"])


@torch.inference_mode()
def test_one_full_pass_matches(golden: dict[str, Tensor], golden_model: Any) -> None:
    lm, quantizer = golden_model.spoken_lm, golden_model.audio_tower.quantizer
    codes = golden["extract.llm_indices"]
    rows, tail = arrange_rows(lm, quantizer, golden["llm_token_ids"], codes, delay=1)
    torch.testing.assert_close(rows, golden["lm.inputs_embeds"], rtol=1e-3, atol=1e-3)
    hidden, logits = lm(rows)
    expected = golden["lm.text_logits_every_997th"]
    torch.testing.assert_close(logits[..., ::997], expected, rtol=1e-3, atol=1e-3)
    assert torch.equal(logits.argmax(-1), golden["lm.text_argmax"])
    assert torch.equal(quantizer.indices_from_code(lm.read_taste(hidden)), golden["lm.taste_argmax"])
    last_word = quantizer.output_from_indices(codes[:, -1:])
    torch.testing.assert_close(tail[0], last_word)


def test_taste_targets_stand_where_the_reference_has_them(golden: dict[str, Tensor]) -> None:
    codes = golden["extract.llm_indices"][0]
    starts = (codes[:, 0] != -1).tolist()
    labels = torch.full_like(golden["lm.taste_labels"][0], -1)
    labels[arrange(starts, delay=1).taste_rows] = codes[codes[:, 0] != -1]
    assert torch.equal(labels, golden["lm.taste_labels"][0])


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("mode", sorted(EXTRA_WORDS))
def test_greedy_generation_matches(
    mode: str, use_cache: bool, golden: dict[str, Tensor], golden_model: Any, tokenizer: SyntheticTokenizer
) -> None:
    lm, quantizer = golden_model.spoken_lm, golden_model.audio_tower.quantizer
    prompt = make_prompt(lm, quantizer, mode, 1, golden["llm_token_ids"], golden["extract.llm_indices"])
    result = complete(
        lm,
        quantizer,
        prompt,
        golden_model.vocabulary(tokenizer),
        WordDelay(EXTRA_WORDS[mode], delay=1, has_prefix=mode == "audio"),
        TextSampling(),
        use_cache=use_cache,
    )
    assert result.text_ids == golden[f"gen.{mode}.token_ids"][0].tolist()
    assert result.word_ids == golden[f"gen.{mode}.word_ids"][0].tolist()
    assert result.codes == golden[f"gen.{mode}.indices"][0].tolist()


def test_vocabulary_is_built_once_per_tokenizer(golden_model: Any, tokenizer: SyntheticTokenizer) -> None:
    vocabulary = golden_model.vocabulary(tokenizer)
    assert golden_model.vocabulary(tokenizer) is vocabulary
    assert golden_model.vocabulary(SyntheticTokenizer()) is not vocabulary
