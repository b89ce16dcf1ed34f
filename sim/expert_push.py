"""The scripted expert that pushes: two fingers, a block's width apart, behind the block and straight to the mat.

Two points of contact turn a block that lies askew square to the way, so one straight push brings it there. Where it
did not, the expert looks where the block is now and pushes once more, from whichever side that asks for.
"""

import math
from collections.abc import Sequence

import numpy as np

from sim.expert_legs import Expert, Leg, Phase, Scene, leg
from sim.kinematics import PAN_AXIS_X_M
from sim.model.arm import PARALLEL_GRIPPER_RAD

HOVER_Z_M = 0.075
PUSH_Z_M = 0.013  # of the tool centre: the tips 7 mm above the table, the block is 19 mm high
BEHIND_M = 0.055  # where the fingers come down: clear of a block that lies 30 degrees askew
CONTACT_M = 0.024  # from tool centre to the middle of the block that is pushed square: half of it and of a finger
CLOSE_ENOUGH_M = 0.03  # of the block's middle to the mat's, in x and in y
_PUSH_S = 2.6
_KNOTS = 9


class PushExpert(Expert):
    """One block pushed onto the mat."""

    def _reach(self, from_rad: Sequence[float], scene: Scene) -> list[Leg]:
        x, y, _ = scene.block_xyz_m
        gx, gy = scene.bowl_xy_m
        way_m = math.hypot(gx - x, gy - y)
        ux, uy = ((gx - x) / way_m, (gy - y) / way_m) if way_m > 1e-6 else (0.0, -1.0)
        sx, sy = x - BEHIND_M * ux, y - BEHIND_M * uy
        ex, ey = gx - CONTACT_M * ux, gy - CONTACT_M * uy
        shares = np.linspace(0.0, 1.0, _KNOTS)
        line = [(sx + float(t) * (ex - sx), sy + float(t) * (ey - sy)) for t in shares]
        turns = _square_to(math.atan2(uy, ux), line)
        jaws = PARALLEL_GRIPPER_RAD
        above = self._knots(from_rad, [(sx, sy, HOVER_Z_M)], turns[0], jaws)
        heights = np.linspace(HOVER_Z_M, PUSH_Z_M, 5)[1:]
        down = self._knots(above[-1], [(sx, sy, float(h)) for h in heights], turns[0], jaws)
        along = [(px, py, PUSH_Z_M) for px, py in line[1:]]
        push = self._knots(down[-1], along, turns[1:], jaws)
        up = self._knots(push[-1], [(ex, ey, 0.04), (ex, ey, HOVER_Z_M)], turns[-1], jaws)
        return [
            leg(Phase.APPROACH, above, settle_m=0.008, patience_s=0.8),
            leg(Phase.DESCEND, down, settle_m=0.005, patience_s=1.0, at_least_s=0.9),
            leg(Phase.PUSH, push, settle_m=0.006, patience_s=0.8, at_least_s=_PUSH_S),
            leg(Phase.RETREAT, up, at_least_s=0.6),
            *self._go_home(up[-1]),
        ]

    def _failed(self, finished: Leg, measured_rad: Sequence[float], scene: Scene) -> bool:
        x, y, _ = scene.block_xyz_m
        gx, gy = scene.bowl_xy_m
        return finished.phase is Phase.RETREAT and max(abs(x - gx), abs(y - gy)) > CLOSE_ENOUGH_M

    def _back_off(self, here_rad: Sequence[float]) -> Leg:
        x, y, _ = self._kinematics.tcp(here_rad)[0]
        at = (float(x), float(y), HOVER_Z_M)
        # Not the phase that is judged: it would be found failed before anything was done.
        return leg(Phase.APPROACH, self._knots(here_rad, [at], here_rad[4], here_rad[5]))


def _square_to(way_rad: float, line: Sequence[tuple[float, float]]) -> list[float]:
    """wrist_roll along `line` that keeps the two fingers side by side across the way.

    Both sides are alike, so half a turn is none: the smaller turn in the middle of the way decides for all of it.
    """
    azimuths = [math.atan2(y, x - PAN_AXIS_X_M) for x, y in line]
    middle = azimuths[len(azimuths) // 2]
    turn = (way_rad + math.pi / 2.0 - middle + math.pi / 2.0) % math.pi - math.pi / 2.0
    return [turn + middle - azimuth for azimuth in azimuths]
