"""Poses of the fingers as joints, by the arm's own model."""

import mujoco
import numpy as np

from learning.inverse import ArmInverse
from sim.expert import HOME_RAD
from sim.kinematics import ArmKinematics


def test_a_pose_that_the_arm_has_is_found_again() -> None:
    arm, inverse = ArmKinematics(), ArmInverse()
    random = np.random.default_rng(3)
    for _ in range(4):
        joints = np.array(HOME_RAD) + random.uniform(-0.25, 0.25, 6)
        place, axes = arm.tcp(joints.tolist())
        quaternion = np.empty(4)
        mujoco.mju_mat2Quat(quaternion, axes.reshape(-1))
        found = inverse(place, quaternion, np.array(HOME_RAD))
        assert found.reached, found
        again, turned = arm.tcp(found.position_rad)
        np.testing.assert_allclose(again, place, atol=3e-3)
        assert float(turned[:, 2] @ axes[:, 2]) > 0.99
        assert float(turned[:, 0] @ axes[:, 0]) > 0.99


def test_what_is_out_of_reach_is_tried_and_said() -> None:
    found = ArmInverse()((0.9, 0.0, 0.1), (1.0, 0.0, 0.0, 0.0), np.array(HOME_RAD))
    assert not found.reached
    assert found.error_m > 0.3
    assert np.isfinite(found.position_rad).all()
