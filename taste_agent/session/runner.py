"""Run the dialog worker on the virtual clock or in a thread; to the session both are the same."""

import queue
import threading
from collections import deque
from typing import Protocol

from taste_agent.clock import ENGINE_RATE_HZ
from taste_agent.dialog.messages import Command, Result
from taste_agent.dialog.worker import CostMeter, DialogWorker
from taste_agent.errors import join_or_leave

STEP_LIMIT_S = 2.0
"""How long `close` waits for a step."""


class Runner(Protocol):
    """Takes commands, and returns their results when they are ready."""

    def submit(self, command: Command, now: int) -> None:
        """Queue a command at input sample `now`."""

    def collect(self, now: int) -> list[Result]:
        """Return the results that are ready at input sample `now`, in order, without waiting."""

    def close(self) -> None:
        """Stop all work; safe to call twice."""


class VirtualRunner:
    """Runs a worker on the virtual clock: steps run in place, and their results are delayed.

    A step starts when the worker is free and its command has arrived, and takes the time given by the meter.
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
        """Run all steps that start by `now`; return the results that are ready by then."""
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
        """Return when the next step starts and whether it is a command; None if there is none."""
        if self._inbox and not (self._worker.working and self._free_at < self._inbox[0][0]):
            return max(self._free_at, self._inbox[0][0]), True
        return (self._free_at, False) if self._worker.working else None

    def close(self) -> None:
        """Drop everything queued."""
        self._inbox.clear()
        self._ready.clear()


class ThreadRunner:
    """Runs a worker in a thread; the next `collect` raises its unexpected errors.

    Commands may be submitted before `begin`; they wait for the worker.
    """

    def __init__(self) -> None:
        self._inbox: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._ready: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self._error: BaseException | None = None
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, worker: DialogWorker) -> None:
        """Start to execute the commands with `worker`."""
        self._thread = threading.Thread(target=self._run, args=(worker,), name="dialog", daemon=True)
        self._thread.start()

    def submit(self, command: Command, now: int) -> None:
        """Queue a command."""
        self._inbox.put(command)

    def collect(self, now: int) -> list[Result]:
        """Return the results that have arrived."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        return [self._ready.get() for _ in range(self._ready.qsize())]  # there is no other reader

    def close(self) -> None:
        """End the thread after its current step, or abandon it if that takes too long."""
        self._closed.set()
        self._inbox.put(None)  # wake the thread
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
