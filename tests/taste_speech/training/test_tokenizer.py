import string

import pytest
from transformers import AutoTokenizer

from taste_speech.streaming.configuration import RoleTokensConfig
from taste_speech.training.tokenizer import PREFIX, build_asr_tokenizer
from tests.llm_tokenizer import SPECIAL_TOKENS, train_llm_tokenizer

TEXTS = ["What is the capital of France?", "The capital of France is Paris."] * 20


@pytest.fixture(scope="module")
def asr(tmp_path_factory):
    folder = tmp_path_factory.mktemp("asr")
    build_asr_tokenizer().save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def llm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llm")
    train_llm_tokenizer(TEXTS, 300).save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


def encode(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def test_asr_tokens_are_characters_and_word_starts_carry_the_space(asr):
    ids = encode(asr, " Hello, it’s 7.")
    assert asr.convert_ids_to_tokens(ids) == ["▁h", *"ello,", "▁i", *"t's", "▁7", "."]
    assert asr.decode(ids) == " hello, it's 7."


def test_what_the_asr_tokenizer_cannot_spell_is_one_unknown_token(asr):
    assert encode(asr, " 日本")[-1] == asr.unk_token_id
    assert encode(asr, " café") == encode(asr, " cafe")


def test_asr_specials_follow_the_text_tokens(asr):
    specials = [asr.eos_token_id, *asr.convert_tokens_to_ids(list(PREFIX))]
    assert specials == list(range(len(asr) - 5, len(asr)))


def test_llm_tokenizer_encodes_all_printable_characters(llm):
    text = " " + string.printable.strip()
    assert llm.decode(encode(llm, text)) == text


def test_llm_words_start_with_a_space_and_known_words_are_short(llm):
    ids = encode(llm, " capital")
    assert llm.decode(ids[0]).startswith(" ")
    assert len(ids) < len("capital")


def test_llm_specials_have_the_highest_ids_and_role_names(llm):
    names = list(SPECIAL_TOKENS)
    ids = llm.convert_tokens_to_ids(names)
    assert ids == list(range(len(llm) - len(names), len(llm)))
    assert llm.bos_token_id == ids[0]
    assert encode(llm, RoleTokensConfig().user) == [ids[names.index(RoleTokensConfig().user)]]
