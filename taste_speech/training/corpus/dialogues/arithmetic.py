"""Kinds about numbers: sums, neighbours, comparisons, counting."""

from collections.abc import Iterable

from taste_speech.training.corpus.dialogues.kinds import Kind, Row, make_kind
from taste_speech.training.corpus.dialogues.numerals import number_words


def _pairs(results: Iterable[tuple[int, int, int]]) -> list[Row]:
    return [{"a": number_words(a), "b": number_words(b), "c": number_words(c)} for a, b, c in results]


def arithmetic_kinds() -> list[Kind]:
    """Return the four operations on numbers up to twenty (squares up to a hundred)."""
    small = range(21)
    sums = _pairs((a, b, a + b) for a in small for b in small if a and b and a + b <= 20)
    differences = _pairs((a, b, a - b) for a in small for b in small if 1 <= b <= a)
    products = _pairs((a, b, a * b) for a in range(1, 11) for b in range(1, 11) if a * b <= 20 or a == b)
    quotients = _pairs((a * b, b, a) for a in range(1, 11) for b in range(1, 11) if a * b <= 20)
    what = "(what is|what's|how much is|tell me|calculate)"
    follow = ["(and|what about|how about)"]
    return [
        make_kind(
            "add",
            "arithmetic",
            [
                what + " {a} (plus|and) {b}",
                "add {a} and {b}",
                "(what|how much) do {a} and {b} make",
                "{a} plus {b}",
            ],
            "{a} plus {b} is {c}.",
            rows=sums,
            brief="{c}.",
            weight=6,
            follow=[follow[0] + " {a} plus {b}"],
            accept="is {c}$|^{c}$",
        ),
        make_kind(
            "subtract",
            "arithmetic",
            [what + " {a} minus {b}", "take {b} (away|) from {a}", "subtract {b} from {a}", "{a} minus {b}"],
            "{a} minus {b} is {c}.",
            rows=differences,
            brief="{c}.",
            weight=6,
            follow=[follow[0] + " {a} minus {b}"],
            accept="is {c}$|^{c}$",
        ),
        make_kind(
            "multiply",
            "arithmetic",
            [what + " {a} times {b}", "multiply {a} (by|and) {b}", "{a} (times|multiplied by) {b}"],
            "{a} times {b} is {c}.",
            rows=products,
            brief="{c}.",
            weight=3,
            follow=[follow[0] + " {a} times {b}"],
            accept="is {c}$|^{c}$",
        ),
        make_kind(
            "divide",
            "arithmetic",
            [what + " {a} divided by {b}", "divide {a} by {b}", "{a} divided by {b}"],
            "{a} divided by {b} is {c}.",
            rows=quotients,
            brief="{c}.",
            weight=3,
            follow=[follow[0] + " {a} divided by {b}"],
            accept="is {c}$|^{c}$",
        ),
    ]


def number_kinds() -> list[Kind]:
    """Return neighbours, doubles, comparisons and counting."""
    steps = [{"n": number_words(n), "m": number_words(n + 1), "l": number_words(n - 1)} for n in range(1, 21)]
    doubles = [{"n": number_words(n), "m": number_words(2 * n)} for n in range(1, 11)]
    parity = [{"n": number_words(n), "kind": "even" if n % 2 == 0 else "odd"} for n in range(1, 21)]
    bigger = [
        {"a": number_words(a), "b": number_words(b), "c": number_words(max(a, b))}
        for a in range(1, 21)
        for b in range(1, 21)
        if abs(a - b) in (1, 3, 7)
    ]
    counts = [
        {"n": number_words(n), "list": ", ".join(number_words(i) for i in range(1, n + 1))}
        for n in (3, 4, 5, 6, 8, 10, 12, 15, 20)
    ]
    down = [
        {"n": number_words(n), "list": ", ".join(number_words(i) for i in range(n, 0, -1))}
        for n in (3, 5, 10)
    ]
    by_twos = ", ".join(number_words(i) for i in range(2, 21, 2))
    by_fives = ", ".join(number_words(i) for i in range(5, 51, 5))
    by_tens = ", ".join(number_words(i) for i in range(10, 101, 10))
    ask_count = "(count|please count|can you count|could you count|I want you to count|start counting)"
    return [
        make_kind(
            "number_after",
            "numbers",
            ["(what|which number) (comes|is) after {n}", "tell me the number after {n}"],
            "After {n} comes {m}.",
            rows=steps,
            accept="comes {m}$|^{m}$",
            brief="{m}.",
            weight=2,
            follow=["and after {n}"],
        ),
        make_kind(
            "number_before",
            "numbers",
            ["(what|which number) (comes|is) before {n}", "tell me the number before {n}"],
            "Before {n} comes {l}.",
            rows=steps,
            accept="{l}$",
            brief="{l}.",
            weight=2,
            follow=["and before {n}"],
        ),
        make_kind(
            "double",
            "numbers",
            ["what is (double|twice) {n}", "(double|what is two times) {n}", "tell me the double of {n}"],
            "Double {n} is {m}.",
            rows=doubles,
            accept="{m}$",
            brief="{m}.",
            follow=["and (of|) {n}"],
        ),
        make_kind(
            "half",
            "numbers",
            ["what is (half|one half) of {m}", "(halve|how much is half of) {m}", "tell me half of {m}"],
            "Half of {m} is {n}.",
            rows=doubles,
            accept="{n}$",
            brief="{n}.",
            follow=["and of {m}"],
        ),
        make_kind(
            "odd_even",
            "numbers",
            ["is {n} (odd or even|even or odd|an even number|an odd number)", "tell me if {n} is (odd|even)"],
            "{n} is {kind}.",
            rows=parity,
            brief="{kind}.",
            weight=2,
            follow=["and {n}"],
        ),
        make_kind(
            "bigger_number",
            "numbers",
            [
                "(what|which) is (bigger|more|larger), {a} or {b}",
                "which number is (bigger|larger), {a} or {b}",
            ],
            "{c} is bigger.",
            rows=bigger,
            weight=2,
            follow=["and {a} or {b}"],
        ),
        make_kind(
            "count_to",
            "counting",
            [ask_count + " (|from one) to {n}"],
            "{list}.",
            rows=counts,
            weight=5,
            accept="^(?:certainly |with pleasure )?{list}$",
            follow=["(and|now) (count|) to {n}"],
        ),
        make_kind(
            "count_down",
            "counting",
            ["count (down|backwards) from {n}", "(please|can you) count (down|backwards) from {n}"],
            "{list}.",
            rows=down,
            weight=2,
            accept="^(?:certainly |with pleasure )?{list}$",
        ),
        make_kind(
            "count_twos",
            "counting",
            ["(count|please count|can you count) (by|in) twos", "(tell me|say|name) the even numbers"],
            by_twos,
            accept="two four six eight ten",
        ),
        make_kind(
            "count_fives",
            "counting",
            ["(count|please count|can you count) (by|in) fives"],
            by_fives,
            accept="five ten fifteen",
        ),
        make_kind(
            "count_tens",
            "counting",
            ["(count|please count|can you count) (by|in) tens"],
            by_tens,
            accept="ten twenty thirty",
        ),
    ]
