"""The STS3215's position law, one call per millisecond, integers where the firmware has integers.

Servo-and-twin facts 3.3: a trapezoid runs to the clamped goal; its distance from the encoder,
shrunk by the dead zone, is multiplied by P/4; the derivative is taken every 20 ms and weighted
D/8; the smallest duty that moves the gears is added; the result is cut at Torque_Limit. Duty is in
permille of the supply voltage. The cost of a call matters (six servos, a thousand times a second),
so a shaft at rest on its goal takes a short way through.
"""

import math
from enum import IntEnum

from sim.plant.registers import Phase, read_raw, read_value

DUTY_CEILING_PERMILLE = 970
_VELOCITY_LEASH_TICKS = (
    200.0  # velocity mode: how far the set point may run ahead of a blocked shaft
)


class Mode(IntEnum):
    """Register 33."""

    POSITION = 0
    VELOCITY = 1
    PWM = 2
    STEP = 3


class PositionLaw:
    """State of one servo's control loop. Positions in ticks, velocities in ticks/ms, duty in
    permille."""

    __slots__ = (
        "_acceleration",
        "_ccw_dead_zone",
        "_cw_dead_zone",
        "_d8",
        "_d_term",
        "_dts_ms",
        "_e_previous",
        "_follows_velocity",
        "_i500",
        "_i_limit",
        "_i_term",
        "_last_position",
        "_last_u",
        "_limit",
        "_limits_max",
        "_limits_min",
        "_max_velocity",
        "_ms_to_derivative",
        "_open_loop",
        "_p4",
        "_quiet_derivatives",
        "_run_now",
        "_startup",
        "goal",
        "mode",
        "open_loop_permille",
        "profile",
        "run_velocity",
        "velocity",
    )

    def __init__(self, memory: bytearray) -> None:
        self.goal = 0.0
        self.profile = 0.0
        self.velocity = 0.0
        self.open_loop_permille = 0
        self.run_velocity = 0.0
        self.mode = Mode.POSITION
        self._last_position = -1
        self._last_u = 0.0
        self.reset(0)
        self.configure(memory)

    def configure(self, memory: bytearray) -> None:
        """Take gains, limits and profile from the registers. Called after every write to one of
        them."""
        raw = memory
        self._p4 = raw[21] / 4.0
        self._d8 = raw[22] / 8.0
        self._i500 = raw[23] / 500.0
        self._startup = raw[24]
        self._i_limit = raw[25] * 4 or 1000
        self._cw_dead_zone = raw[26]
        self._ccw_dead_zone = raw[27]
        self._limits_min = read_raw(raw, "min_position_limit")
        self._limits_max = read_raw(raw, "max_position_limit")
        self._limit = float(min(read_raw(raw, "torque_limit"), DUTY_CEILING_PERMILLE))
        self._dts_ms = max(1, raw[81])
        self.mode = Mode(raw[33]) if raw[33] <= Mode.STEP else Mode.POSITION
        self._follows_velocity = self.mode is Mode.VELOCITY
        self._open_loop = self.mode is Mode.PWM
        phase = raw[18]
        unit = 1 if phase & Phase.UNIT_STEP_PER_S else raw[82]
        ceiling = raw[84] * 50 / 1000.0
        requested = read_value(raw, "goal_velocity") * unit / 1000.0
        self.run_velocity = math.copysign(min(abs(requested), ceiling), requested)
        if requested == 0.0:
            self._max_velocity = ceiling if phase & Phase.ZERO_IS_MAXIMUM else 0.0
        else:
            self._max_velocity = abs(self.run_velocity)
        units = min(raw[41], raw[85]) if raw[41] else raw[85] * max(1, raw[86])
        self._acceleration = max(units, 1) * 100 / 1e6
        self.open_loop_permille = read_value(raw, "goal_time")
        self._last_position = -1  # the cached output belongs to the old gains

    def reset(self, position: int) -> None:
        """Hold here: what the firmware does every millisecond while torque is off."""
        self.goal = self.profile = float(position)
        self.velocity = 0.0
        self._e_previous = 0
        self._d_term = 0.0
        self._i_term = 0.0
        self._ms_to_derivative = 0
        self._quiet_derivatives = 0
        self._run_now = 0.0
        self._last_position = -1

    def set_goal(self, raw_goal: int, position: int) -> None:
        """A write to Goal_Position. `position` is where a step (mode 3) starts when the shaft is
        at rest."""
        if self.mode is Mode.STEP:
            start = self.goal if self.velocity else float(position)
            self.goal = start + raw_goal
        else:
            self.goal = float(self._clamp_goal(raw_goal))
        self._last_position = -1

    def _clamp_goal(self, goal: int) -> int:
        if self.mode is not Mode.POSITION or self._limits_min == self._limits_max:
            return goal
        return max(self._limits_min, min(self._limits_max, goal))

    @property
    def moving(self) -> bool:
        """Whether the profile is still on its way."""
        return self.profile != self.goal or self.velocity != 0.0

    def tick(self, position: int) -> float:
        """One millisecond: signed duty in permille, after Torque_Limit, before any protection."""
        if self._follows_velocity:
            self._advance_velocity(position)
        elif self._open_loop:
            return max(-self._limit, min(self._limit, float(self.open_loop_permille)))
        profile = self.profile
        velocity = self.velocity
        goal = self.goal
        if velocity or profile != goal:
            # The trapezoid: as fast as allowed and as still lets it stop at the goal.
            distance = goal - profile
            acceleration = self._acceleration
            if distance < 0.0:
                reach = -math.sqrt(-2.0 * acceleration * distance)
                wanted = reach if reach > -self._max_velocity else -self._max_velocity
            else:
                reach = math.sqrt(2.0 * acceleration * distance)
                wanted = reach if reach < self._max_velocity else self._max_velocity
            change = wanted - velocity
            if change > acceleration:
                velocity += acceleration
            elif change < -acceleration:
                velocity -= acceleration
            else:
                velocity = wanted
            profile += velocity
            left = goal - profile
            if (-0.5 < left < 0.5 and -0.3 < velocity < 0.3) or (
                left * distance <= 0.0 and abs(velocity) <= abs(reach) + 2.0 * acceleration
            ):
                profile = goal
                velocity = 0.0
            self.profile = profile
            self.velocity = velocity
        elif position == self._last_position and self._quiet_derivatives > 1 and not self._i500:
            return self._last_u
        e = int(profile) - position
        countdown = self._ms_to_derivative - 1
        if countdown <= 0:
            countdown = self._dts_ms
            de = e - self._e_previous
            self._e_previous = e
            if -2 < de < 2:
                self._d_term = 0.0
                self._quiet_derivatives += 1
            else:
                self._d_term = de * self._d8
                self._quiet_derivatives = 0
        self._ms_to_derivative = countdown
        if e > 0:
            e = e - self._cw_dead_zone if e > self._cw_dead_zone else 0
        elif e < 0:
            e = e + self._ccw_dead_zone if e < -self._ccw_dead_zone else 0
        u = e * self._p4 + self._d_term
        if self._i500:
            wound = self._i_term + e * self._i500
            self._i_term = max(-self._i_limit, min(self._i_limit, wound))
            u += self._i_term
        limit = self._limit
        if u > 0.0:
            u += self._startup
            if u > limit:
                u = limit
        elif u < 0.0:
            u -= self._startup
            if u < -limit:
                u = -limit
        self._last_position = position
        self._last_u = u
        return u

    def _advance_velocity(self, position: int) -> None:
        step = self._acceleration
        self._run_now += max(-step, min(step, self.run_velocity - self._run_now))
        ahead = self.profile + self._run_now - position
        leash = _VELOCITY_LEASH_TICKS
        self.profile = self.goal = position + max(-leash, min(leash, ahead))
        self.velocity = 0.0
        self._last_position = -1
