"""The torque ceiling in force: which of several bounds on register 48 counts now. Pure.

A joint's working limit is never exceeded; other bounds lower it for a while: what is left before
the selftest has run, a person's hand in the cell, a fault. The lowest counts, and the register
follows it by a ramp, so that no joint is weakened or strengthened by a blow.
"""

from collections.abc import Sequence

RISE_PERMILLE_S = 1000.0
"""From nothing to full strength in a second: the time that arming takes."""
FALL_PERMILLE_S = 500.0
"""Half as fast: a joint that turns out to need more than the new ceiling begins to sink slowly."""

Permille = Sequence[float]


def in_force(working: Permille, *caps: Permille | None) -> tuple[float, ...]:
    """The lowest bound of each joint, permille of stall, never below 0; None: that one is not set.

    A bound that is not a number is none: counted as 0 it would drop the arm.
    """
    bounds = [working, *(cap for cap in caps if cap is not None)]
    return tuple(
        max(0.0, min((value for value in joint if value == value), default=0.0))
        for joint in zip(*bounds, strict=True)
    )


def follow(now: Permille, wanted: Permille, dt_s: float) -> tuple[float, ...]:
    """One tick of the way from the limits of now to the wanted ones."""
    rise, fall = RISE_PERMILLE_S * dt_s, FALL_PERMILLE_S * dt_s
    return tuple(
        min(goal, here + rise) if goal > here else max(goal, here - fall)
        for here, goal in zip(now, wanted, strict=True)
    )
