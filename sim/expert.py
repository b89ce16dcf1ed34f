"""The scripted expert: picks the block up and puts it into the bowl, the same way every time.

It closes only when the fingers stand at the block. A grasp that failed is seen by the gap of the jaws and is tried
again. `sim.expert_push` and `sim.expert_drawer` do the other tasks; `sim.expert_legs` is how all of them move.
"""

import math
from collections.abc import Sequence

import numpy as np

from sim.expert_legs import (
    HOME_RAD,
    MAX_ATTEMPTS,
    Expert,
    Leg,
    Phase,
    Scene,
    Step,
    lean,
    leg,
)
from sim.kinematics import BODY_JOINTS, PAN_AXIS_X_M

__all__ = [
    "HELD_ABOVE_RAD",
    "HOME_RAD",
    "MAX_ATTEMPTS",
    "Phase",
    "Scene",
    "ScriptedExpert",
    "Step",
]

OPEN_RAD = math.radians(42.0)  # jaws 70 mm apart
CLOSED_RAD = -0.10  # jaws shut
HELD_ABOVE_RAD = 0.04  # jaws that come to rest wider than this hold something
RELEASE_RAD = math.radians(38.0)
HOVER_Z_M = 0.075
CARRY_Z_M = 0.10
RELEASE_Z_M = 0.058
LIFTED_M = 0.035  # the block's height above which it was lifted with the arm


class ScriptedExpert(Expert):
    """One pick and place."""

    def _failed(self, finished: Leg, measured_rad: Sequence[float], scene: Scene) -> bool:
        held = measured_rad[BODY_JOINTS] > HELD_ABOVE_RAD
        return (
            (finished.phase is Phase.CLOSE and not held)
            or (finished.phase is Phase.LIFT and not (held and scene.block_xyz_m[2] > LIFTED_M))
            or (finished.phase in (Phase.CARRY, Phase.LOWER) and not held)
        )

    def _back_off(self, here_rad: Sequence[float]) -> Leg:
        x, y, _ = self._kinematics.tcp(here_rad)[0]
        up = self._knots(here_rad, [(float(x), float(y), CARRY_Z_M)], here_rad[4], OPEN_RAD)
        return leg(Phase.RETREAT, up)

    def _reach(self, from_rad: Sequence[float], scene: Scene) -> list[Leg]:
        x, y, z = scene.block_xyz_m
        turn = _turn_for(x, y, scene.block_yaw_rad)
        ox, oy = _beside(x, y, turn)
        above = self._knots(from_rad, [(ox, oy, HOVER_Z_M)], turn, OPEN_RAD)
        down_z = (
            max(z, 0.0096)
            + _GRASP_RISE_M
            + _JAW_HALF_GAP_M * abs(math.cos(turn)) * math.sin(lean(x, y, z))
        )
        heights = np.linspace(HOVER_Z_M, down_z, 5)[1:]
        down = self._knots(above[-1], [(ox, oy, float(h)) for h in heights], turn, OPEN_RAD)
        grasp = self._knots(down[-1], [(x, y, down_z)], turn, CLOSED_RAD)
        closed = grasp[-1]
        up = self._knots(closed, [(x, y, 0.04), (x, y, CARRY_Z_M)], turn, CLOSED_RAD)
        bx, by = scene.bowl_xy_m
        over = self._knots(up[-1], [(bx, by, CARRY_Z_M)], turn, CLOSED_RAD)
        low = self._knots(over[-1], [(bx, by, RELEASE_Z_M)], turn, CLOSED_RAD)
        opened = (*low[-1][:BODY_JOINTS], RELEASE_RAD)
        away = self._knots(opened, [(bx, by, CARRY_Z_M + 0.02)], turn, RELEASE_RAD)
        return [
            leg(Phase.APPROACH, above, settle_m=0.008, patience_s=0.8),
            leg(Phase.DESCEND, down, settle_m=0.004, patience_s=1.2, at_least_s=0.9),
            Leg(Phase.CLOSE, (*grasp, closed), 0.8, patience_s=1.5),
            leg(Phase.LIFT, up, at_least_s=0.9),
            leg(Phase.CARRY, over, settle_m=0.015, patience_s=0.6),
            leg(Phase.LOWER, low, settle_m=0.012, patience_s=0.5),
            Leg(Phase.OPEN, (low[-1], opened), 0.5),
            leg(Phase.RETREAT, away),
            *self._go_home(away[-1]),
        ]


_BESIDE_M = 0.008
_GRASP_RISE_M = -0.003
_JAW_HALF_GAP_M = 0.016


def _beside(x_m: float, y_m: float, turn_rad: float) -> tuple[float, float]:
    """Where the tool centre comes down: shifted away from the fixed jaw, whose face stands 16 mm beside it.

    Over the block's middle that face would land on the block's edge; the shift goes away as the jaws close.
    """
    direction_rad = turn_rad + math.atan2(y_m, x_m - PAN_AXIS_X_M)
    return x_m - _BESIDE_M * math.cos(direction_rad), y_m - _BESIDE_M * math.sin(direction_rad)


def _turn_for(x_m: float, y_m: float, yaw_rad: float) -> float:
    """wrist_roll that closes the jaws across the block's 32 mm: the one within 90 degrees of 0.77 rad.

    Both jaws are alike, so yaw and yaw + 180 degrees are the same; the window is centred on the task's own spread,
    so that a slightly turned block never means a quite different motion.
    """
    azimuth_rad = math.atan2(y_m, x_m - PAN_AXIS_X_M)
    turn = yaw_rad + math.pi / 2.0 - azimuth_rad
    return (turn - _TURN_CENTRE_RAD + math.pi / 2.0) % math.pi - math.pi / 2.0 + _TURN_CENTRE_RAD


_TURN_CENTRE_RAD = 0.77
