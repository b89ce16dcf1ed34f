"""A plan executed by the twin, tick by tick: where each joint will be at each tick of control.

The same three calls that the mirror makes for every tick of the arm (`Trajectory.evaluate` for the goal,
`TwinBody.follow` and `TwinBody.where`), with the same steps: what is drawn of a plan before it is followed is, to the
last bit, what the twin does when it follows it. `sim.twin.path` is the faster estimate that the pre-flight judges by.
"""

from dataclasses import dataclass

import numpy as np

from robotd.clock import NS_PER_S
from robotd.trajectory import Trajectory
from sim.twin.apply import FollowState, TwinBody, Vector


@dataclass(frozen=True, slots=True)
class Rolled:
    """Where the arm is expected: `times_ns` [N], `positions_rad` [N, n], and of each arm's fingertips `tips_m`
    [arms, N, 3] in the world frame."""

    times_ns: tuple[int, ...]
    positions_rad: Vector
    tips_m: Vector


def roll(
    body: TwinBody,
    plan: Trajectory,
    state: FollowState,
    from_ns: int,
    until_ns: int,
    tick_ns: int,
) -> Rolled:
    """Execute `plan` from `from_ns`, when the arm is at `state`, to `until_ns`, in steps of `tick_ns`.

    Past the plan's end its last goal is held, as control holds it; before its beginning, its first. The first
    position is that of `state` itself.
    """
    times = list(range(from_ns, max(from_ns, until_ns) + 1, tick_ns))
    poses, tips = [], []
    for number, at_ns in enumerate(times):
        if number:
            goal = plan.evaluate(min(max(at_ns, plan.start_ns), plan.end_ns))
            if goal is not None:
                state = body.follow(state, goal, tick_ns / NS_PER_S)
        poses.append(body.where(state).copy())
        tips.append(fingertips_m(body))
    return Rolled(tuple(times), np.array(poses), np.array(tips).swapaxes(0, 1))


def fingertips_m(body: TwinBody) -> Vector:
    """Where each arm's fingertips are [arms, 3], world frame, in the pose the model stands in."""
    return np.array([body.data.site_xpos[arm.tcp_site] for arm in body.index.arms])


def swept_m(body: TwinBody, positions_rad: Vector) -> Vector:
    """Where the fingertips are in each of the poses [N, n]: [arms, N, 3], without sag or lag."""
    found = []
    for pose in positions_rad:
        body.place(pose)
        found.append(fingertips_m(body))
    return np.array(found).swapaxes(0, 1)
