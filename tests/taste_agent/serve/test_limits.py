"""Budgets, the pace of silence, and text that becomes sure."""

import pytest

from taste_agent.serve.items import PartialText
from taste_agent.serve.limits import MOST_S, STALL_S, Budget, SilencePace


def test_a_budget_can_be_spent_at_its_rate_and_has_a_reserve() -> None:
    budget = Budget(per_s=2.0, reserve=4.0, now_s=0.0)
    assert budget.spend(4.0, 0.0)
    assert not budget.spend(1.0, 0.25)
    assert budget.spend(1.0, 0.5)
    assert not budget.spend(5.0, 100.0)


def test_silence_comes_at_the_pace_of_the_clock() -> None:
    pace = SilencePace(frame_s=0.02, now_s=10.0)
    assert [pace.due_frames(10.0 + i * 0.02 + 1e-6) for i in range(4)] == [0, 1, 1, 1]


def test_a_client_that_stalls_is_waited_for() -> None:
    pace = SilencePace(frame_s=0.02, now_s=0.0)
    pace.heard(1.0)
    assert pace.due_frames(1.0 + STALL_S - 0.001) == 0
    assert pace.due_frames(1.0 + STALL_S + 0.1001) == pytest.approx(5)


def test_no_silence_is_made_up_for_a_rest() -> None:
    pace = SilencePace(frame_s=0.02, now_s=0.0)
    pace.rest(5.0)
    assert pace.due_frames(5.0201) == 1


def test_a_thread_that_was_held_up_makes_up_for_a_second_at_most() -> None:
    pace = SilencePace(frame_s=0.02, now_s=0.0)
    assert pace.due_frames(100.0) <= MOST_S / 0.02 + 1


def test_words_are_told_when_two_transcripts_agree_on_them() -> None:
    text = PartialText()
    heard = ["what", "what is", "what is the cap", "what is the capital", "what was"]
    assert [text.take(partial) for partial in heard] == ["", "what", " is", " the", ""]
