"""What starts a black box: a fault, an e-stop, the death of control; each once. Pure."""

import msgspec

from robotd.states import Fault, State


class Cause(msgspec.Struct, frozen=True):
    """Why a box is written. `fault` is NONE and `joint` -1 where they say nothing."""

    kind: str  # fault, estop, control_died
    fault: str = Fault.NONE.name
    joint: int = -1  # index over all joints of the robot
    tick: int = -1  # the tick at which it was first seen

    @property
    def word(self) -> str:
        """One word for a folder's name."""
        return self.fault.lower() if self.kind == "fault" else self.kind


class Onsets:
    """Told every tick's state in turn, says when something begins."""

    def __init__(self) -> None:
        self._fault = Fault.NONE
        self._stopped = False

    def feed(self, tick: int, state: State, fault: Fault, joint: int) -> Cause | None:
        """What begins with this tick, None for nothing."""
        began = fault is not Fault.NONE and fault is not self._fault
        stopped = state is State.ESTOP
        pressed = stopped and not self._stopped
        self._fault, self._stopped = fault, stopped
        if began:
            return Cause("fault", fault.name, joint, tick)
        return Cause("estop", tick=tick) if pressed else None

    def restart(self) -> None:
        """Another control process ticks now: what it begins with is not news of the old one."""
        self._fault, self._stopped = Fault.NONE, False
