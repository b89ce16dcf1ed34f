"""The way down, as a small state machine: the arm first, then the recorder, then everything else.

`step` is called at every pass of the loop and never waits. A second request to stop means: no
parking, let the arm down where it is. Whatever does not end in its time is killed and named.
"""

import logging
from enum import Enum

from daemon.supervisor.blueprint import CONTROL, PLANT, RECORDER, TWIN
from daemon.supervisor.children import Children
from daemon.supervisor.control_link import ControlWriter
from robotd.clock import NS_PER_S, Clock
from robotd.states import RequestKind

log = logging.getLogger(__name__)

ARM_DOWN_S = 45.0  # park (the longest way at 45 deg/s) and governed release
_TERMINATED_S = 10.0
_RECORDER_S = 60.0  # publishing what was kept
_OTHERS_S = 10.0  # torch takes some seconds to leave a busy machine
_LAST = (PLANT, "plant-cameras", TWIN)  # control needs them until the arm is down


class Phase(Enum):
    """How far down it is."""

    RUNNING = "running"
    ARM = "letting the arm down"
    CHILDREN = "ending the processes"
    DOWN = "down"


class Stopping:
    """Ends everything in order."""

    def __init__(self, children: Children, control: ControlWriter, clock: Clock) -> None:
        self.phase = Phase.RUNNING
        self.reason = ""
        self._children = children
        self._control = control
        self._clock = clock
        self._deadlines_ns: dict[str, int] = {}
        self._in_place = False

    def ask(self, reason: str) -> None:
        """Begin to stop; asked again: do not park, let the arm down where it is."""
        now_ns = self._clock.now_ns()
        if self.phase is Phase.RUNNING:
            log.info("stopping: %s", reason)
            self.reason = reason
            self.phase = Phase.ARM
            self._control.ask(RequestKind.STOP, now_ns)
            self._give(CONTROL, ARM_DOWN_S)
            for child in self._children.all():
                if child.spec.name not in (CONTROL, *_LAST):
                    self._children.ask_to_end(child.spec.name)
                    patience_s = _RECORDER_S if child.spec.name == RECORDER else _OTHERS_S
                    self._give(child.spec.name, patience_s)
            control = self._children.get(CONTROL)
            if control is not None:
                control.wanted = False
        elif self.phase is Phase.ARM and not self._in_place:
            log.warning("asked again: no parking, the arm is let down where it is")
            self._in_place = True
            self._control.ask(RequestKind.RELEASE, now_ns)
            self._control.ask(RequestKind.STOP, now_ns)

    def step(self) -> None:
        """One pass: see who has ended, press those whose time is up."""
        if self.phase is Phase.ARM:
            self._press(CONTROL)
            if not self._runs(CONTROL):
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
        if deadline_ns is None or not self._runs(name) or self._clock.now_ns() < deadline_ns:
            return
        if name == CONTROL and f"{name} terminated" not in self._deadlines_ns:
            # Asked by another way: a signal needs no ring.
            self._deadlines_ns[f"{name} terminated"] = deadline_ns
            log.error("control has not let the arm down in %.0f s", ARM_DOWN_S)
            self._children.ask_to_end(name)
            self._give(name, _TERMINATED_S)
            return
        del self._deadlines_ns[name]
        self._children.kill(name)

    def _runs(self, name: str) -> bool:
        child = self._children.get(name)
        return child is not None and child.running
