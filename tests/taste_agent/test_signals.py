"""In processes of their own: a signal must not end the tests."""

import signal
import subprocess
import sys

import pytest

HELD = """
import os, signal, sys, time
from taste_agent.errors import Terminated
from taste_agent.signals import raise_on_signals, signals_held
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
from taste_agent.signals import raise_on_signals
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
from taste_agent.dialog import brain
from taste_agent.config import AgentSettings
brain.importlib.import_module = lambda name: print(signal.getsignal(signal.SIGINT).__module__)
brain.prepare(AgentSettings())
"""


def test_signals_are_held_while_torch_is_imported():
    done = subprocess.run([sys.executable, "-c", HOLDS], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["taste_agent.signals"]
