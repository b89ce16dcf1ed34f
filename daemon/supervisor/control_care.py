"""What is done about a control process that died or went silent, and what is said of the arm then.

Control is started again by itself only when its own last tick said that the arm was limp, and then
with the same back-off as any child. When it died with torque on the guard brings the arm down; here
that is said, and control waits for a person (`robotd clear`), who has to wait for the guard.
"""

import logging
from collections.abc import Callable
from typing import Any

from config.joints import joint_names
from config.schema import Config
from daemon.guard.machine import Guarding
from daemon.guard.report import GuardReport
from daemon.guard.silence import Silence
from daemon.supervisor import guard_words
from daemon.supervisor.blueprint import CONTROL
from daemon.supervisor.children import Child, Children
from daemon.supervisor.motion import Motion
from daemon.supervisor.observed import Observed
from daemon.supervisor.pending import Data, Pending
from daemon.supervisor.restart import restart_at_ns
from daemon.supervisor.words import (
    CONTROL_DIED,
    CONTROL_DIED_UNKNOWN,
    CONTROL_ENDED_LIMP,
    fault_words,
)
from robotd.clock import NS_PER_S
from robotd.errors import StateError
from robotd.states import Fault, State, Torque

log = logging.getLogger(__name__)

_STARTED_S = 10.0
_HANGS_NS = 5 * NS_PER_S


def limp(tick: dict[str, Any]) -> bool:
    """Whether by this tick nothing holds the arm and nothing is about to."""
    return bool(tick["state"] == State.DISARMED and tick["torque"] == Torque.OFF)


class ControlCare:
    """Knows how the present control ended, if it did."""

    def __init__(
        self,
        config: Config,
        children: Children,
        observed: Observed,
        motion: Motion,
        guard: Callable[[], GuardReport | None],
        now_ns: Callable[[], int],
    ) -> None:
        self._joints = joint_names(config)
        self._children = children
        self._observed = observed
        self._motion = motion
        self._guard = guard
        self._now_ns = now_ns
        self._silence = Silence()
        self._died: tuple[str, str] | None = None  # what happened, what to do

    @property
    def died_stiff(self) -> bool:
        """Whether control died and the arm may hold its last goal: nobody has let it down since."""
        if self._died is None or self._died == CONTROL_ENDED_LIMP:
            return False
        report = self._guard()
        return report is None or report.state is not Guarding.DOWN

    def ended(self, child: Child) -> None:
        """Control is gone unasked."""
        tick = self._observed.tick()
        if tick is None or tick["deadline_ns"] < child.started_ns:
            # It ended before its first tick; the ring still has what another one said.
            self._died = CONTROL_DIED_UNKNOWN
        elif limp(tick):
            self._died = CONTROL_ENDED_LIMP
        else:
            self._died = CONTROL_DIED
        log.error("%s (%s)", self._died[0], child.word)

    def step(self) -> None:
        """Start a control again that ended limp, when its back-off is over; end one that hangs with a
        limp arm, so that it can be. One that hangs with torque on is the guard's."""
        child = self._children.get(CONTROL)
        if child is not None and child.process is not None and self._hangs_limp():
            log.error("control is silent and the arm is limp: it is killed and started again")
            child.process.kill()
        if child is None or child.running or self._died != CONTROL_ENDED_LIMP:
            return
        due_ns = restart_at_ns(child.history)
        if due_ns is not None and self._now_ns() >= due_ns:
            self._start(child)

    def clear(self) -> Data | Pending:
        """Clear what is latched; a dead control is started again, which moves nothing."""
        child = self._children.get(CONTROL)
        if child is None:
            raise StateError(
                "Control is not started yet.",
                "robotd waits for the simulated body.",
                "Wait a moment and look: robotd status.",
            )
        if child.running:
            return self._motion.clear()
        if guard_words.busy(self._guard()):
            raise StateError(
                "The guard has the arm and lets it down.",
                "Control died while it held it.",
                "Wait until it is down, some seconds, and ask again: robotd clear.",
            )
        self._start(child)
        began_ns = self._now_ns()

        def poll() -> Data | None:
            tick = self._observed.fresh_tick()
            if tick is None or tick["deadline_ns"] < began_ns:
                return None
            return {"state": State(tick["state"]).name.lower(), "control": "started again"}

        return Pending(poll, _STARTED_S, CONTROL)

    def condition(self) -> tuple[State, str, str]:
        """State and fault in words. A dead or silent control is a fault whatever its last tick
        said."""
        if self._died is not None:
            words = self._died
            if words == CONTROL_DIED:
                words = guard_words.died(self._guard())
            return State.FAULT, *words
        tick = self._observed.tick()
        if tick is None:
            return State.DISARMED, "", ""
        if self._observed.fresh_tick() is None and self._has_ticked(tick):
            words = guard_words.CONTROL_SILENT_LIMP
            if not limp(tick):
                words = guard_words.silent(self._guard())
            return State.FAULT, *words
        joint = tick["fault_joint"]
        name = self._joints[joint] if 0 <= joint < len(self._joints) else None
        return State(tick["state"]), *fault_words(Fault(tick["fault"]), name)

    def _hangs_limp(self) -> bool:
        """Whether control has not ticked for `_HANGS_NS`, and its last tick said that all is off."""
        tick = self._observed.tick()
        if tick is None or not self._has_ticked(tick) or not limp(tick):
            return False
        return self._silence.look(self._now_ns(), tick["deadline_ns"]) >= _HANGS_NS

    def _has_ticked(self, tick: dict[str, Any]) -> bool:
        """Whether the control that runs now made this tick: one that starts is not silent yet."""
        child = self._children.get(CONTROL)
        return child is not None and child.running and tick["deadline_ns"] >= child.started_ns

    def _start(self, child: Child) -> None:
        self._died = None
        self._children.start(child.spec)
