"""The supply voltage against the servos' own window (registers 14 and 15). Pure but for its memory.

A motor that pulls makes the voltage dip, and that is no reason to stop. A voltage that stays
outside is: over it the servos die, under it they restart. So time outside is counted, and time
inside takes it back at the same pace: dips that take half of all time are not short ones.
"""

import math
from collections.abc import Sequence

from daemon.control.watch import Finding
from robotd.states import Fault

Window = tuple[float, float]
"""Lowest and highest voltage of one servo, V."""


class SupplyWatch:
    """One arm's supply. `dip_s`: outside for longer holds; `fault_s`: for longer is a fault."""

    def __init__(self, dip_s: float, fault_s: float, dt_s: float) -> None:
        self._dip_s = dip_s
        self._fault_s = fault_s
        self._dt_s = dt_s
        self._outside_s = 0.0
        self._joint = -1

    @property
    def steady(self) -> bool:
        """Whether the arm may be moved with it."""
        return self._outside_s < self._dip_s

    def look(
        self, volts: Sequence[float | None], windows: Sequence[Window | None], armed: bool
    ) -> Finding | None:
        """One tick: what six servos measure (None: not heard), and what each allows (None: not
        read yet). A fault once it has persisted; an arm that is not armed only forgets."""
        outside = [
            joint
            for joint, (volt, window) in enumerate(zip(volts, windows, strict=True))
            if volt is not None and window is not None and not _within(volt, window)
        ]
        if not armed or not outside:
            self._outside_s = max(0.0, self._outside_s - self._dt_s) if armed else 0.0
            return None
        self._joint = outside[0]
        # No more than the fault's own time: a supply that is mended counts at once.
        self._outside_s = min(self._outside_s + self._dt_s, self._fault_s)
        if self._outside_s < self._fault_s - 1e-9:
            return None
        return Finding(Fault.SUPPLY_VOLTAGE, self._joint)


def _within(volt: float, window: Window) -> bool:
    low, high = window
    # Register 62 counts tenths of a volt; as a float one of them may be a hair off.
    return math.isfinite(volt) and low - 0.01 <= volt <= high + 0.01
