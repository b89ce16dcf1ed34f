"""One SO-101 as an MjSpec: upstream kinematics and masses, light meshes to look at, boxes to touch
with.

Upstream collides with its raw CAD meshes, which is slow and grips badly. Here every link collides
as a few boxes read off the meshes; the fingers are flat pads where the real jaws have their
gripping faces. Frames and signs are upstream's (`so101_new_calib.xml`): zero is the middle of every
joint's range except the gripper's.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np

JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
"""Joint names of one arm in bus-id order 1..6; with two arms each gets its arm's prefix."""

PARALLEL_GRIPPER_RAD = 0.2085
"""Gripper angle at which the jaws' tips stand 32 mm apart (the block's width). The inner faces of
the printed jaws are parallel there to within 1 mm."""

TCP_POSITION_M = (0.0081, -0.0002, -0.0981)
"""The tool centre point in the `gripper` body's frame: midway between the fixed tip's face (x =
-7.9 mm) and the moving tip's at PARALLEL_GRIPPER_RAD (x = 24.1 mm), at the height of upstream's
`gripperframe`, 6 mm above the tips. With the TCP at the centre of a lying block the tips are 3 mm
above the table."""

TCP_QUATERNION = (0.0, 1.0, 0.0, 0.0)
"""wxyz. TCP axes: z out of the fingers (approach), x from the fixed to the moving jaw (closing), y
= z cross x."""

STALL_NM = 2.94  # STS3215-C018 at 12 V (servo-and-twin facts 3.1)
NO_LOAD_RAD_S = 45.0 * 2.0 * math.pi / 60.0
POSITION_GAIN_NM_PER_RAD = 7.7  # firmware P = 16 at 12 V (facts 3.3)
DERIVATIVE_GAIN_NM_S = 0.153  # firmware D = 32: D/8 permille of stall per tick of change in 20 ms
BACK_EMF_NM_S = STALL_NM / NO_LOAD_RAD_S


@dataclass(frozen=True, slots=True)
class _Box:
    """An axis-aligned box in its body's frame, by two corners, optionally turned about the body's z
    axis."""

    body: str
    role: str  # "link" | "fixed_finger" | "moving_finger"
    low: tuple[float, float, float]
    high: tuple[float, float, float]
    turn_rad: float = 0.0


_BOXES = (
    _Box("base", "link", (-0.0224, -0.0535, -0.0024), (0.0646, 0.0535, 0.0151)),
    _Box("base", "link", (-0.0310, -0.0224, 0.0151), (0.0530, 0.0252, 0.0671)),
    _Box("shoulder", "link", (-0.0506, -0.0264, -0.0380), (0.0122, 0.0287, 0.0462)),
    _Box("shoulder", "link", (-0.0428, -0.0198, -0.0644), (-0.0180, 0.0198, -0.0380)),
    _Box("upper_arm", "link", (-0.1302, -0.0120, -0.0068), (0.0120, 0.0120, 0.0500)),
    _Box("upper_arm", "link", (-0.1250, -0.0382, -0.0015), (-0.1002, 0.0072, 0.0381)),
    _Box("lower_arm", "link", (-0.1187, -0.0120, -0.0078), (0.0120, 0.0120, 0.0487)),
    _Box("lower_arm", "link", (-0.1451, -0.0100, -0.0048), (-0.0907, 0.0219, 0.0412)),
    _Box("wrist", "link", (-0.0200, -0.0538, -0.0090), (0.0157, 0.0120, 0.0485)),
    # The gripper's body: flange, servo, and the fixed jaw's root.
    _Box("gripper", "link", (-0.0352, -0.0280, -0.0140), (0.0300, 0.0240, 0.0010)),
    _Box("gripper", "link", (-0.0150, -0.0193, -0.0358), (0.0304, 0.0203, -0.0140)),
    _Box("gripper", "link", (-0.0352, -0.0240, -0.0380), (-0.0150, 0.0240, -0.0140)),
    # The fixed jaw's inner face steps back towards its root, as the printed one does.
    _Box("gripper", "fixed_finger", (-0.0352, -0.0130, -0.0500), (-0.0140, 0.0126, -0.0380)),
    _Box("gripper", "fixed_finger", (-0.0300, -0.0088, -0.0740), (-0.0118, 0.0084, -0.0500)),
    _Box("gripper", "fixed_finger", (-0.0230, -0.0075, -0.0905), (-0.0099, 0.0071, -0.0740)),
    _Box("gripper", "fixed_finger", (-0.0165, -0.0060, -0.1044), (-0.0079, 0.0056, -0.0905)),
    _Box("moving_jaw_so101_v1", "link", (-0.0100, -0.0240, -0.0051), (0.0100, 0.0100, 0.0429)),
    _Box("moving_jaw_so101_v1", "link", (-0.0083, -0.0480, 0.0100), (0.0062, -0.0240, 0.0280)),
    # Turned so that its face is parallel to the fixed jaw's when they are a block's width apart.
    _Box(
        "moving_jaw_so101_v1",
        "moving_finger",
        (0.0039, -0.0812, 0.0129),
        (0.0125, -0.0450, 0.0249),
        -PARALLEL_GRIPPER_RAD,
    ),
)

_CONTACT_GROUP = 3  # not drawn unless asked for
_FINGER_CONDIM = 4  # sliding and torsion: a pad is a patch, not a point
_FINGER_TORSION_M = 0.004


def arm_spec(xml: Path, mesh_dir: Path, torque_actuators: bool) -> mujoco.MjSpec:
    """One arm, unprefixed, at the origin: to be attached to a scene.

    `torque_actuators` gives one `motor` per joint (control = torque in N.m, for a servo emulator);
    without it each joint gets the linear part of the servo's law as a position actuator (control =
    goal in rad).
    """
    spec = mujoco.MjSpec.from_file(str(xml))
    spec.meshdir = str(mesh_dir)
    for geom in list(spec.geoms):
        if geom.group == _CONTACT_GROUP:
            spec.delete(geom)
    for mesh in spec.meshes:
        # Thinned meshes need not be watertight; masses are the bodies' own, so the volume is never
        # used.
        mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL
    _paint(spec)
    _add_contact_boxes(spec)
    _replace_actuators(spec, torque_actuators)
    gripper = spec.body("gripper")
    gripper.add_site(
        name="tcp", pos=TCP_POSITION_M, quat=TCP_QUATERNION, size=[0.004, 0.004, 0.004], group=4
    )
    _add_wrist_camera(gripper)
    # base is welded to the world, so MuJoCo's parent filter does not keep it apart from the
    # shoulder.
    spec.add_exclude(bodyname1="base", bodyname2="shoulder")
    return spec


def _paint(spec: mujoco.MjSpec) -> None:
    for material in spec.materials:
        servo = material.name.startswith("sts3215")
        material.rgba = [0.13, 0.13, 0.14, 1.0] if servo else [0.96, 0.66, 0.14, 1.0]
        material.specular = 0.35 if servo else 0.2
        material.shininess = 0.5 if servo else 0.3


def _add_contact_boxes(spec: mujoco.MjSpec) -> None:
    counts: dict[str, int] = {}
    for box in _BOXES:
        low, high = np.array(box.low), np.array(box.high)
        centre = (low + high) / 2.0
        sine, cosine = math.sin(box.turn_rad), math.cos(box.turn_rad)
        centre[:2] = [
            cosine * centre[0] - sine * centre[1],
            sine * centre[0] + cosine * centre[1],
        ]
        kind = f"{box.body}_{box.role}"
        counts[kind] = counts.get(kind, -1) + 1
        geom = spec.body(box.body).add_geom(
            name=f"{box.role}:{box.body}:{counts[kind]}",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=centre,
            quat=[math.cos(box.turn_rad / 2), 0.0, 0.0, math.sin(box.turn_rad / 2)],
            size=(high - low) / 2.0,
            group=_CONTACT_GROUP,
            contype=1,
            conaffinity=1,
            rgba=[0.2, 0.7, 0.9, 0.5],
        )
        if box.role != "link":
            geom.priority = 1  # the pads' friction decides, not the larger of the two
            geom.condim = _FINGER_CONDIM
            geom.friction = [1.0, _FINGER_TORSION_M, 0.0001]  # sliding: `parameters.apply`


def _replace_actuators(spec: mujoco.MjSpec, torque_actuators: bool) -> None:
    for actuator in list(spec.actuators):
        spec.delete(actuator)
    for name in JOINTS:
        actuator = spec.add_actuator(
            name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT, forcelimited=True
        )
        actuator.forcerange = [-STALL_NM, STALL_NM]
        if torque_actuators:
            actuator.set_to_motor()
        else:
            actuator.set_to_position(
                kp=POSITION_GAIN_NM_PER_RAD, kv=DERIVATIVE_GAIN_NM_S + BACK_EMF_NM_S
            )


def _add_wrist_camera(gripper: mujoco.MjsBody) -> None:
    """A UVC module on a stalk at the gripper's side, looking at the TCP past both fingers (fovy 71:
    facts 3.28).

    It stands 10 cm from the TCP: open jaws, what is between them and the table around are in the
    picture, the fixed jaw on the left.
    """
    tilt_rad = -0.56
    gripper.add_camera(
        name="wrist",
        pos=[0.012, 0.062, -0.018],
        quat=[math.cos(tilt_rad / 2), math.sin(tilt_rad / 2), 0.0, 0.0],
        fovy=71.0,
    )
