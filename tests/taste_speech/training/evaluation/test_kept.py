import pytest

from taste_speech.training.evaluation.kept import Kept


def test_a_stopped_run_goes_on_where_it_was(tmp_path):
    asked = []

    def measure(item):
        if item == "c" and "c" not in asked:
            asked.append("c")
            raise KeyboardInterrupt
        asked.append(item)
        return {"twice": item * 2}

    items = {letter: letter for letter in "abc"}
    with pytest.raises(KeyboardInterrupt):
        Kept(tmp_path).each("x", items, measure)
    assert Kept(tmp_path).each("x", items, measure) == {key: {"twice": key * 2} for key in "abc"}
    assert asked == ["a", "b", "c", "c"]


def test_a_line_that_was_not_finished_is_measured_again(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"key": "a", "n": 1}\n{"key": "b", "n')
    found = Kept(tmp_path).each("x", {"a": 1, "b": 2}, lambda n: {"n": n})
    assert found == {"a": {"n": 1}, "b": {"n": 2}}
    assert (tmp_path / "x.jsonl").read_text().count("\n") == 2


def test_a_trial_takes_the_first_items(tmp_path):
    assert list(Kept(tmp_path, 2).each("x", {"a": 1, "b": 2, "c": 3}, lambda n: {"n": n})) == ["a", "b"]
