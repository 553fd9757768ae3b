"""The measures of Full-Duplex-Bench, on cases worked out by hand from its definitions."""

import numpy as np
import pytest

from taste_agent.duplex.measures import after, latency_s, merged, responses_s, spans, stops_s, takes_over
from taste_agent.session.transcript import TranscriptWord


def words(*times: tuple[float, float]) -> list[TranscriptWord]:
    return [TranscriptWord("word", start, end) for start, end in times]


@pytest.mark.parametrize(
    ("said", "turn"),
    [
        ([], False),
        ([(1.0, 1.9)], False),
        ([(1.0, 2.0)], True),
        ([(1.0, 1.2), (1.2, 1.4), (1.4, 1.9)], False),
        ([(1.0, 1.2), (1.2, 1.4), (1.4, 1.6), (1.6, 1.8)], True),
        ([(1.0, 1.2), (1.9, 2.1)], True),
    ],
)
def test_a_turn_lasts_a_second_or_has_more_than_three_words(said, turn):
    assert takes_over(words(*said)) is turn


def test_latency_is_told_of_turns_only_and_never_negative():
    assert latency_s(words((3.5, 4.6)), 3.0) == 0.5
    assert latency_s(words((2.5, 4.6)), 3.0) == 0.0
    assert latency_s(words((3.5, 3.9)), 3.0) is None
    assert latency_s([], 3.0) is None


def test_of_a_sound_that_is_cut_the_words_after_the_cut_are_left():
    left = after(words((0.0, 1.0), (1.0, 2.0), (2.0, 3.0)), 1.5)
    assert [(word.start_s, word.end_s) for word in left] == [(1.5, 2.0), (2.0, 3.0)]


def test_short_silences_do_not_part_speech():
    assert merged([(2.0, 3.0), (0.0, 1.0), (1.5, 1.8)], 0.5) == [(0.0, 3.0)]
    assert merged([(0.0, 1.0), (1.6, 1.8)], 0.5) == [(0.0, 1.0), (1.6, 1.8)]


def test_the_agent_speaks_where_its_side_is_not_quiet():
    side = np.zeros(48_000, np.int16)
    side[1600:8000] = 3000
    side[12_800:16_000] = -3000  # less than half a second later
    side[40_000:44_800] = 50  # inaudible
    side[44_800:] = 3000
    assert spans(side, 16_000) == [(0.1, 1.0), (2.8, 3.0)]
    assert spans(np.zeros(100, np.int16), 16_000) == []


def test_an_overlap_is_as_long_as_both_speak():
    assert stops_s([(1.0, 3.0)], [(0.0, 1.4), (2.5, 4.0)]) == pytest.approx([0.4, 0.5])
    assert stops_s([(1.0, 2.0)], [(2.0, 3.0)]) == []


def test_of_overlaps_that_end_together_the_shortest_counts():
    assert stops_s([(0.0, 2.0), (1.5, 2.0)], [(1.0, 2.0)]) == pytest.approx([0.5])


def test_a_response_is_measured_from_the_last_end_of_speech_before_it():
    person, agent = [(0.0, 1.0), (1.5, 2.0), (6.0, 7.0)], [(2.6, 4.0), (7.2, 8.0)]
    assert responses_s(person, agent) == pytest.approx([0.6, 0.2])
    assert responses_s([(0.0, 5.0)], [(1.0, 2.0)]) == []
