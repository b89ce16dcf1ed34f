"""The scripted expert that opens a drawer: fingers around the bar, a straight pull, and let go.

The jaws close along the pull, one of them between bar and front, so a grip that slips still pulls.
"""

import math
from collections.abc import Sequence

import numpy as np

from sim.expert_legs import Expert, Leg, Phase, Scene, leg
from sim.kinematics import BODY_JOINTS, PAN_AXIS_X_M

HOVER_Z_M = 0.13  # the tips 4 cm above the cabinet
GRASP_BELOW_M = 0.005  # of the bar's middle: the tips below its underside
AROUND_RAD = 0.30  # jaws around the bar, and clear of the drawer's front
CLOSED_RAD = -0.10
FREE_RAD = math.radians(38.0)
BEYOND_M = 0.012  # pulled further than is wanted: what a hand gives way when it lets go
_BESIDE_M = 0.003  # the fixed jaw stands nearer to the tool centre than the open moving one
_PULL_S = 1.6


class DrawerExpert(Expert):
    """One drawer opened."""

    def _reach(self, from_rad: Sequence[float], scene: Scene) -> list[Leg]:
        x, y, z = scene.block_xyz_m
        gx, gy = scene.bowl_xy_m
        way_m = max(math.hypot(gx - x, gy - y), 1e-6)
        ux, uy = (gx - x) / way_m, (gy - y) / way_m
        low = z - GRASP_BELOW_M
        hx, hy = x + _BESIDE_M * ux, y + _BESIDE_M * uy
        turn = _along(math.atan2(uy, ux), x, y)
        above = self._knots(from_rad, [(hx, hy, HOVER_Z_M)], turn, AROUND_RAD)
        heights = np.linspace(HOVER_Z_M, low, 6)[1:]
        down = self._knots(above[-1], [(hx, hy, float(h)) for h in heights], turn, AROUND_RAD)
        shut = self._knots(down[-1], [(x, y, low)], turn, CLOSED_RAD)
        out_m = way_m + BEYOND_M
        ways = np.linspace(0.0, out_m, 6)[1:]
        pulled = [(x + float(w) * ux, y + float(w) * uy, low) for w in ways]
        turns = [_along(math.atan2(uy, ux), px, py) for px, py, _ in pulled]
        pull = self._knots(shut[-1], pulled, turns, CLOSED_RAD)
        opened = (*pull[-1][:BODY_JOINTS], AROUND_RAD)
        ex, ey, _ = pulled[-1]
        up = self._knots(opened, [(ex, ey, 0.09), (ex, ey, HOVER_Z_M)], turns[-1], AROUND_RAD)
        free = (*up[-1][:BODY_JOINTS], FREE_RAD)
        return [
            leg(Phase.APPROACH, above, settle_m=0.008, patience_s=0.8),
            leg(Phase.DESCEND, down, settle_m=0.005, patience_s=1.2, at_least_s=1.2),
            Leg(Phase.CLOSE, (*shut, shut[-1]), 0.8, patience_s=1.5),
            leg(Phase.PULL, pull, settle_m=0.01, patience_s=0.8, at_least_s=_PULL_S),
            Leg(Phase.OPEN, (pull[-1], opened), 0.5),
            leg(Phase.RETREAT, up, at_least_s=0.8),
            Leg(Phase.RETREAT, (up[-1], free), 1.0),
            *self._go_home(free),
        ]

    def _failed(self, finished: Leg, measured_rad: Sequence[float], scene: Scene) -> bool:
        """Whether the handle is not where it is wanted; past it, towards the arm, is as good."""
        if finished.phase is not Phase.PULL:
            return False
        (x, y, _), (gx, gy) = scene.block_xyz_m, scene.bowl_xy_m
        ex, ey, _ = self._kinematics.tcp(finished.knots_rad[-1])[0]
        wx, wy = ex - gx, ey - gy  # the pull went on beyond the goal, in its own direction
        return bool((x - gx) * wx + (y - gy) * wy < 0.0)

    def _back_off(self, here_rad: Sequence[float]) -> Leg:
        x, y, _ = self._kinematics.tcp(here_rad)[0]
        at = (float(x), float(y), HOVER_Z_M)
        return leg(Phase.RETREAT, self._knots(here_rad, [at], here_rad[4], AROUND_RAD))


def _along(way_rad: float, x_m: float, y_m: float) -> float:
    """wrist_roll at a point that lets the jaws close along the way; the smaller of the two."""
    turn = way_rad - math.atan2(y_m, x_m - PAN_AXIS_X_M)
    return (turn + math.pi / 2.0) % math.pi - math.pi / 2.0
