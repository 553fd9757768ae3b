import pocketsphinx
import pytest

from taste_speech.recognition.language_model import END, START, estimate

SENTENCES = ["what is the time", "what is the name", "the name is bob", "what is it"]
VOCABULARY = {word for sentence in SENTENCES for word in sentence.split()} | {END}


@pytest.mark.parametrize("min_count", [1, 2])
@pytest.mark.parametrize(
    "history",
    [(), ("is",), ("bob",), (START,), ("what", "is"), (START, "what"), ("is", "bob"), ("time", "bob")],
)
def test_probabilities_sum_to_one(min_count, history):
    model = estimate(SENTENCES, min_count)
    assert sum(model.score(word, history) for word in VOCABULARY) == pytest.approx(1.0, abs=1e-6)


def test_seen_words_are_likelier_than_unseen_ones():
    model = estimate(SENTENCES)
    assert model.score("is", ("what",)) > 5 * model.score("bob", ("what",)) > 0


def test_an_unknown_word_is_impossible():
    assert estimate(SENTENCES).score("zebra", ("what",)) == 0


def test_pruning_drops_rare_trigrams_only():
    full, pruned = estimate(SENTENCES), estimate(SENTENCES, min_trigram_count=2)
    assert {n for n in full.probability if len(n) == 2} == {n for n in pruned.probability if len(n) == 2}
    assert sum(len(n) == 3 for n in pruned.probability) < sum(len(n) == 3 for n in full.probability)


def test_pocketsphinx_reads_the_file(tmp_path):
    model = estimate(SENTENCES)
    model.write(tmp_path / "model.arpa")
    log_math = pocketsphinx.LogMath()
    read = pocketsphinx.NGramModel(
        pocketsphinx.Config(loglevel="FATAL"), log_math, str(tmp_path / "model.arpa")
    )
    # Words are given last first.
    for words in (("name", "the", "is"), ("bob", "what", "is"), ("it", "is", "what")):
        expected = model.score(words[0], (words[2], words[1]))
        assert log_math.exp(read.prob(list(words))) == pytest.approx(expected, rel=0.01)


def test_no_sentences_are_refused():
    with pytest.raises(ValueError, match="give at least one"):
        estimate([])
