from taste_speech.training.word_times import word_ends

PHONES = [
    ("pau", 0.1),
    ("dh", 0.2),
    ("iy", 0.3),
    ("k", 0.4),
    ("ae", 0.5),
    ("t", 0.6),
    ("pau", 0.8),
    ("s", 0.9),
    ("pau", 1.2),
]


def test_a_pause_belongs_to_the_word_after_it_and_the_rest_to_the_last_word():
    assert word_ends([["dh", "iy"], ["k", "ae", "t"], ["s"]], PHONES) == [0.3, 0.6, 1.2]


def test_phones_that_are_spoken_otherwise_do_not_shift_the_other_words():
    assert word_ends([["dh", "ax"], ["k", "ae"], ["s"]], PHONES) == [0.3, 0.6, 1.2]


def test_a_word_without_phones_ends_where_the_one_before_it_does():
    assert word_ends([["dh", "iy"], [], ["k", "ae", "t", "s"]], PHONES) == [0.3, 0.3, 1.2]
