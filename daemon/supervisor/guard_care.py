"""Looking after the guard: one is started unless another (systemd's) watches already.

A guard that dies is started again like any child; one that is stopped is killed for it, because it
might hold the port. Neither moves anything: the next one finds the arm as it is, and goes on.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from daemon.guard.machine import Guarding
from daemon.guard.report import GuardReport, ReportReader, guarded
from daemon.guard.silence import Silence
from daemon.supervisor.blueprint import GUARD, guard_spec
from daemon.supervisor.children import Children
from robotd.clock import NS_PER_S
from robotd.messages import Check, GuardStatus
from robotd.states import Torque

log = logging.getLogger(__name__)

_LOOK_NS = NS_PER_S
_READS = (Guarding.HOLDING, Guarding.RELEASING, Guarding.DOWN)
_STOPPED_NS = 5 * NS_PER_S  # a guard writes twenty times a second


class GuardCare:
    """Starts the guard and reads what it says."""

    def __init__(self, runtime: Path, children: Children, now_ns: Callable[[], int]) -> None:
        self._runtime = runtime
        self._children = children
        self._now_ns = now_ns
        self._reports = ReportReader(runtime)
        self._silence = Silence()
        self._looked_ns = 0

    def start(self) -> None:
        """Start one, unless one watches already, or its folder is gone (logind empties it when a
        session ends): a new guard could see nothing there, an old one has its files mapped."""
        if self._runtime.exists() and not guarded(self._runtime):
            self._children.start(guard_spec(self._runtime))

    def step(self) -> None:
        """Look whether there is one that works. Call ten times a second."""
        now_ns = self._now_ns()
        child = self._children.get(GUARD)
        report = self.report()
        working = None if report is None else report.stamp_ns
        silent_ns = self._silence.look(now_ns, working)
        if child is not None and child.process is not None:
            if child.ready and report is None and silent_ns > _STOPPED_NS:
                log.error("the guard says nothing: it is killed and started again")
                child.process.kill()
                self._silence = Silence()
        elif child is None and now_ns - self._looked_ns >= _LOOK_NS:
            self._looked_ns = now_ns
            self.start()

    def report(self) -> GuardReport | None:
        """What the guard said last; None when none lives."""
        return self._reports.read(self._now_ns())

    def torque(self, tick: dict[str, Any] | None) -> Torque:
        """The newest word on torque: control's, or that of the guard that took the arm from it."""
        report = self.report()
        if report is not None and report.state in _READS:
            return report.torque
        return Torque.UNKNOWN if tick is None else Torque(tick["torque"])

    def status(self) -> GuardStatus:
        """As clients see it."""
        report = self.report()
        if report is None:
            return GuardStatus()
        return GuardStatus(
            state=report.state.value, scheduler=report.scheduler, what=report.what, do=report.do
        )

    def check(self) -> Check:
        """Its line in the arming list."""
        report = self.report()
        if report is None:
            child = self._children.get(GUARD)
            word = "not started" if child is None else child.word
            return Check(
                name="guard",
                outcome="warn",
                detail=f"no guard: {word}",
                do="If control hangs now, only the plug lets go of the arm. Look: robotd logs guard",
            )
        if report.state is Guarding.WATCHING:
            return Check(name="guard", outcome="pass", detail=f"watches, {report.scheduler}")
        detail = f"{report.state.value} {report.what}".strip()
        return Check(name="guard", outcome="warn", detail=detail, do=report.do)

    def close(self) -> None:
        self._reports.close()
