"""Fingers may stand on the table, but not be dragged across it while they press.

How deep fingers seem to stand in the table says little of the force on them once they slide: a hand that seemed 14 mm
deep and went 10 cm sideways wedged itself with 28 N in the plant, one that seemed 21 mm deep and stayed there pressed
with 1.3 N.
"""

import numpy as np
import numpy.typing as npt

from sim.twin.apply import TwinBody, Vector

PRESSED_M = 0.012
"""From this seeming depth on fingers count as pressed: the most by which they are expected too low while they touch."""

DRAGGED_M = 0.040
"""How far pressed fingers may slide in one plan. Grasping a block lying on the table takes less."""


class DragWatch:
    """Follows the fingers of all arms along one path; made anew for each."""

    def __init__(self, body: TwinBody, arm_of: npt.NDArray[np.int64]) -> None:
        """`arm_of`: `sim.twin.margins.touching_fingers` of the body."""
        self._body = body
        self._arm_of = arm_of
        self._sites = [arm.tcp_site for arm in body.index.arms]
        self._last: list[Vector | None] = [None] * len(self._sites)
        self._dragged_m = [0.0] * len(self._sites)

    def lifted(self) -> None:
        """Nothing touches in this pose."""
        self._last = [None] * len(self._sites)

    def look(self, geoms: npt.NDArray[np.int32], depths: Vector) -> int:
        """Take the contacts of the next pose; the index of one that was dragged too far, -1 for none."""
        arms = self._arm_of[geoms[:, 0], geoms[:, 1]]
        pressed = np.where(depths > PRESSED_M, arms, -1)
        for number, site in enumerate(self._sites):
            mine = np.flatnonzero(pressed == number)
            if len(mine) == 0:
                self._last[number] = None
                continue
            here = self._body.data.site_xpos[site][:2].copy()
            before = self._last[number]
            self._last[number] = here
            if before is not None:
                self._dragged_m[number] += float(np.hypot(*(here - before)))
                if self._dragged_m[number] > DRAGGED_M:
                    return int(mine[depths[mine].argmax()])
        return -1
