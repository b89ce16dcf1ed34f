"""What stands between a source and the servos, arm by arm: soft start, protection, supply, the gate.

Once a tick `finding` says what has become a fault, and `apply` turns what is asked for into the poses
that may be sent. Nothing here writes to a servo.
"""

from collections.abc import Sequence

from daemon.control import watch
from daemon.control.arm import JOINTS, FollowerArm
from daemon.control.exchange import TwinFinding
from daemon.control.gate import Applied, Asked, Body, apply
from daemon.control.protection import Protection
from daemon.control.settings import CoreSettings
from daemon.control.soft_start import SoftStart
from daemon.control.supply import SupplyWatch
from daemon.control.watch import Finding
from robotd.states import State


class Limiting:
    """The limits of one robot and what they remember from tick to tick."""

    def __init__(self, arms: Sequence[FollowerArm], settings: CoreSettings) -> None:
        self._arms = tuple(arms)
        self._fault_after = settings.fault_after
        self._dt_s = 1.0 / settings.tick_hz
        self._protection = Protection(self._arms, settings.protection)
        self._soft = SoftStart(settings.soft_start_ns)
        supply = settings.supply_dip_s, settings.supply_fault_s, self._dt_s
        self._supplies = [SupplyWatch(*supply) for _ in self._arms]

    def finding(self, state: State, twin: TwinFinding | None, now_ns: int) -> Finding | None:
        """What is wrong with a robot in `state`, with the joint's index in the robot."""
        for number, arm in enumerate(self._arms):
            found = watch.judge(
                arm.views(), state is not State.ARMING, self._fault_after, arm.limits.stop_at_c
            )
            # Looked at in any case: it counts time.
            supplied = self._supplies[number].look(
                arm.voltages_v(), arm.voltage_window_v, state.armed
            )
            found = found or supplied
            if found is not None:
                joint = found.joint if found.joint < 0 else number * JOINTS + found.joint
                return Finding(found.fault, joint)
        return self._protection.finding(twin, now_ns) if state.armed else None

    def apply(
        self, asked: Asked, armed: bool, weak: bool, handover_ns: int, now_ns: int
    ) -> list[Applied]:
        """The pose of each arm for this tick.

        armed: whether control holds the arms; weak: their torque limits still rise.
        """
        start = self._soft.share(handover_ns, weak, now_ns)
        shielded = self._protection.shield(
            [_slice(asked, number) for number in range(len(self._arms))], armed and not weak
        )
        return [
            apply(
                shield.asked,
                arm.position_rad,
                Body(
                    arm.temperatures_c(),
                    arm.loads_permille(),
                    arm.limit_now_permille,
                    start,
                    weak,
                    supply.steady,
                    shield.grip_floor_rad,
                ),
                arm.gate,
                arm.limits,
                self._dt_s,
            )
            for arm, shield, supply in zip(self._arms, shielded, self._supplies, strict=True)
        ]


def _slice(asked: Asked, arm: int) -> Asked:
    """The part of a whole robot's request that is one arm's."""
    if asked.goal_rad is None:
        return asked
    return Asked(asked.goal_rad[arm * JOINTS : (arm + 1) * JOINTS], asked.why)
