"""Which supply an arm's servos are made for, from what they say themselves. Pure.

The kits look alike: 12 V servos on a 12 V brick, and 7.4 V servos on 7.4 V or (as the SO-ARM100
README pairs them, and as every leader is) on 5 V. Which ones they are stands in register 14, the
highest voltage that the servo allows: 14.0 V, or 8.0 V. Register 62 says what they get. The gears
of a leader (C001, C044, C046) cannot be told apart by any register, and need not be: it is never
driven.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from drivers.so101 import VoltageReading

_RPM: Final = math.tau / 60.0
_TWELVE_VOLT_LIMIT_V: Final = 10.0  # 14.0 and 8.0 are what the factory writes
_FIVE_VOLT_BRICK_V: Final = 6.2  # half way between both bricks
WEAK_SHARE: Final = 0.8
"""Of the nominal voltage: below it a brick is the wrong one, or gives way."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A kind of servo on its supply; torque and speed at that voltage (servo facts 3.1)."""

    name: str
    nominal_v: float
    stall_nm: float
    no_load_rad_s: float


TWELVE: Final = Variant("12V", 12.0, 2.94, 45 * _RPM)
SEVEN: Final = Variant("7.4V", 7.4, 1.91, 52 * _RPM)
FIVE: Final = Variant("5V", 5.0, 1.91 * 5.0 / 7.4, 52 * 5.0 / 7.4 * _RPM)
"""The 7.4 V servo on the kit's 5 V brick: torque and speed fall with the voltage."""

VARIANTS: Final = {variant.name: variant for variant in (TWELVE, SEVEN, FIVE)}


@dataclass(frozen=True, slots=True)
class Identified:
    """What six servos are. `variant` None: they do not agree with each other."""

    variant: Variant | None
    lowest_present_v: float
    outside: tuple[str, ...]  # sentences, one for each servo whose supply leaves its window
    weak: str = ""  # a sentence when the brick gives much less than the servos are made for


def identify(servos: Sequence[VoltageReading]) -> Identified:
    """Tell the kind of servo from its registers. Raises ValueError for no servo at all."""
    if not servos:
        raise ValueError("no servo was read")
    strong = {servo.maximum_v >= _TWELVE_VOLT_LIMIT_V for servo in servos}
    present_v = min(servo.present_v for servo in servos)
    outside = tuple(
        f"{servo.joint} sees {servo.present_v:.1f} V, its limits are "
        f"{servo.minimum_v:.1f}…{servo.maximum_v:.1f} V"
        for servo in servos
        if not servo.within_limits
    )
    if len(strong) > 1:
        return Identified(None, present_v, outside)
    variant = TWELVE if strong.pop() else FIVE if present_v < _FIVE_VOLT_BRICK_V else SEVEN
    weak = ""
    if present_v < WEAK_SHARE * variant.nominal_v:
        weak = f"{variant.name} servos on {present_v:.1f} V"
    return Identified(variant, present_v, outside, weak)
