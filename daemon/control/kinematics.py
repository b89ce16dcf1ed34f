"""Where the arm's points are: forward kinematics small enough for every tick.

The chain is the SO-101 of `so101_new_calib.xml` (SO-ARM100 @fda892c): for each joint the offset and
rotation of its body in its parent's frame; every joint turns about its own z axis. Plain Python on
tuples: one pose of six points takes some 30 microseconds and allocates nothing that stays. A test
holds it against MuJoCo.
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


def _multiply(a: Quaternion, b: Quaternion) -> Quaternion:
    aw, ax, ay, az = a
    bw, bx, by, bz = b
    return (
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    )


def _rotate(q: Quaternion, v: Vector) -> Vector:
    w, x, y, z = q
    tx = 2.0 * (y * v[2] - z * v[1])
    ty = 2.0 * (z * v[0] - x * v[2])
    tz = 2.0 * (x * v[1] - y * v[0])
    return (
        v[0] + w * tx + y * tz - z * ty,
        v[1] + w * ty + z * tx - x * tz,
        v[2] + w * tz + x * ty - y * tx,
    )


def points_m(joints_rad: Sequence[float]) -> tuple[Vector, ...]:
    """The points of `POINT_NAMES` in the base frame, metres, for six joints in the model frame."""
    position: Vector = (0.0, 0.0, 0.0)
    rotation: Quaternion = (1.0, 0.0, 0.0, 0.0)
    frames: list[tuple[Vector, Quaternion]] = []
    for (offset, turn), angle_rad in zip(_BODIES, joints_rad, strict=True):
        step = _rotate(rotation, offset)
        position = (position[0] + step[0], position[1] + step[1], position[2] + step[2])
        half = 0.5 * angle_rad
        spin = (math.cos(half), 0.0, 0.0, math.sin(half))
        rotation = _multiply(_multiply(rotation, turn), spin)
        frames.append((position, rotation))
    found: list[Vector] = []
    for _, body, local in _POINTS:
        base, turn = frames[body]
        reach = _rotate(turn, local)
        found.append((base[0] + reach[0], base[1] + reach[1], base[2] + reach[2]))
    return tuple(found)


def outside_m(points: Sequence[Vector], minimum_m: Vector, maximum_m: Vector) -> float:
    """How far the worst point is outside the box, in metres; 0 when all are inside."""
    worst = 0.0
    for point in points:
        for value, low, high in zip(point, minimum_m, maximum_m, strict=True):
            worst = max(worst, low - value, value - high)
    return worst
