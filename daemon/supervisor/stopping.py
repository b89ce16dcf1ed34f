"""The way down, as a small state machine: the arm first, then the recorder, then everything else.

`step` is called at every pass of the loop and never waits. A second request to stop means: no
parking, let the arm down where it is. Whatever does not end in its time is killed and named;
control has rules of its own (`arm_down`).
"""

import logging
from enum import Enum

from daemon.supervisor.arm_down import ArmDown
from daemon.supervisor.blueprint import CONTROL, GUARD, PLANT, RECORDER, TWIN
from daemon.supervisor.children import Children
from robotd.clock import NS_PER_S, Clock
from robotd.errors import DaemonError

log = logging.getLogger(__name__)

_RECORDER_S = 60.0  # publishing what was kept
_OTHERS_S = 10.0  # torch takes some seconds to leave a busy machine
_LAST = (PLANT, "plant-cameras", TWIN, GUARD)  # until the arm is down they are needed


class Phase(Enum):
    """How far down it is."""

    RUNNING = "running"
    ARM = "letting the arm down"
    CHILDREN = "ending the processes"
    DOWN = "down"


class Stopping:
    """Ends everything in order."""

    def __init__(self, children: Children, arm: ArmDown, clock: Clock) -> None:
        self.phase = Phase.RUNNING
        self.reason = ""
        self._children = children
        self._arm = arm
        self._clock = clock
        self._deadlines_ns: dict[str, int] = {}

    @property
    def left_stiff(self) -> DaemonError | None:
        """Why the arm is not down though control has ended; None when it is, or not yet."""
        return self._arm.left_stiff

    def ask(self, reason: str, *, died_stiff: bool = False) -> None:
        """Begin to stop; asked again: do not park, let the arm down where it is.

        `died_stiff`: control died before and the arm may hold its last goal.
        """
        if self.phase is Phase.RUNNING:
            log.info("stopping: %s", reason)
            self.reason = reason
            self.phase = Phase.ARM
            self._arm.begin(died_stiff)
            for child in self._children.all():
                if child.spec.name not in (CONTROL, *_LAST):
                    self._children.ask_to_end(child.spec.name)
                    patience_s = _RECORDER_S if child.spec.name == RECORDER else _OTHERS_S
                    self._give(child.spec.name, patience_s)
        elif self.phase is Phase.ARM:
            self._arm.hurry()

    def broke_off(self) -> None:
        """The loop cannot go on: begin, if it was not asked to, and let signals say it too."""
        if self.phase is Phase.RUNNING:
            self.ask("the supervisor broke off")
        if self.phase is Phase.ARM:
            self._arm.terminate()

    def step(self) -> None:
        """One pass: see who has ended, press those whose time is up."""
        if self.phase is Phase.ARM and self._arm.step():
            self.phase = Phase.CHILDREN
            for name in _LAST:
                self._children.ask_to_end(name)
                self._give(name, _OTHERS_S)
        if self.phase in (Phase.ARM, Phase.CHILDREN):
            for child in self._children.all():
                if child.spec.name != CONTROL:
                    self._press(child.spec.name)
        if self.phase is Phase.CHILDREN and not any(c.running for c in self._children.all()):
            self.phase = Phase.DOWN

    def _give(self, name: str, patience_s: float) -> None:
        self._deadlines_ns[name] = self._clock.now_ns() + int(patience_s * NS_PER_S)

    def _press(self, name: str) -> None:
        deadline_ns = self._deadlines_ns.get(name)
        child = self._children.get(name)
        late = deadline_ns is not None and self._clock.now_ns() >= deadline_ns
        if late and child is not None and child.running:
            del self._deadlines_ns[name]
            self._children.kill(name)
