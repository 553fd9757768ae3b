import errno

import pytest

from taste_agent.errors import AgentError
from taste_agent.output_folder import check_writable


def test_nothing_is_made_and_nothing_is_left(tmp_path):
    check_writable(tmp_path / "a" / "b")
    check_writable(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.EACCES, r"^cannot write to .*\(Permission denied\); name another folder with --out$"),
        (errno.ENOSPC, r"^the disk of .* is full; free some space and run again$"),
    ],
)
def test_a_folder_that_cannot_be_written_is_told(tmp_path, monkeypatch, number, message):
    def refuse(**options):
        assert options == {"dir": tmp_path}
        raise OSError(number, "refused")

    monkeypatch.setattr("taste_agent.output_folder.TemporaryFile", refuse)  # root may write everywhere
    with pytest.raises(AgentError, match=message):
        check_writable(tmp_path)
