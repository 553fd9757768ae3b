"""One thread computes for all sessions. The next step is that of the most urgent session."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from taste_agent.clock import seconds_of_samples
from taste_agent.dialog import messages as m
from taste_agent.dialog.messages import Command, Generated, Result, Spoken
from taste_agent.errors import join_or_leave
from taste_agent.serve.mind import Mind, MindWorker, Usage

logger = logging.getLogger(__name__)

Job = Callable[[MindWorker, Mind], list[Result]]
"""A change to a session's mind between two steps."""
STEP_LIMIT_S = 5.0
"""How long `stop` waits for the current step."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A request for a step that is due at `due_s`; `order` counts all requests."""

    due_s: float
    order: int


def first_due(claims: Iterable[Claim]) -> Claim | None:
    """Return the claim to serve next: the one due first or, if several are, the oldest."""
    return min(claims, key=lambda claim: (claim.due_s, claim.order), default=None)


class SharedRunner:
    """The `Runner` of one session, whose commands wait here for the computing thread.

    Commands are due at once, in order. The next part of a reply is due when the sound made so far has been
    played, so that replies made ahead wait for sessions that are more urgent.
    """

    def __init__(self, computing: "Computing", make: Callable[[], tuple[MindWorker, Mind]]) -> None:
        """Prepare a runner. The computing thread calls `make` as the first step."""
        self._computing = computing
        self._make = make
        self._made: tuple[MindWorker, Mind] | None = None
        self._inbox: deque[tuple[float, int, Command | Job]] = deque()
        self._ready: deque[Result] = deque()
        self._error: Exception | None = None
        self._playable_until_s = 0.0
        self._order = 0
        self.closed = False
        self.usage: dict[int, Usage] = {}
        """Tokens of the replies, by generation. The reporter removes what it has reported."""

    # ---- for the session's thread

    def submit(self, command: Command, now: int) -> None:
        """Queue a command."""
        self.do(command)

    def do(self, task: Command | Job) -> None:
        """Queue a command or a job."""
        with self._computing.changed:
            self._inbox.append((time.monotonic(), self._computing.next_order(), task))
            self._computing.changed.notify()

    def collect(self, now: int) -> list[Result]:
        """Return the results that have arrived, or raise an unexpected error of a step."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        due: list[Result] = []
        while self._ready:
            due.append(self._ready.popleft())
        return due

    def close(self) -> None:
        """End the computing for this session. Safe to call twice."""
        self._computing.leave(self)

    # ---- for the computing thread

    def claim(self) -> Claim | None:
        """Return the claim for the next step, if there is one."""
        if self._inbox:
            asked_s, order, _ = self._inbox[0]
            return Claim(asked_s, order)
        if self._made is not None and self._made[0].replying:
            return Claim(self._playable_until_s, self._order)
        return None

    def step(self) -> None:
        """Run one step. An unexpected error ends this session's computing, not the thread."""
        try:
            self._ready.extend(self._step())
        except Exception as error:  # raised again in the session's thread
            logger.debug("a step failed", exc_info=error)
            self._error = error
            self._inbox.clear()
            self._made = None
            self.closed = True

    def _step(self) -> list[Result]:
        worker, mind = self._made = self._made or self._make()
        if not self._inbox:
            results = worker.continue_reply()
        else:
            asked_s, self._order, task = self._inbox.popleft()
            if callable(task):
                return task(worker, mind)
            if not worker.replying:
                self._playable_until_s = asked_s
            results = worker.execute(task, behind=bool(self._inbox))
        for result in results:
            if isinstance(result, Spoken):
                played_s = max(time.monotonic(), self._playable_until_s)
                self._playable_until_s = played_s + seconds_of_samples(len(result.samples))
            if isinstance(result, Spoken | Generated):
                self.usage[result.generation] = mind.usage
        return results


class Computing:
    """The thread that runs the steps of all sessions."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self._runners: list[SharedRunner] = []
        self._orders = 0
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="computing", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the current step, which is left behind if it takes too long."""
        with self.changed:
            self._stopping = True
            self.changed.notify()
        if self._thread.ident is not None:
            join_or_leave(self._thread, STEP_LIMIT_S)

    def join(self, make: Callable[[], tuple[MindWorker, Mind]]) -> SharedRunner:
        """Return a runner for a new session."""
        runner = SharedRunner(self, make)
        with self.changed:
            self._runners.append(runner)
        return runner

    def leave(self, runner: SharedRunner) -> None:
        """Remove the runner of a session that has ended."""
        with self.changed:
            runner.closed = True
            if runner in self._runners:
                self._runners.remove(runner)

    def next_order(self) -> int:
        """Return the number of a new request."""
        self._orders += 1
        return self._orders

    def _run(self) -> None:
        while (runner := self._next()) is not None:
            runner.step()

    def _next(self) -> SharedRunner | None:
        with self.changed:
            while not self._stopping:
                claims = {r: claim for r in self._runners if not r.closed and (claim := r.claim())}
                first = first_due(claims.values())
                if first is not None:
                    return next(runner for runner, claim in claims.items() if claim is first)
                self.changed.wait()
        return None


def remember(generation: int, heard: int) -> Job:
    """Cut the memory of the last answer to its heard words. A question being read is read again."""

    def job(worker: MindWorker, mind: Mind) -> list[m.Result]:
        mind.discard()
        results = worker.execute(m.Settle(generation, heard))
        if heard == 0:
            mind.settle(0)
        return results

    return job


def forget(generation: int, answer: bool) -> Job:
    """Forget the question of a reply, or its answer. A question being read is read again."""

    def job(worker: MindWorker, mind: Mind) -> list[m.Result]:
        results = worker.execute(m.Settle(generation, 0))
        mind.forget_side(generation, answer)
        return results

    return job
