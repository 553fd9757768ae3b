"""Both sides of telling a turn's end, on silences worked out by hand."""

from itertools import pairwise

import pytest

from taste_agent.duplex.turn_ends import Policy, Silence, cut_off_at, delay_at, outcome, sweep

PAUSES = [Silence(0.5, 0.1), Silence(1.0, 0.2), Silence(0.4, 0.7), Silence(0.25, None)]
ENDS = [Silence(None, 0.9), Silence(None, 0.8), Silence(None, 0.3)]


def test_silence_alone_cuts_off_every_longer_pause():
    result = outcome(Policy(None, 0.0, 0.45), PAUSES + ENDS)
    assert (result.cut_off, result.delay_s) == (0.5, 0.45)


def test_a_model_that_is_believed_ends_the_turn_at_once_and_else_the_timeout_does():
    result = outcome(Policy(0.75, 0.3, 1.2), PAUSES + ENDS)
    assert result.cut_off == 0
    assert result.delay_s == pytest.approx((0.3 + 0.3 + 1.2) / 3)
    bold = outcome(Policy(0.65, 0.3, 0.6), PAUSES + ENDS)
    assert bold.cut_off == 0.5  # the pause of 0.4 s by the model, that of 1 s by the timeout


def test_what_the_model_could_not_say_is_left_to_the_timeout():
    assert Policy(0.1, 0.2, 2.0).decides_after_s(Silence(None, None)) == 2.0


def test_only_policies_that_no_other_beats_are_left():
    outcomes = sweep(PAUSES + ENDS)
    delays, cuts = [o.delay_s for o in outcomes], [o.cut_off for o in outcomes]
    assert delays == sorted(delays)
    assert all(later < earlier for earlier, later in pairwise(cuts))
    assert cuts[-1] == 0


def test_budgets_are_kept_and_the_model_beats_silence():
    model, alone = sweep(PAUSES + ENDS), sweep(PAUSES + ENDS, asks_model=False)
    assert delay_at(alone, 0.0) == 1.0
    # Believed from 0.25 on after 0.4 s: the pause that the model takes for an end is over by then.
    assert delay_at(model, 0.0) == pytest.approx(0.4)
    assert cut_off_at(alone, 0.3) == 0.75
    assert cut_off_at(model, 0.5) == 0
    assert cut_off_at(model, 0.1) is None
    assert delay_at([], 0.5) is None
