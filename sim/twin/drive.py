"""What a servo on its supply does to the twin: how far it sags, how long it trails its goal. Pure.

The firmware's law counts in duty, and duty times voltage is torque, so the same gains are softer on
a weaker brick: 7.7 N.m/rad at 12 V, 5.0 at 7.4 V, 3.4 for a 7.4 V servo on 5 V. The stall torques
and speeds are the published ones (servo-and-twin facts 3.1), written here a second time on
purpose: plant, drivers and twin share no table, and a test compares them.

For 7.4 V the sources differ: a fit of a bench measurement (BAM) stands for 3.35 N.m of stall and
8.9 N.m/rad, the catalogue for 1.91. The catalogue's is taken, the weaker arm: the selftest's droop
says which is right for an arm.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from config.schema import Config

_P_COEFFICIENT = 16  # LeRobot's; the law takes P/4 permille of duty for a tick of error
_TICKS_PER_RAD = 4096 / math.tau
_VISCOUS_NM_S = 0.06
_PER_ARM = 6


@dataclass(frozen=True, slots=True)
class Drive:
    """A servo on its supply: torque when it stands, speed when nothing holds it."""

    stall_nm: float
    no_load_rad_s: float

    @property
    def gain_nm_per_rad(self) -> float:
        """Torque for a radian of error at LeRobot's gains."""
        return self.stall_nm * _P_COEFFICIENT / 4 * _TICKS_PER_RAD / 1000

    @property
    def lag_s(self) -> float:
        """First-order lag behind a goal: viscous friction and back-EMF over the gain. A 30 degree
        step of the emulated servo reaches 90 % after 273-305 ms (servo-and-twin facts 3.3)."""
        return (_VISCOUS_NM_S + self.stall_nm / self.no_load_rad_s) / self.gain_nm_per_rad


_RPM = math.tau / 60
DRIVES = {
    "12V": Drive(2.94, 45 * _RPM),
    "7.4V": Drive(1.91, 52 * _RPM),
    "5V": Drive(1.91 * 5.0 / 7.4, 52 * 5.0 / 7.4 * _RPM),
}


def drives(config: Config) -> tuple[Drive, ...]:
    """The drive of each arm; `auto` means that nobody said otherwise than 12 V."""
    return tuple(DRIVES.get(arm.supply, DRIVES["12V"]) for arm in config.arms.values())


def gains_nm_per_rad(arms: Sequence[Drive]) -> npt.NDArray[np.float64]:
    """Gain of every joint [n], arm after arm."""
    return np.repeat([arm.gain_nm_per_rad for arm in arms], _PER_ARM)


def lags_s(arms: Sequence[Drive]) -> npt.NDArray[np.float64]:
    """Lag of every joint [n], arm after arm."""
    return np.repeat([arm.lag_s for arm in arms], _PER_ARM)
