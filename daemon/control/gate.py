"""The limits gate: the one way from a requested pose to a goal that a servo gets.

Pure: a request, what was measured and what was applied last give the pose to apply and, for each
joint, what held it back. The order is that of the design: finite, age, joint range (with squeeze
and lead), twin verdict, speed and acceleration, workspace of the applied pose, torque, temperature
and supply. The source answers for age and verdict (`Asked.why`). Whatever the inputs, the applied
pose stays in range and within the speed limits; a hold is a deceleration within the same limits and
then a constant goal.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from daemon.control.kinematics import Vector, outside_m, points_m
from robotd.states import LimitedBy

GRIPPER = 5
# Braking is planned with a little less than the limit. In steps of dt the last, partial step takes
# up to 1.125 times the planned deceleration, so any share below 1 / 1.125 never overshoots.
_BRAKE_SHARE = 0.88
FULL_DUTY_PERMILLE = 970  # the firmware's own clamp of the output stage (servo facts 3.3)
_AT_CEILING_PERMILLE = 2.0  # Present_Load is rounded


@dataclass(frozen=True, slots=True)
class ArmLimits:
    """The numbers of one arm. Six values each, joint order; SI units and radians."""

    minimum_rad: tuple[float, ...]
    maximum_rad: tuple[float, ...]
    step_rad: float  # how far a goal may lead the measured pose
    speed_rad_s: tuple[float, ...]
    acceleration_rad_s2: tuple[float, ...]
    squeeze_rad: float  # how far the gripper's goal may close beyond the measured opening
    workspace_min_m: Vector
    workspace_max_m: Vector
    derate_from_c: float
    stop_at_c: float


@dataclass(frozen=True, slots=True)
class GateState:
    """What the gate remembers from one tick to the next."""

    applied_rad: tuple[float, ...]
    velocity_rad_s: tuple[float, ...]

    @classmethod
    def at_rest(cls, pose_rad: Sequence[float]) -> "GateState":
        """A gate that starts from `pose_rad`, standing."""
        return cls(tuple(pose_rad), (0.0,) * len(pose_rad))


@dataclass(frozen=True, slots=True)
class Asked:
    """What a source asks for in this tick. `goal_rad` None: hold, for the reason in `why`."""

    goal_rad: tuple[float, ...] | None
    why: LimitedBy = LimitedBy.NOTHING


@dataclass(frozen=True, slots=True)
class Body:
    """What one arm can give in this tick. Six values each, as the servos said them.

    `ceiling_permille` is register 48 (negative: not known), `load_permille` the duty, signed.
    `start` is the soft start's share of the speed; `weak` that the limits still rise; `steady` that
    the supply is inside the servos' window; `grip_floor_rad` how far jaws that hold something close.
    """

    temperature_c: Sequence[float]
    load_permille: Sequence[float]
    ceiling_permille: Sequence[float]
    start: float = 1.0
    weak: bool = False
    steady: bool = True
    grip_floor_rad: float = -math.inf


@dataclass(frozen=True, slots=True)
class Applied:
    """The pose to write, the gate's next state, and what limited each joint."""

    state: GateState
    limited_by: tuple[LimitedBy, ...]

    @property
    def goal_rad(self) -> tuple[float, ...]:
        return self.state.applied_rad


def speed_scale(temperature_c: Sequence[float], limits: ArmLimits) -> float:
    """1 while the hottest servo is cool, falling to 0 at the stop temperature.

    A temperature that is not a number is taken for too hot.
    """
    if not all(math.isfinite(celsius) for celsius in temperature_c):
        return 0.0
    hottest_c = max(temperature_c)
    if hottest_c <= limits.derate_from_c:
        return 1.0
    span_c = max(limits.stop_at_c - limits.derate_from_c, 1e-9)
    return max(0.0, 1.0 - (hottest_c - limits.derate_from_c) / span_c)


def apply(
    asked: Asked,
    measured_rad: Sequence[float],
    body: Body,
    last: GateState,
    limits: ArmLimits,
    dt_s: float,
) -> Applied:
    """One tick of the gate for one arm (six joints)."""
    if not body.steady:
        asked = Asked(None, asked.why | LimitedBy.SUPPLY)
    flags = [asked.why] * len(last.applied_rad)
    goal = asked.goal_rad
    if goal is not None and not all(math.isfinite(value) for value in goal):
        flags = [
            LimitedBy.NOTHING if math.isfinite(value) else LimitedBy.NOT_FINITE for value in goal
        ]
        goal = None
    pace = _pace(body, limits)
    if goal is None:
        velocity = _decelerate(last.velocity_rad_s, limits, dt_s)
    else:
        target = _reachable(goal, measured_rad, last, limits, body.grip_floor_rad, flags)
        velocity = _toward(target, last, limits, dt_s, pace, flags)
    for joint, at_ceiling in enumerate(strained(body)):
        if at_ceiling:
            flags[joint] |= LimitedBy.TORQUE
    return _in_workspace(velocity, last, limits, dt_s, flags)


@dataclass(frozen=True, slots=True)
class _Pace:
    """The share of the configured speed in this tick, and what it is owed to."""

    share: float
    why: LimitedBy


def _pace(body: Body, limits: ArmLimits) -> _Pace:
    warm = speed_scale(body.temperature_c, limits)
    start = 0.0 if body.weak or not math.isfinite(body.start) else min(1.0, max(0.0, body.start))
    if start < warm:
        return _Pace(start, LimitedBy.TORQUE if body.weak else LimitedBy.SPEED)
    return _Pace(warm, LimitedBy.TEMPERATURE if warm < 1.0 else LimitedBy.SPEED)


def strained(body: Body) -> tuple[bool, ...]:
    """For each joint whether its duty stands at the torque ceiling: it would push harder if it
    were allowed to, so its goal is not where it can go."""
    return tuple(
        ceiling >= 0
        and abs(load) > 0.0
        and abs(load) >= min(ceiling, FULL_DUTY_PERMILLE) - _AT_CEILING_PERMILLE
        for load, ceiling in zip(body.load_permille, body.ceiling_permille, strict=True)
    )


def _reachable(
    goal: Sequence[float],
    measured: Sequence[float],
    last: GateState,
    limits: ArmLimits,
    grip_floor_rad: float,
    flags: list[LimitedBy],
) -> list[float]:
    """Clamp a finite goal to range, squeeze and lead."""
    target: list[float] = []
    for joint, value in enumerate(goal):
        clamped = min(max(value, limits.minimum_rad[joint]), limits.maximum_rad[joint])
        if clamped != value:
            flags[joint] |= LimitedBy.RANGE
        target.append(clamped)
    if target[GRIPPER] < grip_floor_rad:
        target[GRIPPER] = grip_floor_rad
        flags[GRIPPER] |= LimitedBy.SQUEEZE
    tightest = measured[GRIPPER] - limits.squeeze_rad
    if target[GRIPPER] < tightest:
        # Never opens the hand to honour the bound: it only refuses to close further.
        bounded = min(max(tightest, limits.minimum_rad[GRIPPER]), last.applied_rad[GRIPPER])
        if bounded > target[GRIPPER]:
            target[GRIPPER] = bounded
            flags[GRIPPER] |= LimitedBy.SQUEEZE
    _lead(target, measured, last, limits, flags)
    return target


def _lead(
    target: list[float],
    measured: Sequence[float],
    last: GateState,
    limits: ArmLimits,
    flags: list[LimitedBy],
) -> None:
    """Shorten the way to `target` so that no body joint's goal leads its measured angle by more
    than the step.

    The way keeps its direction, so that a measurement that is a tick old changes how far it goes
    and not where. Where a goal leads by more already (somebody pushes the arm), the whole arm is
    pulled back toward where it is.
    """
    part, pulled = 1.0, False
    for here, there, at in zip(last.applied_rad[:GRIPPER], target, measured, strict=False):
        way, room = abs(there - here), limits.step_rad - (here - at) * (1 if there > here else -1)
        if abs(here - at) > limits.step_rad + 1e-9:
            pulled = True
        elif way > max(0.0, room):
            part = min(part, max(0.0, room) / way)
    origin: Sequence[float] = last.applied_rad
    if pulled:
        origin = measured
        lead = max(abs(t - m) for t, m in zip(target[:GRIPPER], measured[:GRIPPER], strict=True))
        part = min(1.0, limits.step_rad / lead) if lead > 0.0 else 1.0
    if part >= 1.0:
        return
    for joint in range(GRIPPER):
        bounded = origin[joint] + (target[joint] - origin[joint]) * part
        if bounded != target[joint]:
            flags[joint] |= LimitedBy.STEP
        low, high = limits.minimum_rad[joint], limits.maximum_rad[joint]
        target[joint] = min(max(bounded, low), high)


def _decelerate(velocity: Sequence[float], limits: ArmLimits, dt_s: float) -> list[float]:
    """Shrink the velocity by one factor, so that the path keeps its direction while it ends."""
    keep = 0.0
    for speed, acceleration in zip(velocity, limits.acceleration_rad_s2, strict=True):
        if abs(speed) > acceleration * dt_s:
            keep = max(keep, 1.0 - acceleration * dt_s / abs(speed))
    return [speed * keep for speed in velocity]


def _toward(
    target: Sequence[float],
    last: GateState,
    limits: ArmLimits,
    dt_s: float,
    pace: _Pace,
    flags: list[LimitedBy],
) -> list[float]:
    """The velocity toward `target` within speed and acceleration, braking in time for it.

    One factor for all joints keeps the path straight in joint space (clamping each joint alone
    bends it by 10° on a 60/15° move).
    """
    wanted = [(t - a) / dt_s for t, a in zip(target, last.applied_rad, strict=True)]
    factor = 1.0
    held: list[tuple[int, LimitedBy]] = []
    for joint, speed in enumerate(wanted):
        if speed == 0.0:
            continue
        # The fastest speed from which the joint still stops at the target, in steps of dt.
        brake = _BRAKE_SHARE * limits.acceleration_rad_s2[joint]
        half = 0.5 * brake * dt_s
        braking = math.sqrt(half * half + 2.0 * brake * abs(speed) * dt_s) - half
        top = limits.speed_rad_s[joint] * pace.share
        part = min(top, braking)
        if part < abs(speed):
            factor = min(factor, part / abs(speed))
            if top < abs(speed):
                held.append((joint, pace.why if top <= braking else LimitedBy.SPEED))
    for joint, why in held:
        flags[joint] |= why
    aimed = [speed * factor for speed in wanted]
    return _accelerate(aimed, last.velocity_rad_s, limits, dt_s, flags)


def _accelerate(
    aimed: Sequence[float],
    velocity: Sequence[float],
    limits: ArmLimits,
    dt_s: float,
    flags: list[LimitedBy],
) -> list[float]:
    """Bound the change of velocity; along the aimed direction while that is possible."""
    low, high = 0.0, 1.0
    for joint, (aim, now) in enumerate(zip(aimed, velocity, strict=True)):
        reach = limits.acceleration_rad_s2[joint] * dt_s
        if aim == 0.0:
            if abs(now) > reach:
                low, high = 1.0, 0.0
            continue
        ends = sorted(((now - reach) / aim, (now + reach) / aim))
        low, high = max(low, ends[0]), min(high, ends[1])
    if low <= high:
        if high < 1.0:
            _flag_acceleration(aimed, velocity, limits, dt_s, flags)
        return [aim * high for aim in aimed]
    bounded: list[float] = []
    for joint, (aim, now) in enumerate(zip(aimed, velocity, strict=True)):
        reach = limits.acceleration_rad_s2[joint] * dt_s
        bounded.append(min(max(aim, now - reach), now + reach))
    _flag_acceleration(aimed, velocity, limits, dt_s, flags)
    return bounded


def _flag_acceleration(
    aimed: Sequence[float],
    velocity: Sequence[float],
    limits: ArmLimits,
    dt_s: float,
    flags: list[LimitedBy],
) -> None:
    for joint, (aim, now) in enumerate(zip(aimed, velocity, strict=True)):
        if abs(aim - now) > limits.acceleration_rad_s2[joint] * dt_s * 1.001:
            flags[joint] |= LimitedBy.ACCELERATION


def _in_workspace(
    velocity: Sequence[float],
    last: GateState,
    limits: ArmLimits,
    dt_s: float,
    flags: list[LimitedBy],
) -> Applied:
    """Integrate, keep the range, and refuse a pose that goes (further) out of the workspace."""
    pose: list[float] = []
    for joint, (here, speed) in enumerate(zip(last.applied_rad, velocity, strict=True)):
        moved = here + speed * dt_s
        low, high = limits.minimum_rad[joint], limits.maximum_rad[joint]
        # A pose that starts outside its range may come in, but never goes further out.
        pose.append(min(max(moved, min(low, here)), max(high, here)))
    if any(velocity):
        depth = outside_m(points_m(pose), limits.workspace_min_m, limits.workspace_max_m)
        if depth > 0.0:
            before = outside_m(
                points_m(last.applied_rad), limits.workspace_min_m, limits.workspace_max_m
            )
            if depth >= before:
                flags = [flag | LimitedBy.WORKSPACE for flag in flags]
                return Applied(GateState.at_rest(last.applied_rad), tuple(flags))
    moved_by = zip(pose, last.applied_rad, strict=True)
    speeds = tuple((after - before) / dt_s for after, before in moved_by)
    return Applied(GateState(tuple(pose), speeds), tuple(flags))
