"""Did it work, and if not, how did it fail? Pure functions of trajectories.

Success and taxonomy of a pick and place follow a published SO-101 evaluation (policies facts 3.2-3.4), with what it
lacked: a dwell time, an open gripper and a block at rest, since a block that flies past the goal
fooled the original test. Pushes and drawers have a taxonomy of the same make: never begun, begun and lost, nearly
there, out of time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from sim.tasks.spec import DrawerTask, PlaceTask, PushTask, TaskSpec

Floats = npt.NDArray[np.float64]


class Outcome(StrEnum):
    """How an episode ended."""

    SUCCESS = "success"
    NEVER_PICKED_UP = "never_picked_up"  # place
    DROPPED_DURING_TRANSPORT = "dropped_during_transport"  # place
    MISSED_GOAL = "missed_goal"  # place, push: it lies close to where it is wanted
    NEVER_MOVED = "never_moved"  # push, drawer
    PUSHED_ASTRAY = "pushed_astray"  # push: it lies elsewhere
    SHUT_AGAIN = "shut_again"  # drawer: it had been open far enough
    PARTLY_OPEN = "partly_open"  # drawer
    TIMEOUT = "timeout"


UNTOUCHED = (Outcome.NEVER_PICKED_UP, Outcome.NEVER_MOVED)
LOST = (
    Outcome.DROPPED_DURING_TRANSPORT,
    Outcome.MISSED_GOAL,
    Outcome.PUSHED_ASTRAY,
    Outcome.SHUT_AGAIN,
)


def outcomes_of(task: TaskSpec) -> tuple[Outcome, ...]:
    """How an episode of this task can end: success first, then the failures as a person is asked
    for them."""
    match task:
        case PlaceTask():
            failures: tuple[Outcome, ...] = (
                Outcome.NEVER_PICKED_UP,
                Outcome.DROPPED_DURING_TRANSPORT,
                Outcome.MISSED_GOAL,
            )
        case PushTask():
            failures = (Outcome.NEVER_MOVED, Outcome.PUSHED_ASTRAY, Outcome.MISSED_GOAL)
        case DrawerTask():
            failures = (Outcome.NEVER_MOVED, Outcome.PARTLY_OPEN, Outcome.SHUT_AGAIN)
    return (Outcome.SUCCESS, *failures, Outcome.TIMEOUT)


@dataclass(frozen=True, slots=True)
class Trail:
    """What a judge saw of one episode, a row each.

    object_xyz_m: float64 [n, 3], the block's centre or the handle's, world frame; speed_m_s [n]: the magnitude of its
    velocity; gripper_rad [n]: the model angle of the gripper joint; opened_m [n]: how far the drawer is open, zeros
    where there is none.
    """

    object_xyz_m: Floats
    speed_m_s: Floats
    gripper_rad: Floats
    opened_m: Floats

    def __len__(self) -> int:
        return len(self.object_xyz_m)


def done_at(task: TaskSpec, trail: Trail) -> int | None:
    """The row at which the task had been done for `dwell_rows` rows in a row, or None."""
    if not isinstance(task, DrawerTask):
        return completed_at(task, trail.object_xyz_m, trail.speed_m_s, trail.gripper_rad)
    limits = task.success
    good = (
        (trail.opened_m >= task.open_m)
        & (trail.speed_m_s < limits.max_speed_m_s)
        & (trail.gripper_rad >= limits.gripper_open_rad)
    )
    return _dwelt(good.tolist(), limits.dwell_rows)


def outcome_of(task: TaskSpec, trail: Trail) -> Outcome:
    """How the episode ended."""
    completed = done_at(task, trail) is not None
    match task:
        case PlaceTask():
            return classify(task, trail.object_xyz_m, completed)
        case PushTask():
            return _pushed(task, trail.object_xyz_m, completed)
        case DrawerTask():
            return _opened(task, trail.opened_m, completed)


def row_is_success(
    task: PlaceTask | PushTask,
    block_xyz_m: Sequence[float] | Floats,
    block_speed_m_s: float,
    gripper_rad: float,
) -> bool:
    """Whether one row meets every condition but the dwell time.

    block_xyz_m: the block's centre, world frame. block_speed_m_s: the magnitude of its linear
    velocity.
    gripper_rad: the model angle of the gripper joint. A non-finite value is never a success.
    """
    limits = task.success
    x_m, y_m, z_m = block_xyz_m
    return bool(
        abs(x_m - task.goal.x_m) < limits.half_width_m
        and abs(y_m - task.goal.y_m) < limits.half_width_m
        and z_m < limits.max_height_m
        and block_speed_m_s < limits.max_speed_m_s
        and gripper_rad >= limits.gripper_open_rad
    )


def completed_at(
    task: PlaceTask | PushTask, block_xyz_m: Floats, block_speed_m_s: Floats, gripper_rad: Floats
) -> int | None:
    """The row at which the task had been done for `dwell_rows` rows in a row, or None.

    block_xyz_m: float64 [n, 3]; block_speed_m_s and gripper_rad: float64 [n].
    """
    rows = range(len(block_xyz_m))
    good = [row_is_success(task, block_xyz_m[r], block_speed_m_s[r], gripper_rad[r]) for r in rows]
    return _dwelt(good, task.success.dwell_rows)


def _dwelt(good: Sequence[bool], rows: int) -> int | None:
    run = 0
    for row, each in enumerate(good):
        run = run + 1 if each else 0
        if run >= rows:
            return row
    return None


def classify(task: PlaceTask, block_xyz_m: Floats, completed: bool) -> Outcome:
    """How the pick and place with this block trajectory (float64 [n, 3], world frame) ended.

    `completed` comes from `completed_at`. Thresholds are strict, as in the evaluation they come
    from.
    """
    if completed:
        return Outcome.SUCCESS
    if len(block_xyz_m) == 0:
        return Outcome.TIMEOUT
    rules = task.failure
    height_m = block_xyz_m[:, 2]
    if not height_m.max() > rules.lifted_above_m:
        return Outcome.NEVER_PICKED_UP
    peak = int(height_m.argmax())
    dropped = height_m[-1] < rules.dropped_below_m and peak < len(height_m) - rules.peak_margin_rows
    if not dropped:
        return Outcome.TIMEOUT
    if _to_goal_m(task, block_xyz_m[-1]) < rules.missed_within_m:
        return Outcome.MISSED_GOAL
    return Outcome.DROPPED_DURING_TRANSPORT


def _pushed(task: PushTask, block_xyz_m: Floats, completed: bool) -> Outcome:
    """A block that came to lie on the mat too late for its dwell is out of time."""
    if completed:
        return Outcome.SUCCESS
    if len(block_xyz_m) == 0:
        return Outcome.TIMEOUT
    rules = task.failure
    moved_m = np.linalg.norm(block_xyz_m - block_xyz_m[0], axis=1)
    if not moved_m.max() > rules.moved_beyond_m:
        return Outcome.NEVER_MOVED
    away = np.abs(block_xyz_m[-1, :2] - (task.goal.x_m, task.goal.y_m))
    if away.max() < task.success.half_width_m:
        return Outcome.TIMEOUT
    if _to_goal_m(task, block_xyz_m[-1]) < rules.missed_within_m:
        return Outcome.MISSED_GOAL
    return Outcome.PUSHED_ASTRAY


def _opened(task: DrawerTask, opened_m: Floats, completed: bool) -> Outcome:
    """An open drawer that is still held, or was open too late for its dwell, is out of time."""
    if completed:
        return Outcome.SUCCESS
    if len(opened_m) == 0:
        return Outcome.TIMEOUT
    if not opened_m.max() > task.failure.moved_beyond_m:
        return Outcome.NEVER_MOVED
    if opened_m[-1] >= task.open_m:
        return Outcome.TIMEOUT
    return Outcome.SHUT_AGAIN if opened_m.max() >= task.open_m else Outcome.PARTLY_OPEN


def _to_goal_m(task: TaskSpec, xyz_m: Floats) -> float:
    return float(np.hypot(xyz_m[0] - task.goal.x_m, xyz_m[1] - task.goal.y_m))


@dataclass(frozen=True, slots=True)
class Rates:
    """What a set of episodes came to. Fractions 0..1; `pick` is of those in which the object was
    picked up (moved, where it is not to be lifted), `drop` those of them in which it was lost; None
    where nobody looked."""

    episodes: int
    success: float
    pick: float | None
    drop: float | None
    mean_steps: float


def rates(
    outcomes: Sequence[Outcome], steps: Sequence[int], max_steps: int, *, looked: bool = True
) -> Rates:
    """Success, pick and drop rates; a failed episode counts `max_steps` in the mean.

    `steps[i]` is the number of steps episode i took. Not `looked`: the judge knows success and
    failure alone, so that nothing is known of picks and drops. Raises ValueError when there is no
    episode.
    """
    if not outcomes or len(outcomes) != len(steps):
        raise ValueError("one step count for each of at least one outcome is needed")
    episodes = len(outcomes)
    succeeded = sum(outcome is Outcome.SUCCESS for outcome in outcomes)
    lifted = sum(outcome not in UNTOUCHED for outcome in outcomes)
    lost = sum(outcome in LOST for outcome in outcomes)
    counted = (
        taken if outcome is Outcome.SUCCESS else max_steps
        for outcome, taken in zip(outcomes, steps, strict=True)
    )
    return Rates(
        episodes=episodes,
        success=succeeded / episodes,
        pick=lifted / episodes if looked else None,
        drop=(lost / lifted if lifted else 0.0) if looked else None,
        mean_steps=sum(counted) / episodes,
    )
