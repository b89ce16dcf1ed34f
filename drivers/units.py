"""Which of LeRobot's units recorded joint values are in, where only their statistics can tell."""

from collections.abc import Mapping
from typing import Any

import numpy as np

_OVERSHOOT = 100.5  # ±100 is clamped by the driver; half a unit allows for rounding


def units_of(action: Mapping[str, Any]) -> str:
    """The units that an action's statistics prove: "degrees" beyond ±100, else "" (both fit).

    `action` maps `min`/`max` to [A]. Every sixth joint is a gripper, 0..100 in both.
    """
    if "min" not in action or "max" not in action:
        return ""
    reach = np.maximum(np.abs(action["min"]), np.abs(action["max"])).reshape(-1)
    body = np.arange(len(reach)) % 6 != 5
    return "degrees" if bool((reach[body] > _OVERSHOOT).any()) else ""
