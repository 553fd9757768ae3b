"""A file that is being replaced."""

import pytest

from taste_speech.training.config import replacing


def interrupted(path):
    with replacing(path) as partial:
        partial.write_text("half of")
        raise KeyboardInterrupt


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "index.json"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        interrupted(path)
    assert path.read_text() == "old"
    with replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]
