"""Where the arm's points are: forward kinematics small enough for every tick.

The chain is the SO-101 of `so101_new_calib.xml` (SO-ARM100 @fda892c): for each joint the offset and
rotation of its body in its parent's frame; every joint turns about its own z axis. Plain Python on
numbers, spelt out: one pose is worked out in every tick, and calls would be half of it. Allocates
nothing that stays. A test holds it against MuJoCo.
"""

import math
from collections.abc import Sequence

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]

# (position in the parent's frame, rotation w x y z), shoulder_pan to gripper.
_BODIES: tuple[tuple[Vector, Quaternion], ...] = (
    ((0.0388353, 0.0, 0.0624), (0.0, 0.0, -1.0, 0.0)),
    ((-0.0303992, -0.0182778, -0.0542), (0.5, -0.5, -0.5, -0.5)),
    ((-0.11257, -0.028, 0.0), (0.7071068, 0.0, 0.0, 0.7071068)),
    ((-0.1349, 0.0052, 0.0), (0.7071068, 0.0, 0.0, -0.7071068)),
    ((0.0, -0.0611, 0.0181), (0.0172091, -0.0172091, 0.7068973, 0.7068973)),
    ((0.0202, 0.0188, -0.0234), (0.7071068, 0.7071068, 0.0, 0.0)),
)
# Joint ranges of the same file: what the printed parts allow.
MODEL_MINIMUM_RAD = (-1.91986, -1.74533, -1.69, -1.65806, -2.74385, -0.17453)
MODEL_MAXIMUM_RAD = (1.91986, 1.74533, 1.69, 1.65806, 2.84121, 1.74533)
# Points that are kept off the table and inside the cell: (body index, position in its frame).
_POINTS: tuple[tuple[str, int, Vector], ...] = (
    ("elbow", 2, (0.0, 0.0, 0.0)),
    ("wrist", 3, (0.0, 0.0, 0.0)),
    ("gripper", 4, (0.0, 0.0, -0.02)),
    ("fixed jaw tip", 4, (-0.0079, -0.0002, -0.0981)),
    ("moving jaw tip", 5, (-0.001, -0.0755, 0.019)),
)
POINT_NAMES = tuple(name for name, _, _ in _POINTS)
FINGERTIPS = ("fixed jaw tip", "moving jaw tip")


def points_m(joints_rad: Sequence[float]) -> tuple[Vector, ...]:
    """The points of `POINT_NAMES` in the base frame, metres, for six joints in the model frame."""
    px = py = pz = 0.0
    rw, rx, ry, rz = 1.0, 0.0, 0.0, 0.0
    frames: list[tuple[float, ...]] = []
    for ((ox, oy, oz), (tw, tx, ty, tz)), angle_rad in zip(_BODIES, joints_rad, strict=True):
        # The offset in the parent's rotation.
        ux = 2.0 * (ry * oz - rz * oy)
        uy = 2.0 * (rz * ox - rx * oz)
        uz = 2.0 * (rx * oy - ry * ox)
        px += ox + rw * ux + ry * uz - rz * uy
        py += oy + rw * uy + rz * ux - rx * uz
        pz += oz + rw * uz + rx * uy - ry * ux
        # The body's own rotation, then the joint's about z.
        qw = rw * tw - rx * tx - ry * ty - rz * tz
        qx = rw * tx + rx * tw + ry * tz - rz * ty
        qy = rw * ty - rx * tz + ry * tw + rz * tx
        qz = rw * tz + rx * ty - ry * tx + rz * tw
        half = 0.5 * angle_rad
        c, s = math.cos(half), math.sin(half)
        rw, rx, ry, rz = qw * c - qz * s, qx * c + qy * s, qy * c - qx * s, qw * s + qz * c
        frames.append((px, py, pz, rw, rx, ry, rz))
    found: list[Vector] = []
    for _, body, (lx, ly, lz) in _POINTS:
        bx, by, bz, w, x, y, z = frames[body]
        ux = 2.0 * (y * lz - z * ly)
        uy = 2.0 * (z * lx - x * lz)
        uz = 2.0 * (x * ly - y * lx)
        found.append(
            (
                bx + (lx + w * ux + y * uz - z * uy),
                by + (ly + w * uy + z * ux - x * uz),
                bz + (lz + w * uz + x * uy - y * ux),
            )
        )
    return tuple(found)


def outside_m(points: Sequence[Vector], minimum_m: Vector, maximum_m: Vector) -> float:
    """How far the worst point is outside the box, in metres; 0 when all are inside."""
    (x0, y0, z0), (x1, y1, z1) = minimum_m, maximum_m
    return max(max(0.0, x0 - x, x - x1, y0 - y, y - y1, z0 - z, z - z1) for x, y, z in points)
