"""Governed release: letting a raised arm down without dropping it. Every way out uses this.

Per joint the torque limit falls only while the filtered joint speed is low; a joint that starts to
sink keeps its torque until it is slow again. An open-loop ramp holds until it crosses gravity
and then falls at 2.5 rad/s into the table; governed by speed, the same arm stays below 0.31 rad/s
and is limp after 2–3 s (measured on the virtual arm).
"""

from collections.abc import Sequence
from dataclasses import dataclass

AT_REST_RAD_S = 0.05  # filtered; two encoder ticks in 50 ms read as 0.06
FALL_PERMILLE_S = 180.0
HEADROOM_PERMILLE = 40  # above the duty a joint needs now: where the fall starts
TOO_FAST = 1.3  # times the allowed speed: give torque back


@dataclass(frozen=True, slots=True)
class Release:
    """Torque limits (register 48, permille) of a release under way."""

    limit_permille: tuple[float, ...]

    def limp(self, speed_rad_s: Sequence[float | None]) -> bool:
        """Whether torque can be cut: no joint holds anything any more, and none moves.

        A driven servo at zero duty still brakes like a shorted motor; one without torque turns
        freely. Cutting torque under a joint that still sinks lets it fall at 1.5 rad/s.
        """
        weak = all(limit <= 0.0 for limit in self.limit_permille)
        return weak and all(
            speed is not None and abs(speed) < AT_REST_RAD_S for speed in speed_rad_s
        )


def begin(limit_permille: Sequence[float], load_permille: Sequence[float | None]) -> Release:
    """Start from what each joint needs now, so that no second passes before anything happens.

    `load_permille` is Present_Load: the duty the servo drives with, signed; None: not known.
    """
    return Release(
        tuple(
            float(limit) if load is None else min(float(limit), abs(load) + HEADROOM_PERMILLE)
            for limit, load in zip(limit_permille, load_permille, strict=True)
        )
    )


def step(
    release: Release, speed_rad_s: Sequence[float | None], allowed_rad_s: float, dt_s: float
) -> Release:
    """One tick. `speed_rad_s` must be filtered over 40–50 ms: one encoder tick in 10 ms already
    is 0.15 rad/s. A joint whose speed is not known in this tick (None) keeps its torque."""
    limits: list[float] = []
    for limit, speed in zip(release.limit_permille, speed_rad_s, strict=True):
        if speed is None:
            limits.append(limit)
        elif abs(speed) < allowed_rad_s:
            limits.append(max(0.0, limit - FALL_PERMILLE_S * dt_s))
        elif abs(speed) > TOO_FAST * allowed_rad_s:
            limits.append(min(1000.0, limit + FALL_PERMILLE_S * dt_s))
        else:
            limits.append(limit)
    return Release(tuple(limits))
