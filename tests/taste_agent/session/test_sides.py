import numpy as np
import pytest

from taste_agent.session.sides import Sides


@pytest.mark.parametrize("block", [1, 7, 320])
def test_both_sides_come_back_equally_long_and_the_agent_after_the_lead(block):
    person, agent = np.arange(1, 1001, dtype=np.float32), np.arange(1, 1001, dtype=np.float32)
    sides, taken = Sides(), []
    sides.begin(20)
    for start in range(0, 1000, block):
        sides.add(person[start : start + block], agent[start : start + block])
        taken.append(sides.take())
    taken.append(sides.take(everything=True))
    assert all(len(one) == len(other) for one, other in taken)
    left, right = (np.concatenate(side) for side in zip(*taken, strict=True))
    np.testing.assert_array_equal(left, person)
    np.testing.assert_array_equal(right, np.concatenate([np.zeros(20), agent[:980]]))


def test_the_rest_of_the_person_has_silence_beside_it():
    sides = Sides()
    sides.add(np.ones(5, np.float32), np.ones(2, np.float32))
    assert [len(side) for side in sides.take()] == [2, 2]
    person, agent = sides.take(everything=True)
    np.testing.assert_array_equal(person, np.ones(3))
    np.testing.assert_array_equal(agent, np.zeros(3))
