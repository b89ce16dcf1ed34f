"""What a simulation knows about the world and a camera would have to see:
`observation.environment_state`."""

import math

import mujoco
import numpy as np
import numpy.typing as npt

from robotd.layouts import ENVIRONMENT_STATE_SIZE
from sim.model.index import SceneIndex


def environment_state(
    model: mujoco.MjModel, data: mujoco.MjData, index: SceneIndex
) -> npt.NDArray[np.float64]:
    """float64 [7], named by `robotd.layouts.ENVIRONMENT_STATE_NAMES`: block x, y, z in m, cosine
    and sine of twice the block's yaw (a half turn leaves the block as it was), bowl x, y in m;
    world frame.

    Raises ValueError when the scene was built without objects.
    """
    if index.block_qpos is None or index.bowl_body is None:
        raise ValueError("this scene was built without objects")
    at = index.block_qpos
    x_m, y_m, z_m, w, qx, qy, qz = data.qpos[at : at + 7]
    yaw_rad = math.atan2(2.0 * (w * qz + qx * qy), 1.0 - 2.0 * (qy * qy + qz * qz))
    bowl_x_m, bowl_y_m, _ = model.body_pos[index.bowl_body]
    state = np.array(
        [x_m, y_m, z_m, math.cos(2.0 * yaw_rad), math.sin(2.0 * yaw_rad), bowl_x_m, bowl_y_m]
    )
    assert state.shape == (ENVIRONMENT_STATE_SIZE,)
    return state


def block_speed_m_s(data: mujoco.MjData, index: SceneIndex) -> float:
    """Magnitude of the block's linear velocity. Raises ValueError when there is no block."""
    if index.block_dof is None:
        raise ValueError("this scene was built without objects")
    return float(np.linalg.norm(data.qvel[index.block_dof : index.block_dof + 3]))
