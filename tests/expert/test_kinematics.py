"""The fingers come to where they are asked to, the same way each time."""

import math

import numpy as np
import pytest

from sim.kinematics import PAN_AXIS_X_M, ArmKinematics, Reach


@pytest.fixture(scope="module")
def kinematics() -> ArmKinematics:
    return ArmKinematics()


@pytest.mark.parametrize("radius_m", [0.22, 0.26, 0.30, 0.33])
@pytest.mark.parametrize("azimuth_rad", [-0.9, 0.0, 0.9])
def test_a_reachable_target_is_reached_to_the_millimetre(
    kinematics: ArmKinematics, radius_m: float, azimuth_rad: float
) -> None:
    lean_rad = math.radians(25.0)
    reach = Reach(
        PAN_AXIS_X_M + radius_m * math.cos(azimuth_rad),
        radius_m * math.sin(azimuth_rad),
        0.02,
        lean_rad,
        0.8,
    )
    solution = kinematics.solve(reach)
    assert solution.reached
    position_m, axes = kinematics.tcp(solution.position_rad)
    assert np.linalg.norm(position_m - [reach.x_m, reach.y_m, reach.z_m]) < 1e-3
    assert math.acos(-axes[2, 2]) == pytest.approx(lean_rad, abs=0.03)


def test_the_same_target_gives_the_same_joint_angles(kinematics: ArmKinematics) -> None:
    reach = Reach(0.22, 0.2, 0.05, 0.3, 0.5)
    first = kinematics.solve(reach)
    kinematics.solve(Reach(0.2, -0.2, 0.1, 0.2, -0.3))
    assert kinematics.solve(reach) == first


def test_out_of_reach_is_said_and_the_best_attempt_given(kinematics: ArmKinematics) -> None:
    solution = kinematics.solve(Reach(0.6, 0.0, 0.02, 0.3, 0.0))
    assert not solution.reached
    low_high = kinematics.range_rad
    assert all(
        low - 1e-6 <= angle <= high + 1e-6
        for angle, (low, high) in zip(solution.position_rad, low_high, strict=True)
    )


def test_a_stretched_arm_sags_five_degrees_at_the_lift(kinematics: ArmKinematics) -> None:
    """Servo-and-twin facts 3.3: lift 90, elbow -90 (horizontal) sags 5-6 degrees at P = 16."""
    sag_deg = np.degrees(kinematics.sag_rad([0.0, math.pi / 2, -math.pi / 2, 0.0, 0.0, 0.0]))
    assert 4.5 < sag_deg[1] < 7.5
    assert abs(sag_deg[0]) < 0.2
