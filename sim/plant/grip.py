"""How well the pads hold the block: contact forces turned into one number."""

import mujoco
import numpy as np

from sim.model.scene import ArmIndex, SceneIndex


def grip_margin(
    model: mujoco.MjModel, data: mujoco.MjData, index: SceneIndex, arm: ArmIndex
) -> float:
    """How many times its weight the pads of `arm` could hold of the block by friction; below 1 it slips.

    Both fingers must press on it, else 0 (also where the scene has no block). Normal forces and each contact's own
    friction coefficient are the solver's.
    """
    if index.block_body is None:
        return 0.0
    capacity_n = {True: 0.0, False: 0.0}  # by whether it is the fixed finger
    force = np.zeros(6)
    for number in range(data.ncon):
        contact = data.contact[number]
        pair = {int(contact.geom1), int(contact.geom2)}
        if not pair & index.block_geoms:
            continue
        fixed, moving = bool(pair & arm.fixed_finger_geoms), bool(pair & arm.moving_finger_geoms)
        if fixed or moving:
            mujoco.mj_contactForce(model, data, number, force)
            capacity_n[fixed] += float(contact.friction[0]) * float(force[0])
    if not all(capacity_n.values()):
        return 0.0
    weight_n = float(model.body_mass[index.block_body]) * float(np.linalg.norm(model.opt.gravity))
    return sum(capacity_n.values()) / weight_n
