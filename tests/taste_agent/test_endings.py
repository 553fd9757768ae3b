"""The end of the process beside a call that never returns."""

import subprocess
import sys
import threading

import pytest

from taste_agent.endings import end_process, join_or_leave

ENDS = """
import atexit, threading
from taste_agent.endings import end_process, join_or_leave
stuck = threading.Thread(target=threading.Event().wait, daemon=True)
stuck.start()
atexit.register(stuck.join)  # as what shuts a library down waits for the call
assert not join_or_leave(stuck, 0.01)
print("said")
end_process(130)
"""


def test_a_call_that_never_returns_does_not_hold_up_the_exit():
    ended = subprocess.run([sys.executable, "-c", ENDS], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "said\n", "")


def test_without_one_python_exits_as_always():
    thread = threading.Thread(target=lambda: None, daemon=True)
    thread.start()
    assert join_or_leave(thread, 10)
    with pytest.raises(SystemExit) as stop:
        end_process(3)
    assert stop.value.code == 3
