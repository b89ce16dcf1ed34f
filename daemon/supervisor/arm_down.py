"""The arm's way down when robotd stops: asked by ring, pressed by signal, killed as the last resort.

    control runs             STOP: park where the way is clear, governed release, end
    it takes too long        RELEASE in place and SIGTERM; longer while it ticks and holds torque
    it does not even tick    SIGKILL (the guard has done so before, if one watches)
    control is dead, armed   the guard brings the arm down; it is waited for

Nothing here waits: `step` is called at every pass of the loop.
"""

import logging
from collections.abc import Callable
from enum import Enum
from typing import Any

from daemon.guard.machine import Guarding
from daemon.guard.report import GuardReport
from daemon.supervisor import guard_words
from daemon.supervisor.blueprint import CONTROL
from daemon.supervisor.children import Children
from daemon.supervisor.control_care import limp
from daemon.supervisor.control_link import ControlWriter
from daemon.supervisor.observed import Observed
from daemon.supervisor.patience import RELEASE_S
from robotd.clock import NS_PER_S, Clock
from robotd.errors import DaemonError
from robotd.states import RequestKind, State, Torque

log = logging.getLogger(__name__)

_HANGS_NS = 3 * NS_PER_S
_GUARD_S = 90.0  # to take the ports, hold, and let a slow arm down
_GUARD_AWAY_S = 15.0  # one that is being started again; a busy machine takes five
_GUARD_LOOKS_S = 1.0  # twenty of its looks: by then it has seen that control is dead
_EXTENSION_S = 60.0  # at most, for a release that goes on; then a servo does not answer
PLUG = (
    "Support the arm and pull the plug of the servo supply; or start robotd again: "
    "robotd start, then robotd disarm."
)


class _Stage(Enum):
    UNASKED = "unasked"
    PARKING = "parking"
    RELEASING = "releasing"
    GUARDED = "in the guard's hands"
    DONE = "done"


class ArmDown:
    """Ends control with the arm down, or says that it is not. `stop_s` is how long that may
    take."""

    def __init__(
        self,
        children: Children,
        control: ControlWriter,
        observed: Observed,
        guard: Callable[[], GuardReport | None],
        clock: Clock,
        stop_s: float,
    ) -> None:
        self.left_stiff: DaemonError | None = None  # known once `step` has said True
        self._children = children
        self._control = control
        self._observed = observed
        self._guard = guard
        self._clock = clock
        self._stop_s = stop_s
        self._stage = _Stage.UNASKED
        self._deadline_ns = 0
        self._last_ns = 0
        self._died_stiff = False
        self._killed = False
        self._in_place = False

    def begin(self, died_stiff: bool) -> None:
        """Ask control to end. `died_stiff`: it died and the arm may hold its last goal."""
        self._died_stiff = died_stiff
        child = self._children.get(CONTROL)
        if child is None or (not child.running and not died_stiff):
            self._stage = _Stage.DONE
        elif child.running:
            child.wanted = False
            self._control.ask(RequestKind.STOP, self._clock.now_ns())
            if self._own_tick() is None:
                self.terminate()  # it still starts: it holds nothing and has not opened its ring
            self._enter(_Stage.PARKING, self._stop_s)
        else:
            self._enter(_Stage.GUARDED, _GUARD_S)

    def hurry(self) -> None:
        """Asked again: no parking, the arm is let down where it is."""
        if self._stage is _Stage.PARKING and not self._in_place:
            log.warning("asked again: no parking, the arm is let down where it is")
            self._in_place = True
            self._ask_release()

    def terminate(self) -> None:
        """Say it by signal too: a control that is still starting has not opened its ring."""
        self._children.ask_to_end(CONTROL)

    def step(self) -> bool:
        """One pass. Returns whether control has ended (or never ran)."""
        if self._stage is _Stage.DONE:
            return True
        child = self._children.get(CONTROL)
        if child is None or not child.running:
            if self._held() and self._stage is not _Stage.GUARDED:
                log.warning("control ended and the arm may be held: waiting for the guard")
                self._enter(_Stage.GUARDED, _GUARD_S)
            if self._stage is _Stage.GUARDED and self._guard_is_at_it():
                return False
            self._conclude()
            self._stage = _Stage.DONE
            return True
        if self._stage is _Stage.UNASKED:
            self.begin(self._died_stiff)
        late = self._clock.now_ns() >= self._deadline_ns
        if self._hangs_limp():
            log.warning("control hangs with a limp arm: it is killed")
            self._children.kill(CONTROL)
        elif late and self._stage is _Stage.PARKING:
            log.error("control has not let the arm down in %.0f s: no parking", self._stop_s)
            self._press()
        elif late and self._stage is _Stage.RELEASING and not self._may_go_on():
            self._killed = True
            self._deadline_ns = self._clock.now_ns() + NS_PER_S
            self._children.kill(CONTROL)
        return False

    def _hangs_limp(self) -> bool:
        """Whether nothing is lost by killing control: it has not ticked for seconds, all is off."""
        tick = self._own_tick()
        if self._killed or tick is None or not limp(tick):
            return False
        self._killed = self._clock.now_ns() - tick["deadline_ns"] > _HANGS_NS
        return self._killed

    def _guard_is_at_it(self) -> bool:
        """Whether the guard has the arm, or is still expected to take it."""
        report = self._guard()
        since_s = _GUARD_S - (self._deadline_ns - self._clock.now_ns()) / NS_PER_S
        if report is None:
            return since_s < _GUARD_AWAY_S
        if guard_words.busy(report):
            return since_s < _GUARD_S
        return report.state is Guarding.WATCHING and since_s < _GUARD_LOOKS_S

    def _press(self) -> None:
        self._ask_release()
        self._children.ask_to_end(CONTROL)
        self._enter(_Stage.RELEASING, RELEASE_S)

    def _ask_release(self) -> None:
        now_ns = self._clock.now_ns()
        self._control.ask(RequestKind.RELEASE, now_ns)
        self._control.ask(RequestKind.STOP, now_ns)

    def _may_go_on(self) -> bool:
        """Whether a control that is late is at work: it ticks, and torque is not off yet."""
        if self._killed or self._clock.now_ns() >= self._last_ns:
            return False
        tick = self._observed.fresh_tick()
        return tick is not None and tick["torque"] != Torque.OFF

    def _enter(self, stage: _Stage, patience_s: float) -> None:
        self._stage = stage
        self._deadline_ns = self._clock.now_ns() + int(patience_s * NS_PER_S)
        self._last_ns = self._deadline_ns + int(_EXTENSION_S * NS_PER_S)

    def _own_tick(self) -> dict[str, Any] | None:
        """The newest tick, when it is of the control that runs now (or ran last)."""
        child, tick = self._children.get(CONTROL), self._observed.tick()
        if child is None or tick is None or tick["deadline_ns"] < child.started_ns:
            return None
        return tick

    def _held(self) -> bool:
        """Whether the arm may be held, by the last tick of the control that has ended."""
        tick = self._own_tick()
        if tick is None:
            return self._died_stiff
        if tick["torque"] == Torque.UNKNOWN:
            return self._died_stiff or (self._killed and tick["state"] != State.DISARMED)
        return bool(tick["torque"] != Torque.OFF)

    def _conclude(self) -> None:
        report = self._guard()
        if not self._held() or (report is not None and report.state is Guarding.DOWN):
            return
        how = "had to be killed" if self._killed else "ended"
        why = "no guard was there to take the arm" if report is None else report.what
        self.left_stiff = DaemonError(
            "The arm may still be stiff: the servos keep their last goal and torque.",
            f"Control {how} before every servo had said that its torque is off; "
            f"{why or 'the servo supply or a cable may be gone.'}",
            PLUG,
        )
