"""Trigrams after Kneser and Ney (1995), interpolated, in the ARPA format that PocketSphinx reads."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

START, END = "<s>", "</s>"
DISCOUNT = 0.75
LOG_ZERO = -99.0
Ngram = tuple[str, ...]


@dataclass(frozen=True)
class Trigrams:
    """Probabilities of n-grams (n = 1, 2, 3) and back-off weights of their histories, not logarithms."""

    probability: Mapping[Ngram, float]
    backoff: Mapping[Ngram, float]

    def score(self, word: str, history: Ngram) -> float:
        """Return P(word | last two words of `history`); an unknown word has probability 0."""
        history = history[-2:]
        if (*history, word) in self.probability:
            return self.probability[*history, word]
        if not history:
            return 0.0
        return self.backoff.get(history, 1.0) * self.score(word, history[1:])

    def write(self, path: str | Path) -> None:
        """Write the ARPA file."""
        orders: list[list[Ngram]] = [[], [], []]
        for ngram in sorted(self.probability):
            orders[len(ngram) - 1].append(ngram)
        with Path(path).open("w", encoding="ascii") as out:
            out.write("\\data\\\n")
            out.writelines(f"ngram {n}={len(ngrams)}\n" for n, ngrams in enumerate(orders, 1))
            for n, ngrams in enumerate(orders, 1):
                out.write(f"\n\\{n}-grams:\n")
                for ngram in ngrams:
                    line = f"{_log10(self.probability[ngram]):.4f}\t{' '.join(ngram)}"
                    weight = self.backoff.get(ngram)
                    # The highest order has no back-off column.
                    out.write(line + (f"\t{_log10(weight or 1.0):.4f}\n" if n < len(orders) else "\n"))
            out.write("\n\\end\\\n")


def estimate(sentences: Iterable[str], min_trigram_count: int = 1) -> Trigrams:
    """Estimate trigrams from sentences whose words are divided by blanks.

    Trigrams seen less than `min_trigram_count` times are left to the bigrams.

    Errors: `ValueError` if there is no sentence.
    """
    trigrams: Counter[Ngram] = Counter()
    starts: Counter[Ngram] = Counter()
    for text in sentences:
        words = [START, *text.split(), END]
        starts[START, words[1]] += 1
        trigrams.update(zip(words, words[1:], words[2:], strict=False))
    if not starts:
        raise ValueError("no sentences to estimate a language model from; give at least one")
    # Lower orders count contexts rather than occurrences, except after the start, which has none before it.
    bigrams = Counter(ngram[1:] for ngram in trigrams) + starts
    unigrams = Counter(ngram[1:] for ngram in bigrams)
    total = sum(unigrams.values())
    probability: dict[Ngram, float] = {word: count / total for word, count in unigrams.items()}
    backoff: dict[Ngram, float] = {}
    probability |= _interpolate(bigrams, probability, bigrams)
    kept = Counter({ngram: count for ngram, count in trigrams.items() if count >= min_trigram_count})
    probability |= _interpolate(kept, probability, trigrams)
    for n in (2, 3):
        backoff |= _backoff_weights(probability, n)
    # The start is never predicted.
    probability[START,] = 10.0**LOG_ZERO
    return Trigrams(probability, backoff)


def _interpolate(
    kept: Counter[Ngram], lower: Mapping[Ngram, float], counts: Counter[Ngram]
) -> dict[Ngram, float]:
    """Discounted shares of the n-grams in `kept`, plus what the shorter history gives each of them."""
    totals: Counter[Ngram] = Counter()
    followers: Counter[Ngram] = Counter()
    for ngram, count in counts.items():
        totals[ngram[:-1]] += count
        followers[ngram[:-1]] += 1
    return {
        ngram: (count - DISCOUNT) / totals[ngram[:-1]]
        + DISCOUNT * followers[ngram[:-1]] / totals[ngram[:-1]] * lower[ngram[1:]]
        for ngram, count in kept.items()
    }


def _backoff_weights(probability: Mapping[Ngram, float], n: int) -> dict[Ngram, float]:
    """What each history leaves to unseen words, divided by what the shorter history gives those words."""
    seen: defaultdict[Ngram, float] = defaultdict(float)
    seen_lower: defaultdict[Ngram, float] = defaultdict(float)
    for ngram, value in probability.items():
        if len(ngram) == n:
            seen[ngram[:-1]] += value
            seen_lower[ngram[:-1]] += probability[ngram[1:]]
    return {h: max(1.0 - seen[h], 1e-7) / max(1.0 - seen_lower[h], 1e-7) for h in seen}


def _log10(value: float) -> float:
    return max(math.log10(value), LOG_ZERO) if value > 0 else LOG_ZERO
