"""The expert as a state machine: what goes in decides what comes out."""

import itertools
import math

import pytest

from sim.expert import HELD_ABOVE_RAD, HOME_RAD, MAX_ATTEMPTS, Phase, Scene, ScriptedExpert, Step
from sim.kinematics import ArmKinematics

GOALS_HZ = 30
BOWL_M = (0.217, -0.225)


@pytest.fixture(scope="module")
def kinematics() -> ArmKinematics:
    return ArmKinematics()


class PerfectArm:
    """An arm that stands where the expert wants it: its goal less the sag the expert counts on. Jaws stop at
    `block_rad` when they close on something."""

    def __init__(self, kinematics: ArmKinematics, holds: bool) -> None:
        self.kinematics = kinematics
        self.holds = holds
        self.goal = tuple(HOME_RAD)
        self.measured = tuple(HOME_RAD)

    def follow(self, goal_rad: tuple[float, ...], phase: Phase) -> None:
        self.goal = goal_rad
        body = [
            g + s for g, s in zip(goal_rad, self.kinematics.sag_rad(self.measured), strict=True)
        ]
        gripper = goal_rad[5]
        if self.holds and phase in (Phase.CLOSE, Phase.LIFT, Phase.CARRY, Phase.LOWER):
            gripper = max(gripper, 0.21)
        self.measured = (*body[:5], gripper)


def play(kinematics: ArmKinematics, holds: bool, limit_s: float = 60.0) -> list[Step]:
    arm = PerfectArm(kinematics, holds)
    expert = ScriptedExpert(kinematics)
    steps: list[Step] = []
    block = (0.217, 0.225, 0.0096)
    for count in range(int(limit_s * GOALS_HZ)):
        scene = Scene(block, 0.2, BOWL_M)
        step = expert.step(count / GOALS_HZ, arm.measured, arm.goal, scene)
        steps.append(step)
        if step.done:
            break
        arm.follow(step.goal_rad, step.phase)
        if holds and step.phase in (Phase.LIFT, Phase.CARRY):
            block = (block[0], block[1], 0.08)
    return steps


def test_a_good_grasp_goes_through_every_phase_once(kinematics: ArmKinematics) -> None:
    steps = play(kinematics, holds=True)
    phases = list(dict.fromkeys(step.phase for step in steps))
    assert phases == [
        Phase.APPROACH,
        Phase.DESCEND,
        Phase.CLOSE,
        Phase.LIFT,
        Phase.CARRY,
        Phase.LOWER,
        Phase.OPEN,
        Phase.RETREAT,
        Phase.HOME,
        Phase.DONE,
    ]
    assert steps[-1].done
    assert not steps[-1].gave_up
    assert steps[-1].attempt == 1


def test_an_empty_hand_is_noticed_and_tried_again_but_not_for_ever(
    kinematics: ArmKinematics,
) -> None:
    steps = play(kinematics, holds=False)
    assert steps[-1].done
    assert steps[-1].gave_up
    assert steps[-1].attempt == MAX_ATTEMPTS
    assert Phase.CARRY not in {step.phase for step in steps}
    assert HELD_ABOVE_RAD > 0.0


def test_the_same_inputs_give_the_same_motion(kinematics: ArmKinematics) -> None:
    assert play(kinematics, holds=True) == play(kinematics, holds=True)


def test_no_joint_is_asked_to_move_faster_than_ninety_degrees_a_second(
    kinematics: ArmKinematics,
) -> None:
    steps = play(kinematics, holds=True)
    for before, after in itertools.pairwise(steps):
        if after.done:
            break
        for a, b in zip(before.goal_rad[:5], after.goal_rad[:5], strict=True):
            assert abs(b - a) * GOALS_HZ < math.radians(90.0)


def test_a_block_turned_by_half_a_turn_is_the_same_block(kinematics: ArmKinematics) -> None:
    expert_a, expert_b = ScriptedExpert(kinematics), ScriptedExpert(kinematics)
    for count in range(90):
        now_s = count / GOALS_HZ
        a = expert_a.step(now_s, HOME_RAD, HOME_RAD, Scene((0.217, 0.225, 0.0096), 0.3, BOWL_M))
        b = expert_b.step(
            now_s, HOME_RAD, HOME_RAD, Scene((0.217, 0.225, 0.0096), 0.3 - math.pi, BOWL_M)
        )
        assert a.goal_rad == pytest.approx(b.goal_rad, abs=1e-9)


def test_a_sagging_arm_is_corrected_upwards(kinematics: ArmKinematics) -> None:
    """An arm that hangs 3 degrees below its goal at the lift gets a goal that rises above the wanted pose."""
    expert = ScriptedExpert(kinematics)
    scene = Scene((0.217, 0.225, 0.0096), 0.0, BOWL_M)
    goal = tuple(HOME_RAD)
    goals = []
    for count in range(4 * GOALS_HZ):
        sagging = (goal[0], goal[1] + math.radians(3.0), *goal[2:])
        step = expert.step(count / GOALS_HZ, sagging, goal, scene)
        goal = step.goal_rad
        goals.append(goal[1])
    free = ScriptedExpert(kinematics)
    goal = tuple(HOME_RAD)
    for count in range(4 * GOALS_HZ):
        step = free.step(count / GOALS_HZ, goal, goal, scene)
        goal = step.goal_rad
    assert goals[-1] < goal[1] - math.radians(1.0)
