"""Jaws that have closed on something: found by effort without motion, then held with less. Pure.

A goal that stays far inside what is held pushes until the servo's overload protection (25 % for two
seconds) lets go of half the grip, and heats the winding meanwhile. So once the jaws stand although
they are asked to close, their goal moves back to a fixed distance inside where they stand, and from
there it only follows them further in.
"""

import math

ASKED_RAD = math.radians(1.5)
"""Jaws whose goal is less inside than this hold nothing: friction alone keeps them that far off."""
STILL_RAD_S = 0.1
LOAD_PERMILLE = 60
"""Of stall. The friction of a gripper's gears takes 50 to 100 while it moves; at ASKED_RAD the
position law gives 80."""
LOST_RAD_S = 0.3
"""Jaws that close this fast hold nothing any more. Something soft, or that slides into place, gives
way slower; then the goal follows, and the squeeze stays what it is."""
OPENED_RAD = math.radians(0.5)
NO_FLOOR = -math.inf


class GraspGuard:
    """The memory of one gripper. Smaller angles are more closed."""

    def __init__(self, squeeze_rad: float, after_ticks: int) -> None:
        self._squeeze_rad = squeeze_rad
        self._after_ticks = after_ticks
        self._stood = 0
        self.floor_rad = NO_FLOOR

    @property
    def grasping(self) -> bool:
        """Whether the jaws hold something."""
        return self.floor_rad != NO_FLOOR

    def reset(self) -> None:
        """The arm is not driven: nothing is held that could be bounded."""
        self._stood = 0
        self.floor_rad = NO_FLOOR

    def look(
        self,
        asked_rad: float | None,
        goal_rad: float,
        position_rad: float,
        velocity_rad_s: float,
        load_permille: int,
    ) -> bool:
        """Judge a tick; True when the goal must go back to `floor_rad` now.

        asked_rad: what the source wants of the jaws, None for a hold; goal_rad: what was applied last.
        """
        if self.grasping:
            opened = asked_rad is not None and asked_rad > self.floor_rad + OPENED_RAD
            if opened or velocity_rad_s < -LOST_RAD_S:
                self.reset()
            else:
                self.floor_rad = min(self.floor_rad, position_rad - self._squeeze_rad)
            return False
        stands = (
            position_rad - goal_rad > ASKED_RAD
            and abs(velocity_rad_s) < STILL_RAD_S
            and abs(load_permille) >= LOAD_PERMILLE
        )
        self._stood = self._stood + 1 if stands else 0
        if self._stood < self._after_ticks:
            return False
        self.floor_rad = position_rad - self._squeeze_rad
        return goal_rad < self.floor_rad
