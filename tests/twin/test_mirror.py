"""The mirror sees what the joints feel, and nothing where there is nothing to see."""

import math

import numpy as np
import pytest

from robotd.clock import NS_PER_S
from sim.model.scene import ArmPlacement
from sim.twin.apply import TwinBody
from sim.twin.mirror import Mirror

TICK_NS = NS_PER_S // 120
POSE = tuple(math.radians(angle) for angle in (0.0, -20.0, 20.0, 65.0, 0.0, 20.0))


@pytest.fixture(scope="module")
def body() -> TwinBody:
    return TwinBody((ArmPlacement(),))


def test_an_arm_that_sags_as_the_model_does_leaves_no_residual(body: TwinBody) -> None:
    mirror = Mirror(body)
    measured = np.asarray(POSE) + body.sag_rad(POSE)
    for tick in range(240):
        mirror.update(tick * TICK_NS, True, POSE, measured.tolist())
    assert np.abs(mirror.residual_rad).max() < math.radians(0.1)


def test_a_joint_that_is_stuck_shows_as_its_own_residual(body: TwinBody) -> None:
    mirror = Mirror(body)
    stuck = (np.asarray(POSE) + body.sag_rad(POSE)).tolist()
    for tick in range(240):
        goal = (POSE[0] + min(tick / 120, 1.0) * 0.5, *POSE[1:])
        mirror.update(tick * TICK_NS, True, goal, stuck)
    residual_deg = np.degrees(mirror.residual_rad)
    assert residual_deg[0] < -25.0
    assert np.abs(residual_deg[1:]).max() < 1.0


def test_a_disarmed_arm_has_no_residual(body: TwinBody) -> None:
    mirror = Mirror(body)
    mirror.update(0, True, POSE, POSE)
    mirror.update(TICK_NS, False, POSE, (0.0,) * 6)
    assert mirror.state is None
    assert not mirror.residual_rad.any()


def test_after_a_gap_the_mirror_starts_from_what_is_measured(body: TwinBody) -> None:
    """A mirror that went on from a state of seconds ago would see a ghost."""
    mirror = Mirror(body)
    mirror.update(0, True, POSE, (np.asarray(POSE) + body.sag_rad(POSE)).tolist())
    other = (0.8, *POSE[1:])
    mirror.update(3 * NS_PER_S, True, other, (np.asarray(other) + body.sag_rad(other)).tolist())
    assert np.abs(mirror.residual_rad).max() < math.radians(0.1)
