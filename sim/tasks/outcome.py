"""Did it work, and if not, how did it fail? Pure functions of trajectories.

Success and taxonomy follow a published SO-101 evaluation (policies facts 3.2-3.4), with what it
lacked: a dwell time, an open gripper and a block at rest, since a block that flies past the goal
fooled the original test.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from sim.tasks.spec import TaskSpec

Floats = npt.NDArray[np.float64]


class Outcome(StrEnum):
    """How an episode ended."""

    SUCCESS = "success"
    NEVER_PICKED_UP = "never_picked_up"
    DROPPED_DURING_TRANSPORT = "dropped_during_transport"
    MISSED_GOAL = "missed_goal"
    TIMEOUT = "timeout"


def row_is_success(
    task: TaskSpec,
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
    task: TaskSpec, block_xyz_m: Floats, block_speed_m_s: Floats, gripper_rad: Floats
) -> int | None:
    """The row at which the task had been done for `dwell_rows` rows in a row, or None.

    block_xyz_m: float64 [n, 3]; block_speed_m_s and gripper_rad: float64 [n].
    """
    run = 0
    for row in range(len(block_xyz_m)):
        good = row_is_success(task, block_xyz_m[row], block_speed_m_s[row], gripper_rad[row])
        run = run + 1 if good else 0
        if run >= task.success.dwell_rows:
            return row
    return None


def classify(task: TaskSpec, block_xyz_m: Floats, completed: bool) -> Outcome:
    """How the episode with this block trajectory (float64 [n, 3], world frame) ended.

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
    to_goal_m = np.hypot(block_xyz_m[-1, 0] - task.goal.x_m, block_xyz_m[-1, 1] - task.goal.y_m)
    if to_goal_m < rules.missed_within_m:
        return Outcome.MISSED_GOAL
    return Outcome.DROPPED_DURING_TRANSPORT


@dataclass(frozen=True, slots=True)
class Rates:
    """What a set of episodes came to. Fractions 0..1; `drop` is of those that were lifted."""

    episodes: int
    success: float
    pick: float
    drop: float
    mean_steps: float


def rates(outcomes: Sequence[Outcome], steps: Sequence[int], max_steps: int) -> Rates:
    """Success, pick and drop rates; a failed episode counts `max_steps` in the mean.

    `steps[i]` is the number of steps episode i took. Raises ValueError when there is no episode.
    """
    if not outcomes or len(outcomes) != len(steps):
        raise ValueError("one step count for each of at least one outcome is needed")
    episodes = len(outcomes)
    succeeded = sum(outcome is Outcome.SUCCESS for outcome in outcomes)
    lifted = sum(outcome is not Outcome.NEVER_PICKED_UP for outcome in outcomes)
    dropped = sum(
        outcome in (Outcome.DROPPED_DURING_TRANSPORT, Outcome.MISSED_GOAL) for outcome in outcomes
    )
    counted = (
        taken if outcome is Outcome.SUCCESS else max_steps
        for outcome, taken in zip(outcomes, steps, strict=True)
    )
    return Rates(
        episodes=episodes,
        success=succeeded / episodes,
        pick=lifted / episodes,
        drop=dropped / lifted if lifted else 0.0,
        mean_steps=sum(counted) / episodes,
    )
