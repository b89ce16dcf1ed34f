"""Arming on the bus: look first, write registers, then take the arm where it stands.

A sequence of single bounded transactions, one a tick, so that telemetry goes on meanwhile. Nothing
is written before everything was read and found right; the first write that moves anything is the
goal, and it is the pose just measured. In this order:

1. who is there (ids, model, firmware), registers, calibration, supply, temperature;
2. registers that differ are written, only while torque is off (a raised arm must not fall);
3. torque limit low, goal := present (this write is torque on), torque on, read back;
4. the torque limit ramps up to its working value; the sag of the droop is expected.
"""

from collections.abc import Iterator, Mapping, Sequence

from daemon.control.arm import FollowerArm
from daemon.control.core import CoreSettings
from daemon.control.gate import Applied, GateState
from drivers.calibration import Calibration
from drivers.so101 import So101Follower
from robotd.errors import BusError
from robotd.messages import Check
from robotd.states import LimitedBy, Torque


class BusArming:
    """Makes arming sequences for arms with these calibrations (by arm name)."""

    def __init__(self, calibrations: Mapping[str, Calibration]) -> None:
        self._calibrations = calibrations

    def begin(self, arms: Sequence[FollowerArm], settings: CoreSettings) -> "BusArmingSteps":
        """Start arming. Nothing happens before the first `next`."""
        return BusArmingSteps(arms, settings, self._calibrations)


class BusArmingSteps:
    """One arming under way: an iterator whose `next` does one transaction."""

    def __init__(
        self,
        arms: Sequence[FollowerArm],
        settings: CoreSettings,
        calibrations: Mapping[str, Calibration],
    ) -> None:
        self.checks: tuple[Check, ...] = ()
        self.wrote_goal = False
        self.passed = False
        self._arms = arms
        self._settings = settings
        self._calibrations = calibrations
        self._sequence = self._run()

    def __next__(self) -> None:
        next(self._sequence)

    def __iter__(self) -> Iterator[None]:
        return self

    def _run(self) -> Iterator[None]:
        for arm in self._arms:
            yield from self._look(arm)
        if any(check.outcome == "fail" for check in self.checks):
            return
        for arm in self._arms:
            yield from self._prepare(arm)
        if any(check.outcome == "fail" for check in self.checks):
            return
        for arm in self._arms:
            yield from self._take(arm)
        yield from self._ramp()
        self.passed = True
