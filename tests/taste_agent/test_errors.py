"""The end of the process: by signals, and beside a call that never returns. In processes of their own."""

import signal
import subprocess
import sys
import threading

import pytest

from taste_agent.errors import end_process, join_or_leave

ENDS = """
import atexit, threading
from taste_agent.errors import end_process, join_or_leave
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


HELD = """
import os, signal, sys, time
from taste_agent.errors import Terminated
from taste_agent.errors import raise_on_signals, signals_held
raise_on_signals()
try:
    with signals_held():
        os.kill(os.getpid(), int(sys.argv[1]))
        time.sleep(0.05)
        print("whole", flush=True)
    print("not reached")
except (KeyboardInterrupt, Terminated) as stop:
    print(type(stop).__name__)
"""


@pytest.mark.parametrize(
    ("number", "raised"),
    [
        (signal.SIGINT, "KeyboardInterrupt"),
        (signal.SIGTERM, "Terminated"),
        (signal.SIGHUP, "Terminated"),
    ],
)
def test_a_signal_waits_for_the_end_of_the_block(number, raised):
    done = subprocess.run(
        [sys.executable, "-c", HELD, str(int(number))], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["whole", raised], done.stderr


IGNORED = """
import os, signal
from taste_agent.errors import raise_on_signals
signal.signal(signal.SIGHUP, signal.SIG_IGN)
raise_on_signals()
os.kill(os.getpid(), signal.SIGHUP)
print("still here")
"""


def test_with_nohup_the_terminal_may_be_closed():
    done = subprocess.run([sys.executable, "-c", IGNORED], capture_output=True, text=True, check=False)
    assert done.stdout == "still here\n"


HOLDS = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from taste_agent.dialog import brain_loader as brain
from taste_agent.config import AgentSettings
brain.importlib.import_module = lambda name: print(signal.getsignal(signal.SIGINT).__module__)
brain.prepare(AgentSettings())
"""


def test_signals_are_held_while_torch_is_imported():
    done = subprocess.run([sys.executable, "-c", HOLDS], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["taste_agent.errors"]
