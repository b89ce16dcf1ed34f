"""Threads between the event loop and the daemon, so that the screen never waits.

A `Lane` carries one request at a time and refuses a second one: nothing piles up behind a slow
answer and is sent later by surprise. Stopping has a lane of its own, so no request can stand in
front of it."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from robotd import messages
from robotd.errors import RobotdError
from tui.backend import Backend, Requester

GOAL_PERIOD_S = 1 / 30
GOAL_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a request ended. `tag` is what the caller gave it; `error` is None when it was done."""

    tag: str
    request: messages.AnyRequest
    data: dict[str, Any]
    error: RobotdError | None


class Lane:
    """One request at a time, in a thread; outcomes go to `done` (called from that thread)."""

    def __init__(
        self,
        name: str,
        connect: Callable[[], Requester],
        done: Callable[[Outcome], None],
        crashed: Callable[[BaseException], None],
    ) -> None:
        self._connect = connect
        self._done = done
        self._crashed = crashed
        self._jobs: queue.Queue[tuple[str, messages.AnyRequest, float] | None] = queue.Queue()
        self._busy = threading.Event()
        self.doing = ""
        self._thread = threading.Thread(target=self._run, name=f"tui-{name}", daemon=True)
        self._thread.start()

    def submit(self, tag: str, request: messages.AnyRequest, timeout_s: float = 5.0) -> bool:
        """Send `request`; False, and nothing sent, while another one is under way."""
        if self._busy.is_set():
            return False
        self._busy.set()
        self.doing = tag
        self._jobs.put((tag, request, timeout_s))
        return True

    def close(self, wait_s: float = 0.5) -> None:
        """End the thread after the request it is on; do not wait longer than `wait_s` for it."""
        self._jobs.put(None)
        self._thread.join(wait_s)

    def _run(self) -> None:
        try:
            line = self._connect()
            with contextlib.closing(line):
                while (job := self._jobs.get()) is not None:
                    self._serve(line, *job)
        except Exception as error:  # noqa: BLE001 - a thread's end must reach the crash report
            self._crashed(error)

    def _serve(
        self, line: Requester, tag: str, request: messages.AnyRequest, timeout_s: float
    ) -> None:
        data: dict[str, Any] = {}
        refused: RobotdError | None = None
        try:
            data = line.request(request, timeout_s)
        except RobotdError as error:
            refused = error
        self.doing = ""
        self._busy.clear()
        self._done(Outcome(tag, request, data, refused))


class GoalStream:
    """Sends the newest goal 30 times a second while there is one; ends at the first refusal."""

    def __init__(
        self,
        connect: Callable[[], Requester],
        refused: Callable[[RobotdError], None],
        crashed: Callable[[BaseException], None],
    ) -> None:
        self._connect = connect
        self._refused = refused
        self._crashed = crashed
        self._goal: messages.Goal | None = None
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tui-goals", daemon=True)
        self._thread.start()

    def show(self, goal: messages.Goal | None) -> None:
        """The goal to keep sending; None stops."""
        self._goal = goal
        self._wake.set()

    def close(self, wait_s: float = 0.5) -> None:
        """End the thread."""
        self._goal = None
        self._ended.set()
        self._wake.set()
        self._thread.join(wait_s)

    def _run(self) -> None:
        try:
            with contextlib.closing(self._connect()) as line:
                due_s = time.monotonic()
                while not self._ended.is_set():
                    goal = self._goal
                    if goal is None:
                        self._wake.wait()
                        self._wake.clear()
                        continue
                    self._send(line, goal)
                    due_s = max(due_s + GOAL_PERIOD_S, time.monotonic())
                    self._ended.wait(due_s - time.monotonic())
        except Exception as error:  # noqa: BLE001 - a thread's end must reach the crash report
            self._crashed(error)

    def _send(self, line: Requester, goal: messages.Goal) -> None:
        try:
            line.request(goal, GOAL_TIMEOUT_S)
        except RobotdError as error:
            if self._goal is not None:
                self._goal = None
                self._refused(error)


class Watch:
    """Reads states for ever and hands each to `seen` (called from its thread)."""

    def __init__(
        self,
        backend: Backend,
        seen: Callable[[messages.Status], None],
        crashed: Callable[[BaseException], None],
    ) -> None:
        self._backend = backend
        self._seen = seen
        self._crashed = crashed
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tui-watch", daemon=True)
        self._thread.start()

    def close(self, wait_s: float = 1.0) -> None:
        """End the thread; it reads for at most a fifth of a second more."""
        self._ended.set()
        self._thread.join(wait_s)

    def _run(self) -> None:
        try:
            while not self._ended.is_set():
                status = self._backend.watch(0.2)
                if status is not None and not self._ended.is_set():
                    self._seen(status)
        except Exception as error:  # noqa: BLE001 - a thread's end must reach the crash report
            self._crashed(error)
