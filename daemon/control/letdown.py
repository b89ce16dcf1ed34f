"""Letting the arms down: the governed release applied to real servos, and its confirmation.

Every way out ends here (stop, disarm, e-stop, fault and supervisor gone), so there is one behaviour
to test. "Down" means that the servos said torque off, not that it was sent.
"""

import logging
from collections.abc import Sequence

from daemon.control import release
from daemon.control.arm import JOINTS, FollowerArm
from drivers.calibration import JOINT_NAMES
from robotd.errors import BusError

log = logging.getLogger(__name__)


class LetDown:
    """The release of all arms, a tick at a time."""

    def __init__(self, arms: Sequence[FollowerArm], allowed_rad_s: float, dt_s: float) -> None:
        self._arms = arms
        self._allowed_rad_s = allowed_rad_s
        self._dt_s = dt_s
        self._releases: list[release.Release] = []

    def begin(self) -> None:
        """Start from what each joint needs now."""
        self._releases = [
            release.begin(
                [1000 if limit < 0 else limit for limit in arm.limit_now_permille],
                [None if r is None else r.load_permille for r in arm.telemetry],
            )
            for arm in self._arms
        ]

    def step(self) -> bool:
        """One tick. Returns True once every servo that answers has confirmed torque off.

        An arm of which nothing is heard is left as it is: how fast it sinks is not known, and it
        goes on when it answers again. One silent servo among others must not keep the arm up: its
        torque falls with theirs, unseen. Raises BusError.
        """
        for number, arm in enumerate(self._arms):
            if arm.released or min(arm.misses) > 0:
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
        return all(arm.released for arm in self._arms)

    def limp_now(self) -> None:
        """Torque off at once, wherever the arm is: a person pressed the e-stop twice."""
        for arm in self._arms:
            try:
                arm.write_torque_off()
                arm.read_back_answering()
                self._let_go(arm)
            except BusError as error:
                log.error("%s", error)

    def _let_go(self, arm: FollowerArm) -> None:
        """After torque off was asked for: leave the registers to the next program, name the mute."""
        if not arm.released:
            return
        mute = [JOINT_NAMES[joint] for joint in range(JOINTS) if arm.silent(joint)]
        if mute:
            log.error("%s: torque off is not confirmed by %s", arm.name, ", ".join(mute))
        arm.restore_torque_limit()


def _speeds(arm: FollowerArm) -> list[float | None]:
    """Joint speeds; None for one that missed a read, 0 for one that has long been silent."""
    return [
        speed if misses == 0 else 0.0 if arm.silent(joint) else None
        for joint, (speed, misses) in enumerate(zip(arm.velocity_rad_s, arm.misses, strict=True))
    ]
