"""Arming on the bus: look first, write registers, then take the arm where it stands.

A sequence of single bounded transactions, one a tick, so that telemetry goes on meanwhile. Nothing
is written before everything was read and found right; the first write that moves anything is the
goal, and it is the pose just measured. In this order:

1. who is there (ids, model, firmware), registers, calibration, supply, temperature, leaders;
2. registers that differ are written, only while torque is off (a raised arm must not fall);
3. torque limit low, goal := present (this write is torque on), torque on, read back;
4. the torque limit ramps up to its working value; the sag of the droop is expected.
"""

from collections.abc import Iterator, Mapping, Sequence

from daemon.control.arm import JOINTS, SERVO_IDS, FollowerArm
from daemon.control.gate import Applied, GateState
from daemon.control.leader import LeaderArm
from daemon.control.looking import FollowerLook, LeaderLook, Look
from daemon.control.settings import CoreSettings
from drivers import registers
from drivers.arm_registers import RegisterDifference
from drivers.calibration import Calibration
from drivers.so101 import So101Follower
from robotd.errors import BusError
from robotd.messages import Check
from robotd.states import LimitedBy, Torque

_RAMP_STEPS_HZ = 20
_NONE = (LimitedBy.NOTHING,) * JOINTS


class BusArming:
    """Makes arming sequences for arms with these calibrations, of followers and leaders by arm name."""

    def __init__(
        self, followers: Mapping[str, Calibration], leaders: Mapping[str, Calibration]
    ) -> None:
        self._followers = followers
        self._leaders = leaders

    def begin(
        self,
        arms: Sequence[FollowerArm],
        leaders: Sequence[LeaderArm],
        settings: CoreSettings,
        consent: bool,
    ) -> "BusArmingSteps":
        """Start arming; without consent only look. Nothing happens before the first `next`."""
        several = len(arms) > 1
        looks = {
            arm.name: FollowerLook(
                arm, self._followers[arm.name], f"{arm.name}: " if several else ""
            )
            for arm in arms
        }
        leader_looks = [
            LeaderLook(
                leader,
                self._leaders[leader.name],
                f"{leader.name} leader: " if several else "leader ",
            )
            for leader in leaders
        ]
        return BusArmingSteps(arms, looks, leader_looks, settings, consent)


class BusArmingSteps:
    """One arming under way: an iterator whose `next` does one transaction, or a few short ones."""

    def __init__(
        self,
        arms: Sequence[FollowerArm],
        looks: Mapping[str, FollowerLook],
        leader_looks: Sequence[LeaderLook],
        settings: CoreSettings,
        consent: bool,
    ) -> None:
        self.checks: tuple[Check, ...] = ()
        self.wrote_goal = False
        self.passed = False
        self._arms = arms
        self._looks = looks
        self._leader_looks = leader_looks
        self._settings = settings
        self._consent = consent
        self._sequence = self._run()

    def __next__(self) -> None:
        next(self._sequence)

    def __iter__(self) -> Iterator[None]:
        return self

    @property
    def _failed(self) -> bool:
        return any(check.outcome == "fail" for check in self.checks)

    def _run(self) -> Iterator[None]:
        looks: tuple[Look, ...] = (*self._looks.values(), *self._leader_looks)
        for look in looks:
            yield from look
            self.checks = (*self.checks, *look.checks)
        if self._failed or not self._consent:
            return
        for arm in self._arms:
            for difference in self._writable(arm):
                So101Follower(arm.open_bus()).write_registers([difference])
                yield
        for arm in self._arms:
            yield from self._take(arm)
        yield from self._ramp()
        self.passed = True

    def _writable(self, arm: FollowerArm) -> list[RegisterDifference]:
        return self._looks[arm.name].differences

    # --- taking the arm ---------------------------------------------------------------------------

    def _take(self, arm: FollowerArm) -> Iterator[None]:
        """Torque limit low, goal := where the arm is, torque on, read back."""
        bus = arm.open_bus()
        held = [word is Torque.ON for word in arm.torque]
        pose = list(arm.position_rad)
        if any(held):
            # A stiff joint keeps its own goal. Taking the measured pose instead would take away
            # what holds it against gravity, and it would dip (LeRobot PR 4610).
            goals = [
                registers.GOAL_POSITION.decode(
                    bus.read_block(servo_id, registers.GOAL_POSITION.address, 2)
                )
                for servo_id in SERVO_IDS
            ]
            yield
            kept = arm.joint_map.rad_from_ticks(goals).tolist()
            pose = [
                goal if stiff and abs(goal - here) < arm.limits.step_rad else here
                for stiff, goal, here in zip(held, kept, arm.position_rad, strict=True)
            ]
        # A limp joint is taken gently, whatever the others are.
        low = self._settings.arming_torque_permille
        arm.write_torque_limit(
            [
                max(limit, low) if stiff else low
                for stiff, limit in zip(held, arm.limit_now_permille, strict=True)
            ]
        )
        yield
        self.wrote_goal = True
        arm.goal_ticks = [-1] * JOINTS
        arm.write_goal(Applied(GateState.at_rest(pose), _NONE))
        arm.write_torque_on()
        yield
        arm.read_back_all()
        yield
        if arm.torque_word is not Torque.ON:
            raise BusError(
                f"{arm.name} did not take torque on every joint.",
                "A servo is in protection, or its supply sags when it is switched on.",
                "Look at the servo that blinks; cut its power for five seconds and arm again.",
            )

    def _ramp(self) -> Iterator[None]:
        """Raise the torque limits to their working values over the ramp time."""
        rate = max(1, self._settings.tick_hz // _RAMP_STEPS_HZ)
        ticks = max(1, int(self._settings.arming_ramp_s * self._settings.tick_hz))
        begin = [list(arm.limit_now_permille) for arm in self._arms]
        for tick in range(1, ticks + 1):
            if tick % rate == 0 or tick == ticks:
                for arm, low in zip(self._arms, begin, strict=True):
                    arm.write_torque_limit(
                        [
                            a + (b - a) * tick / ticks
                            for a, b in zip(low, arm.torque_limit_permille, strict=True)
                        ]
                    )
            yield
        for arm in self._arms:
            arm.read_back_all()
            if list(arm.limit_now_permille) != list(arm.torque_limit_permille):
                raise BusError(
                    f"{arm.name}: the torque limit did not take ({arm.limit_now_permille}).",
                    "A write was lost, or a servo restarted while it was being switched on.",
                    "Arm again; if it stays, check the supply and the cables.",
                )
            arm.mark()
