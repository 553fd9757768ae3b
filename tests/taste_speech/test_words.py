from dataclasses import astuple

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from taste_speech.errors import TextError
from taste_speech.phones import MARKED_PHONES, PHONES, begins_word, marked_phones, pause_after
from taste_speech.words import (
    PhoneTokenizer,
    llm_ids_to_words,
    pronounced_words,
    special_ids,
    split_words,
    tokenize_words,
)

TEXT = " the strawberry ripens in the warm sun, and it's red."


def byte_level(texts, specials):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in specials])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=True)


@pytest.fixture(scope="module")
def tokenizer():
    return byte_level([TEXT] * 3, ["<|end|>", "<|role|>"])


def ids_of(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False)


def test_every_word_gets_one_leading_blank(tokenizer):
    tokens = tokenize_words(tokenizer, ["the", "sun"])
    assert tokens.token_ids == [*ids_of(tokenizer, " the"), *ids_of(tokenizer, " sun")]
    assert tokens.word_ids == [0] * len(ids_of(tokenizer, " the")) + [1] * len(ids_of(tokenizer, " sun"))


@pytest.mark.parametrize("text", ["a  b\tc\n", ["a", "b c"], " a b c "])
def test_splits_at_any_blanks(text):
    assert split_words(text) == ["a", "b", "c"]


@pytest.mark.parametrize("text", ["", "  \n", [], [" "]])
def test_empty_text(text):
    with pytest.raises(TextError, match="the text is empty; give at least one word"):
        split_words(text)


def test_bytes_of_another_encoding_are_no_text():
    text = b"one caf\xe9".decode(errors="surrogateescape")
    with pytest.raises(TextError, match=r"the word 'caf\\udce9' is not Unicode text; give it in UTF-8"):
        split_words(text)


@pytest.mark.parametrize(
    "words", [["the", "strawberry", "ripens"], ["..."], ["😀", "sun"], ["it's", "."], ["w"] * 500]
)
def test_words_survive_the_way_to_ids_and_back(tokenizer, words):
    tokens = tokenize_words(tokenizer, words)
    back = llm_ids_to_words(tokenizer, tokens.token_ids)
    assert [word.text for word in back] == words
    assert [i for word in back for i in word.ids] == tokens.token_ids
    assert [word.start for word in back] == [tokens.word_ids.index(k) for k in range(len(words))]


def test_first_token_starts_a_word_without_a_blank(tokenizer):
    words = llm_ids_to_words(tokenizer, ids_of(tokenizer, "rawberry sun"))
    assert [word.text for word in words] == ["rawberry", "sun"]
    assert words[0].start == 0


def test_no_ids_no_words(tokenizer):
    assert llm_ids_to_words(tokenizer, []) == []


def test_special_and_foreign_ids(tokenizer):
    role = tokenizer.convert_tokens_to_ids("<|role|>")
    with pytest.raises(
        TextError, match=rf"text id {role} at position 1 is the special token '<\|role\|>'; give"
    ):
        llm_ids_to_words(tokenizer, [*ids_of(tokenizer, "a"), role])
    for foreign in (len(tokenizer), -1):
        with pytest.raises(
            TextError, match=f"text id {foreign} at position 0 is outside the vocabulary; allowed"
        ):
            llm_ids_to_words(tokenizer, [foreign])


def test_special_tokens_in_a_text(tokenizer):
    with pytest.raises(TextError, match=r"the word 'a<\|role\|>' contains a special token; remove it"):
        tokenize_words(tokenizer, ["a<|role|>"])


@pytest.fixture(scope="module")
def phones():
    return PhoneTokenizer()


def said(tokens):
    """The phones of each word, without marks, stress and place."""
    words = [""] * (max(tokens.word_ids) + 1)
    for token, word in zip(tokens.token_ids, tokens.word_ids, strict=True):
        words[word] += PHONES[token % len(PHONES)]
    return words


@pytest.mark.parametrize(
    ("word", "pronounced"),
    [("hello,", "həlˈO,"), ("I", "ˌI"), ("Brooklyn's", "bɹˈʊklənz"), ("well-known", "wˌɛlnˈOn")],
)
def test_a_word_is_cut_into_its_phones(phones, word, pronounced):
    assert phones.encode(f" {word}", add_special_tokens=False) == marked_phones(pronounced)


def test_a_word_that_no_dictionary_has_is_said_all_the_same(phones):
    assert len(phones.encode(" brillig")) > 4


@pytest.mark.parametrize(
    ("text", "phonemes"),
    [
        ("The owl", "ði ˈWl"),
        ("The cat", "ðə kˈæt"),
        ("I live in Rome.", "ˌI lˈɪv ɪn ɹˈOm."),
        ("I am, no.", "ˌI æm, nˈO."),
        ("No.", "nˈO."),
        ("— Yes", "— jˈɛs"),
    ],
)
def test_words_are_pronounced_as_their_neighbors_ask(text, phonemes):
    assert pronounced_words(text.split()) == phonemes.split()


def test_a_word_that_is_said_as_several_is_pronounced_by_itself():
    first, number, last = pronounced_words(["The", "1984", "owl"])
    assert (first, last) == ("ðə", "ˈWl")
    assert len(number) > 10


def test_phones_of_a_word_are_those_that_its_neighbors_ask_for(phones):
    alone, owl, cat = (said(phones.tokens(words)) for words in (["the"], ["the", "owl"], ["the", "cat"]))
    assert (alone, owl[0], cat[0]) == (["ðə"], "ði", "ðə")
    assert said(tokenize_words(phones, ["the", "owl"])) == owl


def test_words_before_are_not_given_again_but_change_how_the_others_are_said(phones):
    after = tokenize_words(phones, ["live", "in", "Rome."], ["They"])
    assert after.word_ids[0] == 0
    assert said(after) == said(phones.tokens(["They", "live", "in", "Rome."]))[1:]
    noun, verb = (said(phones.tokens(["live"], before)) for before in ([], ["I"]))
    assert (noun, verb) == (["lIv"], ["lɪv"])


def test_a_word_that_is_said_as_several_has_the_phones_of_all_of_them(phones):
    tokens = phones.tokens(["seven forty-six.", "now"])
    several = phones.tokens(["seven", "forty-six.", "now"])
    assert said(tokens) == ["".join(said(several)[:2]), said(several)[2]]
    starts = begins_word(torch.tensor(tokens.token_ids)).tolist()
    assert [word for word, start in zip(tokens.word_ids, starts, strict=True) if start] == [0, 1]
    marks = {pause_after(token) for token, word in zip(*astuple(tokens), strict=True) if word == 0}
    assert marks == {pause_after(marked_phones("a.")[0])}


@pytest.mark.parametrize("word", ["\u200b", "—"])
def test_what_has_no_sound_is_a_pause(phones, word):
    tokens = phones.tokens(["yes", word, "no"])
    assert [t for t, w in zip(*astuple(tokens), strict=True) if w == 1] == [0]
    assert said(tokens)[::2] == said(phones.tokens(["yes", "no"]))


def test_all_phones_are_in_the_vocabulary_and_none_is_special(phones):
    assert len(phones) == MARKED_PHONES
    assert special_ids(phones) == frozenset()
    assert all(0 <= token < len(phones) for token in phones.encode("Why? The owl's in Rome, alas."))
    assert phones.encode("") == []
