"""Drives the dialog worker: on the virtual clock, or in a thread. The session cannot tell which."""

import queue
import threading
from collections import deque
from typing import Protocol

from taste_agent.clock import ENGINE_RATE_HZ
from taste_agent.dialog.messages import Command, Result
from taste_agent.dialog.worker import CostMeter, DialogWorker
from taste_agent.errors import join_or_leave

STEP_LIMIT_S = 2.0
"""How long the end waits for a step."""


class Runner(Protocol):
    """Takes commands and gives results back when they are ready."""

    def submit(self, command: Command, now: int) -> None:
        """Queue a command at input sample `now`."""

    def collect(self, now: int) -> list[Result]:
        """Results that are ready at input sample `now`, in order; never waits in a thread runner."""

    def close(self) -> None:
        """Stop all work; safe to call twice."""


class VirtualRunner:
    """A single worker on the virtual clock: steps run in place and their results come when they would have.

    A step starts when the worker is free and its command is there, and lasts what the meter says.
    """

    def __init__(self, worker: DialogWorker, meter: CostMeter) -> None:
        self._worker = worker
        self._meter = meter
        self._inbox: deque[tuple[int, Command]] = deque()
        self._ready: deque[tuple[float, Result]] = deque()
        self._free_at = 0.0

    def submit(self, command: Command, now: int) -> None:
        """Queue a command at input sample `now`."""
        self._inbox.append((now, command))

    def collect(self, now: int) -> list[Result]:
        """Run every step that starts by `now`; returns the results that are ready by then."""
        while (start := self._next_start()) is not None and start[0] <= now:
            at, is_command = start
            worker = self._worker
            results = self._execute_next(at) if is_command else worker.continue_reply()
            self._free_at = at + self._meter.take_ms() * ENGINE_RATE_HZ / 1000
            self._ready.extend((self._free_at, result) for result in results)
        due: list[Result] = []
        while self._ready and self._ready[0][0] <= now:
            due.append(self._ready.popleft()[1])
        return due

    def _execute_next(self, at: float) -> list[Result]:
        _, command = self._inbox.popleft()
        return self._worker.execute(command, behind=bool(self._inbox) and self._inbox[0][0] <= at)

    def _next_start(self) -> tuple[float, bool] | None:
        """When the next step starts, and whether it is a command; None where there is nothing to do."""
        if self._inbox and not (self._worker.working and self._free_at < self._inbox[0][0]):
            return max(self._free_at, self._inbox[0][0]), True
        return (self._free_at, False) if self._worker.working else None

    def close(self) -> None:
        """Forget what is queued."""
        self._inbox.clear()
        self._ready.clear()


class ThreadRunner:
    """The worker in a thread of its own. An unexpected error is raised by the next `collect`.

    Commands may come before the worker: they wait for it.
    """

    def __init__(self) -> None:
        self._inbox: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._ready: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self._error: BaseException | None = None
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, worker: DialogWorker) -> None:
        """Have `worker` execute the commands from now on."""
        self._thread = threading.Thread(target=self._run, args=(worker,), name="dialog", daemon=True)
        self._thread.start()

    def submit(self, command: Command, now: int) -> None:
        """Queue a command."""
        self._inbox.put(command)

    def collect(self, now: int) -> list[Result]:
        """Results that have arrived."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        return [self._ready.get() for _ in range(self._ready.qsize())]  # nobody else takes any

    def close(self) -> None:
        """End the thread after its current step, whatever is queued; too long a step is left behind."""
        self._closed.set()
        self._inbox.put(None)  # wakes the thread
        if self._thread is not None:
            join_or_leave(self._thread, STEP_LIMIT_S)

    def _run(self, worker: DialogWorker) -> None:
        try:
            while (results := self._step(worker)) is not None:
                for result in results:
                    self._ready.put(result)
        except BaseException as error:  # handed to the session's thread
            self._error = error

    def _step(self, worker: DialogWorker) -> list[Result] | None:
        if self._closed.is_set():
            return None
        if worker.working and self._inbox.empty():
            return worker.continue_reply()
        command = self._inbox.get()
        return None if command is None else worker.execute(command, behind=not self._inbox.empty())
