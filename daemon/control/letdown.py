"""Letting the arms down: the governed release applied to real servos, and its confirmation.

Every way out ends here (stop, disarm, e-stop, fault and supervisor gone), so there is one behaviour
to test. "Down" means that the servos said torque off, not that it was sent.
"""

import logging
from collections.abc import Sequence

from daemon.control import release
from daemon.control.arm import FollowerArm
from robotd.errors import BusError
from robotd.states import Torque

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
                arm.loads_permille(),
            )
            for arm in self._arms
        ]

    def step(self) -> bool:
        """One tick. Returns True once every servo has confirmed torque off. Raises BusError.

        An arm whose servos did not all answer in this tick is left as it is: how fast it sinks is
        not known. It goes on when they answer again.
        """
        for number, arm in enumerate(self._arms):
            if arm.torque_word is Torque.OFF or any(arm.misses):
                continue
            lowered = release.step(
                self._releases[number], arm.velocity_rad_s, self._allowed_rad_s, self._dt_s
            )
            self._releases[number] = lowered
            if lowered.limp(arm.velocity_rad_s):
                arm.write_torque_off()
                arm.read_back_all()
            else:
                arm.write_torque_limit(lowered.limit_permille)
        return all(arm.torque_word is Torque.OFF for arm in self._arms)

    def limp_now(self) -> None:
        """Torque off at once, wherever the arm is: a person pressed the e-stop twice."""
        for arm in self._arms:
            try:
                arm.write_torque_off()
                arm.read_back_all()
            except BusError as error:
                log.error("%s", error)
