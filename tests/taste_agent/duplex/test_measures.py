"""The measures of Full-Duplex-Bench, on cases worked out by hand from its definitions."""

from itertools import pairwise

import numpy as np
import pytest

from taste_agent.duplex.measures import (
    Policy,
    Silence,
    after,
    best,
    cut_off_at,
    delay_at,
    latency_s,
    merged,
    outcome,
    own_outcome,
    responses_s,
    spans,
    stops_s,
    sweep,
    takes_over,
)
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


PAUSES = [Silence(0.5, 0.1), Silence(1.0, 0.2), Silence(0.4, 0.7), Silence(0.25, None)]
ENDS = [Silence(None, 0.9), Silence(None, 0.8), Silence(None, 0.3)]


def test_silence_alone_cuts_off_every_longer_pause():
    result = outcome(Policy(None, 0.0, 0.45), PAUSES + ENDS)
    assert (result.cut_off, result.mean_s, result.median_s) == (0.5, 0.45, 0.45)


def test_a_model_that_is_believed_ends_the_turn_at_once_and_else_the_timeout_does():
    result = outcome(Policy(0.75, 0.3, 1.2), PAUSES + ENDS)
    assert result.cut_off == 0
    assert result.mean_s == pytest.approx((0.3 + 0.3 + 1.2) / 3)
    assert result.median_s == 0.3
    bold = outcome(Policy(0.65, 0.3, 0.6), PAUSES + ENDS)
    assert bold.cut_off == 0.5  # the pause of 0.4 s by the model, that of 1 s by the timeout


def test_what_the_model_could_not_say_is_left_to_the_timeout():
    assert Policy(0.1, 0.2, 2.0).decides_after_s(Silence(None, None)) == 2.0


def test_nothing_is_decided_before_the_probability_is_known():
    policy = Policy(0.5, 0.3, 1.2)
    assert policy.decides_after_s(Silence(None, 0.9, 0.25)) == 0.3
    assert policy.decides_after_s(Silence(None, 0.9, 0.5)) == 0.5
    assert policy.decides_after_s(Silence(None, 0.9, 1.5)) == 1.2


def test_only_policies_that_no_other_beats_are_left():
    outcomes = best(sweep(PAUSES + ENDS))
    delays, cuts = [o.mean_s for o in outcomes], [o.cut_off for o in outcomes]
    assert delays == sorted(delays)
    assert all(later < earlier for earlier, later in pairwise(cuts))
    assert cuts[-1] == 0


def test_budgets_are_kept_and_the_model_beats_silence():
    model, alone = sweep(PAUSES + ENDS), sweep(PAUSES + ENDS, asks_agent=False)
    assert delay_at(alone, 0.0) == 1.0
    # Believed from 0.25 on after 0.4 s: the pause that the model takes for an end is over by then.
    assert delay_at(model, 0.0) == pytest.approx(0.4)
    assert cut_off_at(alone, 0.3) == 0.75
    assert cut_off_at(model, 0.5) == 0
    assert cut_off_at(model, 0.1) is None
    assert cut_off_at(model, median_s=0.3) == 0  # the mean of this policy is longer
    assert delay_at([], 0.5) is None


def test_what_the_agent_decided_itself_is_counted():
    silences = [
        Silence(0.5, 0.9, decided_after_s=0.4),
        *(Silence(0.5, 0.1),) * 3,
        *(Silence(None, 0.9, decided_after_s=delay_s) for delay_s in (0.3, 0.4, 1.8)),
    ]
    assert own_outcome(silences) == (0.25, 0.4)
    assert own_outcome(silences[:2]) == (0.5, None)
