"""A small cabinet with one drawer: stands on the table by its weight, opens by a bar that two fingers fit around.

In its own frame the cabinet's underside is at the origin and its front looks along -x. It stands on a free joint
(`cabinet`), so that an episode can put it elsewhere and a hand that pulls askew shoves it; the drawer slides on
`drawer`, positive is open.
"""

import math

import mujoco

HANDLE_START_M = (0.2298, 0.1909)
"""The bar of the shut drawer: 27 cm from the pan axis, 45 degrees to the left."""

FACING_RAD = math.pi / 4.0
"""Where the cabinet's x axis points: its front is square to the arm."""

DRAWER_RANGE_M = 0.10
_CABINET_KG = 2.5  # 10 N to shove it, five times what the drawer asks
_DRAWER_KG = 0.2
DRAWER_FRICTION_N = 1.0
_DRAWER_DAMPING = 4.0

_HALF_M = (0.05, 0.065, 0.0425)  # of the cabinet
_FRONT_HALF_M = (0.004, 0.060, 0.034)
_BAR_HALF_M = (0.008, 0.038, 0.006)
_BAR_Z_M = 0.050
_BAR_AHEAD_M = 0.045  # of the front's face: the moving jaw goes between, opened wider than the bar
_WALL_M = 0.004

HANDLE_IN_CABINET_M = (-(_HALF_M[0] + 2 * _FRONT_HALF_M[0] + _BAR_AHEAD_M), 0.0, _BAR_Z_M)

_WOOD = (0.80, 0.66, 0.45, 1.0)
_FRONT = (0.93, 0.92, 0.88, 1.0)
_METAL = (0.30, 0.32, 0.35, 1.0)
_LOOK_GROUP, _CONTACT_GROUP = 0, 3
_FRICTION = [0.4, 0.003, 0.0001]


def cabinet_at(handle_x_m: float, handle_y_m: float, yaw_rad: float) -> tuple[float, float]:
    """Where the cabinet stands (x, y) when the bar of its shut drawer is there and its x axis is turned so."""
    ahead = -HANDLE_IN_CABINET_M[0]
    return handle_x_m + ahead * math.cos(yaw_rad), handle_y_m + ahead * math.sin(yaw_rad)


def add_drawer(spec: mujoco.MjSpec) -> None:
    """The cabinet with its drawer, shut, in the middle of its starts."""
    x_m, y_m = cabinet_at(*HANDLE_START_M, FACING_RAD)
    half = FACING_RAD / 2.0
    cabinet = spec.worldbody.add_body(
        name="cabinet", pos=[x_m, y_m, 0.0], quat=[math.cos(half), 0.0, 0.0, math.sin(half)]
    )
    cabinet.add_freejoint(name="cabinet")
    body = _box(cabinet, (0.0, 0.0, _HALF_M[2]), _HALF_M, _WOOD, name="cabinet")
    body.group = _CONTACT_GROUP
    body.mass = _CABINET_KG
    _shell(cabinet)
    drawer = cabinet.add_body(name="drawer", pos=[-(_HALF_M[0] + _FRONT_HALF_M[0]), 0.0, 0.0])
    drawer.add_joint(
        name="drawer",
        type=mujoco.mjtJoint.mjJNT_SLIDE,
        axis=[-1.0, 0.0, 0.0],
        limited=True,
        range=[0.0, DRAWER_RANGE_M],
        frictionloss=DRAWER_FRICTION_N,
        damping=[_DRAWER_DAMPING, 0.0, 0.0],
    )
    front = _box(drawer, (0.0, 0.0, _HALF_M[2]), _FRONT_HALF_M, _FRONT, name="drawer:front")
    front.mass = _DRAWER_KG
    bar_x_m = -(_FRONT_HALF_M[0] + _BAR_AHEAD_M)
    _box(drawer, (bar_x_m, 0.0, _BAR_Z_M), _BAR_HALF_M, _METAL, name="handle:bar")
    reach = (_BAR_AHEAD_M - _BAR_HALF_M[0]) / 2.0
    for side in (-1.0, 1.0):
        at = (-(_FRONT_HALF_M[0] + reach), side * (_BAR_HALF_M[1] - 0.004), _BAR_Z_M)
        _box(drawer, at, (reach, 0.004, 0.004), _METAL, name=f"handle:post:{int(side > 0)}")
    drawer.add_site(name="handle", pos=[bar_x_m, 0.0, _BAR_Z_M], size=[0.003] * 3, group=4)
    _tray(drawer)


def _shell(cabinet: mujoco.MjsBody) -> None:
    """What is seen of the cabinet: top, bottom, sides and back around the drawer."""
    x, y, z = _HALF_M
    wall = _WALL_M / 2.0
    for at, half in (
        ((0.0, 0.0, wall), (x, y, wall)),
        ((0.0, 0.0, 2 * z - wall), (x, y, wall)),
        ((0.0, y - wall, z), (x, wall, z)),
        ((0.0, wall - y, z), (x, wall, z)),
        ((x - wall, 0.0, z), (wall, y, z)),
    ):
        _only_seen(_box(cabinet, at, half, _WOOD))


def _tray(drawer: mujoco.MjsBody) -> None:
    """What is seen of the drawer when it is open."""
    length, width = _HALF_M[0] - 0.004, _FRONT_HALF_M[1] - 0.006
    for at, half in (
        ((length, 0.0, 0.012), (length, width, 0.002)),
        ((length, width, 0.030), (length, 0.002, 0.018)),
        ((length, -width, 0.030), (length, 0.002, 0.018)),
        ((2 * length, 0.0, 0.030), (0.002, width, 0.018)),
    ):
        _only_seen(_box(drawer, at, half, _WOOD))


def _box(
    body: mujoco.MjsBody,
    at: tuple[float, float, float],
    half: tuple[float, float, float],
    rgba: tuple[float, float, float, float],
    name: str = "",
) -> mujoco.MjsGeom:
    geom = body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX,
        pos=at,
        size=half,
        mass=0.01,
        condim=4,
        friction=_FRICTION,
        group=_LOOK_GROUP,
        rgba=rgba,
    )
    if name:
        geom.name = name
    return geom


def _only_seen(geom: mujoco.MjsGeom) -> None:
    geom.contype = geom.conaffinity = 0
    geom.mass = 0.0
