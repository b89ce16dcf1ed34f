"""Chunks that must never move an arm, made from good ones by the mistakes that make them.

Contact classes are proposed here and decided by the plant (`bench.chunk_truth`): a joint read with a wrong zero or a
wrong sign, two joints exchanged, motions too large, a table or bowl that is not where the policy saw it, a policy far
out of its distribution. The other classes are bad by construction: a wrong rate or a spike, wrong units, numbers that
are none, a plan that is old or of another pose. Everything is drawn from a seed.
"""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bench.good_chunks import GoodChunk

Vector = npt.NDArray[np.float64]

CONTACT_CLASSES = ("table", "self", "bowl")
NUMBER_CLASSES = ("over_speed", "range", "nan", "stale")

PRESSES = {"table": ("table", "fingers"), "self": ("self",), "bowl": ("bowl",)}
"""What the chunks of a contact class press on, in the words of `bench.chunk_truth`."""

LOW_RAD = np.array([-1.91986, -1.74533, -1.69, -1.65806, -2.74385, -0.17453])
HIGH_RAD = np.array([1.91986, 1.74533, 1.69, 1.65806, 2.84121, 1.74533])
"""The SO-101's joint ranges, model frame."""

GATE_RAD_S = np.radians([120.0, 120.0, 120.0, 180.0, 180.0, 180.0])
"""Contact classes stay below the gate's speeds: what is too fast has a class of its own."""

OVER_SPEED_RAD_S = math.radians(280.0)  # a servo without load turns at 270
BEYOND_RAD = math.radians(20.0)
JUMP_RAD = math.radians(50.0)
OLD_S = (2.1, 60.0)
BODY = 5  # joints before the gripper


@dataclass(frozen=True, slots=True)
class BadChunk:
    """A chunk, how it was spoilt, and what its record says of its origin.

    `handover` is how many hand-overs ago it was made; `from_before`: its observation is older than the hand-over.
    """

    chunk: GoodChunk
    how: str
    handover: int = 0
    from_before: bool = False


def contact_candidates(pool: list[GoodChunk], kind: str, seed: int) -> Iterator[BadChunk]:
    """Endless chunks that may press on something of class `kind`; whether they do, the plant decides."""
    draw = random.Random(f"bad-{kind}-{seed}")
    makers: tuple[tuple[Callable[[Vector, random.Random], Vector], str], ...] = (
        (_wrong_zero, "a joint's zero is wrong"),
        (_wrong_sign, "a joint's sign is wrong"),
        (_exchanged, "two joints are exchanged"),
        (_too_large, "motions too large"),
        (_astray, "a policy out of its distribution"),
    )
    if kind in ("table", "bowl"):
        makers += ((_lowered, "everything is lower than it was seen"),) * (
            3 if kind == "bowl" else 1
        )
    if kind == "self":
        makers += ((_folded, "folded too far"),) * 6
    while True:
        chunk = draw.choice(pool)
        if kind == "bowl" and not _near_bowl(chunk):
            continue
        make, how = draw.choice(makers)
        goals = np.clip(make(chunk.goals_rad, draw), LOW_RAD, HIGH_RAD)
        speed = np.abs(np.diff(goals, axis=0)) / chunk.step_s
        if (speed > GATE_RAD_S).any() or np.abs(goals[0] - chunk.applied_rad[-1]).max() > 0.2:
            continue
        yield BadChunk(replace(chunk, goals_rad=goals, start_s=0.0), how)


def numbers(pool: list[GoodChunk], kind: str, seed: int) -> Iterator[BadChunk]:
    """Endless chunks of a class of `NUMBER_CLASSES`."""
    draw = random.Random(f"bad-{kind}-{seed}")
    make = {"over_speed": _over_speed, "range": _range, "nan": _nan, "stale": _stale}[kind]
    while True:
        bad = make(draw.choice(pool), draw, pool)
        if bad is not None:
            yield bad


# --- shapes ---------------------------------------------------------------------------------------


def _ramp(count: int, draw: random.Random) -> Vector:
    """0 to 1 over a stretch of the chunk, smooth, [N, 1]."""
    onset = draw.uniform(0.0, 0.4) * count
    rise = draw.uniform(0.25, 0.6) * count
    part = np.clip((np.arange(count) - onset) / rise, 0.0, 1.0)
    ramp: Vector = (part * part * (3.0 - 2.0 * part))[:, None]
    return ramp


def _wrong_zero(goals: Vector, draw: random.Random) -> Vector:
    offset = np.zeros(6)
    for joint in draw.sample(range(BODY), draw.choice((1, 1, 2, 3))):
        offset[joint] = draw.choice((-1, 1)) * draw.uniform(0.15, 1.1)
    out: Vector = goals + _ramp(len(goals), draw) * offset
    return out


def _wrong_sign(goals: Vector, draw: random.Random) -> Vector:
    out = goals.copy()
    for joint in draw.sample(range(BODY), draw.choice((1, 2))):
        out[:, joint] = 2.0 * goals[0, joint] - goals[:, joint]
    return out


def _exchanged(goals: Vector, draw: random.Random) -> Vector:
    out = goals.copy()
    one, other = draw.sample(range(BODY), 2)
    out[:, one] = goals[0, one] + goals[:, other] - goals[0, other]
    out[:, other] = goals[0, other] + goals[:, one] - goals[0, one]
    return out


def _too_large(goals: Vector, draw: random.Random) -> Vector:
    scale = np.ones(6)
    scale[:BODY] = draw.uniform(1.3, 3.0)
    out: Vector = goals[0] + (goals - goals[0]) * scale
    return out


def _astray(goals: Vector, draw: random.Random) -> Vector:
    there = np.array([draw.uniform(a, b) for a, b in zip(LOW_RAD, HIGH_RAD, strict=True)])
    return goals + _ramp(len(goals), draw) * (there - goals)


def _lowered(goals: Vector, draw: random.Random) -> Vector:
    """Lift forward and elbow and wrist in proportion: the hand goes down, its lean nearly kept."""
    lift = draw.uniform(0.1, 0.7)
    elbow = draw.uniform(-0.5, 0.6) * lift
    offset = np.array([draw.uniform(-0.25, 0.25), lift, elbow, -(lift + elbow), 0.0, 0.0])
    out: Vector = goals + _ramp(len(goals), draw) * offset
    return out


def _folded(goals: Vector, draw: random.Random) -> Vector:
    """The hand drawn in and tucked under."""
    there = goals.copy()
    there[:, 1] = draw.uniform(-1.74, -0.6)
    there[:, 2] = draw.uniform(0.9, 1.69)
    there[:, 3] = draw.uniform(0.6, 1.65)
    there[:, 4] = draw.uniform(-2.0, 2.0)
    return goals + _ramp(len(goals), draw) * (there - goals)


def _near_bowl(chunk: GoodChunk) -> bool:
    """Whether the chunk goes to the side on which the bowl stands."""
    return bool(chunk.goals_rad[:, 0].max() > 0.6)


# --- bad by construction --------------------------------------------------------------------------


def _over_speed(chunk: GoodChunk, draw: random.Random, _pool: list[GoodChunk]) -> BadChunk | None:
    goals = chunk.goals_rad.copy()
    if draw.random() < 0.4:
        step_s = chunk.step_s / draw.uniform(4.0, 30.0)
        bad = BadChunk(replace(chunk, step_s=step_s, start_s=0.0), "played at another rate")
    elif draw.random() < 0.5:
        at, joint = draw.randrange(1, len(goals)), draw.randrange(BODY)
        goals[at, joint] += draw.choice((-1, 1)) * draw.uniform(0.16, 1.0)
        bad = BadChunk(replace(chunk, goals_rad=goals), "one action is far off")
    else:
        at, joint = draw.randrange(1, len(goals)), draw.randrange(BODY)
        goals[at:, joint] += draw.choice((-1, 1)) * draw.uniform(0.16, 0.7)
        bad = BadChunk(replace(chunk, goals_rad=goals), "a jump within the chunk")
    changed = bad.chunk.goals_rad
    inside = ((changed >= LOW_RAD) & (changed <= HIGH_RAD)).all()
    first = max(0, math.floor(-bad.chunk.start_s / bad.chunk.step_s))  # what is past moves nothing
    speed = np.abs(np.diff(changed[first:, :BODY], axis=0)) / bad.chunk.step_s
    return bad if inside and (speed > OVER_SPEED_RAD_S).any() else None


def _range(chunk: GoodChunk, draw: random.Random, _pool: list[GoodChunk]) -> BadChunk | None:
    goals = chunk.goals_rad.copy()
    how = draw.choice(("degrees taken for radians", "an offset of a whole joint", "other units"))
    first = max(0, math.floor(-chunk.start_s / chunk.step_s))
    if how == "degrees taken for radians":
        goals = np.degrees(goals)
    elif how == "other units":
        goals[:, :BODY] *= draw.uniform(1.8, 4.0)
    else:
        joint = draw.randrange(BODY)
        edge = draw.choice((LOW_RAD[joint] - BEYOND_RAD, HIGH_RAD[joint] + BEYOND_RAD))
        beyond = draw.uniform(0.0, math.pi) * math.copysign(1.0, edge)
        goals[draw.randrange(first, len(goals)) :, joint] = edge + beyond
    left = goals[first:]
    over = np.maximum(LOW_RAD - left, left - HIGH_RAD).max()
    return BadChunk(replace(chunk, goals_rad=goals), how) if over >= BEYOND_RAD else None


def _nan(chunk: GoodChunk, draw: random.Random, _pool: list[GoodChunk]) -> BadChunk | None:
    goals = chunk.goals_rad.copy()
    value = draw.choice((math.nan, math.inf, -math.inf, float("1e400")))
    for _ in range(draw.choice((1, 1, 1, 5, 60))):
        goals[draw.randrange(len(goals)), draw.randrange(6)] = value
    return BadChunk(replace(chunk, goals_rad=goals), f"{value} in it")


def _stale(chunk: GoodChunk, draw: random.Random, pool: list[GoodChunk]) -> BadChunk | None:
    how = draw.choice(("an old observation", "an earlier hand-over", "another pose"))
    if how == "an old observation":
        return BadChunk(replace(chunk, observed_s=-draw.uniform(*OLD_S)), how)
    if how == "an earlier hand-over":
        return BadChunk(chunk, how, handover=draw.randrange(0, 4), from_before=True)
    other = draw.choice(pool)
    far = np.abs(other.goals_rad[0] - chunk.applied_rad[-1])[:BODY].max()
    if far < JUMP_RAD:
        return None
    return BadChunk(
        replace(
            chunk,
            goals_rad=other.goals_rad,
            start_s=0.0,
            step_s=other.step_s,
        ),
        how,
    )
