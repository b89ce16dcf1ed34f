"""A robot's values as a model was trained to see them, and the model's actions as the robot's.

Pure arithmetic over one row of `config/embodiments/`. On the way in: pick, crop, turn and flip each
view, mask the absent ones, put the state together, convert it. On the way out: relative actions
become absolute with the state that the chunk was computed from, padding falls away, units go back.
The order is openpi's (`policy_config.py`, `transforms.py`): un-normalise, absolute, slice, robot;
normalisation itself is the model's, limits come last and are the gate's.

Vectors are float64, pictures uint8 [height, width, 3]. What is not finite stays so: whoever plays
actions refuses those by name.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from config.embodiment import ROLES, Embodiment, View
from robotd.errors import CheckpointError

Array = npt.NDArray[np.float64]
Picture = npt.NDArray[np.uint8]

NO_VIEW = "none"
"""`--rename left_wrist_0_rgb=none`: this view is masked on purpose."""

_QUARTERS = {0: 0, 90: -1, 180: 2, 270: 1}  # numpy turns against the clock
_STILL = 1e-8  # below this, sqrt(1 - w^2) is no axis: the rotation is none

# ALOHA's gripper: opening in metres, and lengths of its linkage in metres (openpi, Interbotix);
# its motor's angles in radians, in Pi0's data and in ALOHA's commands.
_ALOHA_OPENING_M = (0.01844, 0.05800)
_ALOHA_ARM_M, _ALOHA_HORN_M = 0.036, 0.022
_PI_ANGLE_RAD = (0.5476, 1.6296)
_ALOHA_ANGLE_RAD = (-0.6213, 1.4910)


@dataclass(frozen=True, slots=True)
class Adapted:
    """What the model is shown. `present` False: the view is masked, its picture black.

    `state` [S] float64 in the model's convention, neither normalised nor filled up.
    """

    images: Mapping[str, Picture]
    present: Mapping[str, bool]
    state: Array
    prompt: str


class Adapter:
    """One embodiment, on a robot whose views may have other names.

    `rename` maps a view of the model (`base_0_rgb`) or a key of the row to the robot's key;
    NO_VIEW masks it. Raises CheckpointError for a name that is neither.
    """

    def __init__(self, row: Embodiment, rename: Mapping[str, str] | None = None) -> None:
        self.row = row
        given = dict(rename or {})
        self.views: dict[str, tuple[str, View]] = {}
        for role, view in row.cameras.items():
            source = given.pop(role, None) or given.pop(view.source, None) or view.source
            if source != NO_VIEW:
                self.views[role] = (source, view)
        if given:
            raise CheckpointError(
                f"--rename {next(iter(given))}=… names no view of this embodiment.",
                f"Its views are {', '.join(f'{r} ({v.source})' for r, v in row.cameras.items())}.",
                "Write --rename base_0_rgb=CAMERA, or --rename left_wrist_0_rgb=none to mask one.",
            )
        if not self.views:
            raise CheckpointError(
                "Every view of the model is masked.",
                "--rename …=none was said of all of them.",
                "Leave it one camera to look through.",
            )
        taken = [np.asarray(part.take, np.intp) if part.take else None for part in row.state]
        self._state = [
            (part.source, take, _TO_MODEL[part.form])
            for part, take in zip(row.state, taken, strict=True)
        ]
        self._actions: list[tuple[slice, npt.NDArray[np.intp], _Form, _Form]] = []
        count = 0
        for part in row.actions:
            where = slice(count, count + len(part.to))
            to = np.asarray(part.to, np.intp)
            self._actions.append((where, to, _ACTION_TO_MODEL[part.form], _TO_ROBOT[part.form]))
            count += len(part.to)
        self.delta_mask = np.asarray(row.delta_mask)

    # --- in ---------------------------------------------------------------------------------------

    def observe(self, values: Mapping[str, npt.NDArray[Any]], prompt: str) -> Adapted:
        """What the model is shown of the robot's `values`. KeyError for one that is not there."""
        seen = {
            role: shown(np.asarray(values[source], np.uint8), view)
            for role, (source, view) in self.views.items()
        }
        blank = np.zeros_like(next(iter(seen.values())))
        return Adapted(
            images={role: seen.get(role, blank) for role in ROLES},
            present={role: role in seen for role in ROLES},
            state=self.state(values),
            prompt=prompt,
        )

    def state(self, values: Mapping[str, npt.NDArray[Any]]) -> Array:
        """The state [S] in the model's convention."""
        parts = []
        for source, take, form in self._state:
            vector = np.asarray(values[source], np.float64).reshape(-1)
            parts.append(form(vector if take is None else vector[take]))
        return np.concatenate(parts)

    # --- out --------------------------------------------------------------------------------------

    def to_robot(self, actions: Array, state: Array) -> Array:
        """The model's un-normalised actions [T, ≥A] as the robot's [T, action_size].

        `state` [S] is the one that the chunk was computed from, in the model's convention.
        """
        count = self.row.model_actions
        own = np.array(np.asarray(actions, np.float64)[..., :count])
        own[..., self.delta_mask] += _as_long(state, count)[self.delta_mask]
        robot = np.full((*own.shape[:-1], self.row.action_size), self.row.rest)
        for where, to, _, form in self._actions:
            robot[..., to] = form(own[..., where])
        return robot

    def to_model(self, actions: Array, state: Array) -> Array:
        """The robot's actions [T, action_size] as the model's [T, A]: the inverse of `to_robot`."""
        robot = np.asarray(actions, np.float64)
        parts = [form(robot[..., to]) for _, to, form, _ in self._actions]
        own = np.concatenate(parts, axis=-1)
        own[..., self.delta_mask] -= _as_long(state, own.shape[-1])[self.delta_mask]
        return own


def _as_long(state: Array, count: int) -> Array:
    """The state cut or filled up with zeros to `count`: deltas are by place (openpi)."""
    return padded(np.asarray(state, np.float64)[:count], count)


def padded(vector: Array, size: int) -> Array:
    """`vector` [..., n] filled up with zeros to [..., size]; what is longer is not for it.

    Raises ValueError when it is longer.
    """
    missing = size - vector.shape[-1]
    if missing < 0:
        raise ValueError(f"{vector.shape[-1]} values do not fit into {size}")
    return np.pad(vector, [(0, 0)] * (vector.ndim - 1) + [(0, missing)])


def shown(picture: Picture, view: View) -> Picture:
    """A picture [H, W, 3] as the model's view shows it: cropped, turned clockwise, flipped."""
    height, width = picture.shape[:2]
    crop = view.crop
    top, left = round(crop.top * height), round(crop.left * width)
    bottom = top + max(1, round(crop.height * height))
    right = left + max(1, round(crop.width * width))
    result = np.rot90(picture[top:bottom, left:right], _QUARTERS[view.rotate_deg])
    if view.flip == "horizontal":
        result = result[:, ::-1]
    elif view.flip == "vertical":
        result = result[::-1]
    return np.ascontiguousarray(result)


# --- forms ----------------------------------------------------------------------------------------

type _Form = Callable[[Array], Array]


def axis_angle(quaternion: Array) -> Array:
    """A unit quaternion [..., 4] (x y z w) as angle times axis [..., 3], radians.

    As robosuite and openpi's LIBERO client do it: w is clipped, w = ±1 is no rotation, and a
    negative w stays an angle above pi (the same pose as its negative, but not what was seen in
    training).
    """
    w = np.clip(quaternion[..., 3:], -1.0, 1.0)
    sine = np.sqrt(1.0 - w * w)
    still = sine < _STILL
    scale = np.where(still, 0.0, 2.0 * np.arccos(w) / np.where(still, 1.0, sine))
    return np.asarray(quaternion[..., :3] * scale)


def _same(values: Array) -> Array:
    return values


def _negated(values: Array) -> Array:
    return -values


def _closed(percent_open: Array) -> Array:
    """0 closed .. 100 open to 0 open .. 1 closed."""
    return 1.0 - percent_open / 100.0


def _opened(fraction_closed: Array) -> Array:
    return (1.0 - fraction_closed) * 100.0


def _plus_minus(finger: Array) -> Array:
    return np.concatenate([finger, -finger], axis=-1)


def _scaled(values: Array, span: tuple[float, float]) -> Array:
    return (values - span[0]) / (span[1] - span[0])


def _unscaled(values: Array, span: tuple[float, float]) -> Array:
    return values * (span[1] - span[0]) + span[0]


def _aloha_angle(opening: Array) -> Array:
    """ALOHA's linear opening 0..1 as the motor's angle 0..1 of Pi0's data."""
    metres = _unscaled(opening, _ALOHA_OPENING_M)
    sine = (_ALOHA_HORN_M**2 + metres**2 - _ALOHA_ARM_M**2) / (2 * _ALOHA_HORN_M * metres)
    return _scaled(np.arcsin(np.clip(sine, -1.0, 1.0)), _PI_ANGLE_RAD)


def _aloha_command(angle: Array) -> Array:
    """Pi0's gripper action as ALOHA's command: both angles, of another range."""
    return _scaled(angle + _PI_ANGLE_RAD[0], _ALOHA_ANGLE_RAD)


def _aloha_command_undone(command: Array) -> Array:
    return _unscaled(command, _ALOHA_ANGLE_RAD) - _PI_ANGLE_RAD[0]


_RAD_PER_DEG = math.pi / 180.0


def _radians(degrees: Array) -> Array:
    return degrees * _RAD_PER_DEG


def _degrees(radians: Array) -> Array:
    return radians / _RAD_PER_DEG


_TO_MODEL: dict[str, _Form] = {
    "same": _same,
    "radians": _radians,
    "closed_fraction": _closed,
    "axis_angle": axis_angle,
    "plus_minus": _plus_minus,
    "negated": _negated,
    "aloha_gripper": _aloha_angle,
}
_ACTION_TO_MODEL: dict[str, _Form] = {
    "same": _same,
    "radians": _radians,
    "closed_fraction": _closed,
    "negated": _negated,
    "aloha_gripper": _aloha_command_undone,
}
_TO_ROBOT: dict[str, _Form] = {
    "same": _same,
    "radians": _degrees,
    "closed_fraction": _opened,
    "negated": _negated,
    "aloha_gripper": _aloha_command,
}
