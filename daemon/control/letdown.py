"""Letting the arms down: the governed release applied to real servos, and its confirmation.

Every way out ends here (stop, disarm, e-stop, fault and supervisor gone), so there is one behaviour
to test. "Down" means that the servos said torque off, not that it was sent.
"""

import logging
from collections.abc import Sequence
from typing import Protocol

from daemon.control import release
from drivers.calibration import JOINT_NAMES
from drivers.telemetry import Telemetry
from robotd.errors import BusError

log = logging.getLogger(__name__)

JOINTS = len(JOINT_NAMES)
_RESTORES = (
    60  # half a second of ticks: a reply or two lost on a noisy line, not a line that is gone
)


class Lowerable(Protocol):
    """An arm as the release sees it: control's (`FollowerArm`) or the guard's. All lists are in
    joint order; every write raises BusError when the line is closed."""

    name: str
    telemetry: list[Telemetry | None]
    limit_now_permille: list[int]  # register 48 as last read or written; -1: not known
    misses: list[int]  # reads missed in a row
    velocity_rad_s: list[float]  # filtered over 50 ms

    @property
    def released(self) -> bool:
        """Whether every servo that answers, and at least one does, says that its torque is off."""
        ...

    def silent(self, joint: int) -> bool:
        """Whether a servo has not answered for so long that its state is not known any more."""
        ...

    def write_torque_limit(self, permille: Sequence[float]) -> None:
        """Write register 48 where it changes."""
        ...

    def write_torque_off(self) -> None:
        """Cut torque on all six; not confirmed."""
        ...

    def read_back_answering(self) -> None:
        """Read torque and limit back from the servos that answered last."""
        ...

    def restore_torque_limit(self) -> None:
        """Give register 48 back what it holds at power-on."""
        ...


class LetDown:
    """The release of all arms, a tick at a time."""

    def __init__(self, arms: Sequence[Lowerable], allowed_rad_s: float, dt_s: float) -> None:
        self._arms = arms
        self._allowed_rad_s = allowed_rad_s
        self._dt_s = dt_s
        self._releases: list[release.Release] = []
        self._to_restore: dict[str, int] = {}  # arms that are limp with 48 still low: tries left

    def begin(self) -> None:
        """Start from what each joint needs now."""
        self._to_restore.clear()
        self._releases = [
            release.begin(
                [1000 if limit < 0 else limit for limit in arm.limit_now_permille],
                [None if r is None else r.load_permille for r in arm.telemetry],
            )
            for arm in self._arms
        ]

    def step(self) -> bool:
        """One tick. Returns True once every servo that answers has confirmed torque off, and
        register 48 is as at power-on (or could not be written for half a second).

        An arm of which nothing is heard is left as it is: how fast it sinks is not known, and it
        goes on when it answers again. One silent servo among others must not keep the arm up: its
        torque falls with theirs, unseen. Raises BusError.
        """
        for number, arm in enumerate(self._arms):
            if arm.released:
                self._restore(arm)
                continue
            if min(arm.misses) > 0:
                continue
            speeds = _speeds(arm)
            lowered = release.step(self._releases[number], speeds, self._allowed_rad_s, self._dt_s)
            self._releases[number] = lowered
            if lowered.limp(speeds):
                arm.write_torque_off()
                arm.read_back_answering()
                self._let_go(arm)
            else:
                arm.write_torque_limit(lowered.limit_permille)
        return not self._to_restore and all(arm.released for arm in self._arms)

    def limp_now(self) -> None:
        """Torque off at once, wherever the arm is: a person pressed the e-stop twice."""
        for arm in self._arms:
            try:
                arm.write_torque_off()
                arm.read_back_answering()
                self._let_go(arm)
            except BusError as error:
                log.error("%s", error)

    def _let_go(self, arm: Lowerable) -> None:
        """After torque off was asked for: leave the registers to the next program, name the mute."""
        if not arm.released:
            return
        mute = [JOINT_NAMES[joint] for joint in range(JOINTS) if arm.silent(joint)]
        if mute:
            log.error("%s: torque off is not confirmed by %s", arm.name, ", ".join(mute))
        self._to_restore[arm.name] = _RESTORES
        self._restore(arm)

    def _restore(self, arm: Lowerable) -> None:
        """Register 48 as at power-on, tried again in the next tick when a reply is lost now."""
        left = self._to_restore.pop(arm.name, 0)
        if left == 0:
            return
        try:
            arm.restore_torque_limit()
        except BusError:
            if left > 1:
                self._to_restore[arm.name] = left - 1
            else:
                log.error("%s: register 48 stays low; a power cycle restores it", arm.name)
            raise


def _speeds(arm: Lowerable) -> list[float | None]:
    """Joint speeds; None for one that missed a read, 0 for one that has long been silent."""
    return [
        speed if misses == 0 else 0.0 if arm.silent(joint) else None
        for joint, (speed, misses) in enumerate(zip(arm.velocity_rad_s, arm.misses, strict=True))
    ]
