"""Embodiments as data: how a robot's values become what a model was trained on, and back.

One file in `config/embodiments/` per robot and convention. A wrong one moves the arm to the wrong
place without any error, so nothing here has a silent default: what a model is shown, in which units
and in which order, stands in the file with its reason. The arithmetic is `policies/embodiment.py`.
"""

import difflib
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from config.layers import parse_layer
from robotd.errors import ConfigError

ROLES = ("base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb")
"""The views of the Pi0 family, in the order in which the model sees them."""

_Index = Annotated[int, Meta(ge=0, le=255)]
_Share = Annotated[float, Meta(ge=0, le=1)]
_Key = Annotated[str, Meta(min_length=1, max_length=200)]

StateForm = Literal[
    "same", "radians", "closed_fraction", "axis_angle", "plus_minus", "negated", "aloha_gripper"
]
"""How values of the robot stand in the model's state.

same: as they are. radians: from degrees. closed_fraction: from 0 closed .. 100 open to 0 open .. 1
closed, `1 - x/100`. axis_angle: a quaternion x y z w as angle times axis, 4 values become 3.
plus_minus: one finger as both, `q, -q`. negated: `-x`. aloha_gripper: an ALOHA gripper's opening
(0..1, linear) as the motor's angle (0..1), openpi's `adapt_to_pi`.
"""

ActionForm = Literal["same", "radians", "closed_fraction", "negated", "aloha_gripper"]
"""How values of the model's action become the robot's: the same words, undone.

aloha_gripper: from the motor's angle in the range of Pi0's data to the range of ALOHA's commands.
"""


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Unknown keys are refused in every section."""


class CropShare(_Section, frozen=True, kw_only=True):
    """The part of a picture that is shown, as shares of its width and height."""

    left: _Share = 0.0
    top: _Share = 0.0
    width: Annotated[float, Meta(gt=0, le=1)] = 1.0
    height: Annotated[float, Meta(gt=0, le=1)] = 1.0


class View(_Section, frozen=True, kw_only=True):
    """One view of the model: the robot's key it comes from; cropped, turned clockwise, flipped."""

    source: _Key
    crop: CropShare = CropShare()
    rotate_deg: Literal[0, 90, 180, 270] = 0
    flip: Literal["none", "horizontal", "vertical"] = "none"


class StatePart(_Section, frozen=True, kw_only=True):
    """The next values of the model's state: which of `source` (all when `take` is empty), and how."""

    source: _Key
    take: tuple[_Index, ...] = ()
    form: StateForm = "same"


class ActionPart(_Section, frozen=True, kw_only=True):
    """The next values of the model's action: where they go in the robot's, and how.

    `delta`: the model says them relative to the state that stands at the same place (the whole
    chunk relative to the one state it was computed from).
    """

    to: Annotated[tuple[_Index, ...], Meta(min_length=1)]
    form: ActionForm = "same"
    delta: bool = False


class Recognise(_Section, frozen=True, kw_only=True):
    """What of a checkpoint says that it is of this embodiment: the folder's name under its
    `assets/`, and which kinds of model that counts for (empty: all)."""

    asset_ids: tuple[_Key, ...] = ()
    kinds: tuple[_Key, ...] = ()


class Embodiment(_Section, frozen=True, kw_only=True):
    """One row: a robot, and the convention in which a model was trained on it.

    `robot` is the arm that robotd drives, or one of the field's environments. `robot_units` are
    those in which robotd speaks to it (`degrees` or `range_m100_100`, gripper 0..100). `space`: what
    the robot's action is; `end_effector` is metres, a quaternion w x y z and the gripper, and needs
    inverse kinematics. `action_size` is the robot's number of values, those that no part names are
    `rest`. `pad_before_normalise`: the state was filled up with zeros before it was normalised.

    What the published models of the row were trained with, and none of openpi's files says:
    `horizon`, the actions of a chunk by kind of model; `state_text`, how a Pi0.5's prompt tells the
    state (empty, and a kind left out: not known).
    """

    about: str
    robot: Literal["so101", "libero", "robocasa", "droid", "aloha", "pusht"]
    robot_units: Literal["degrees", "range_m100_100", "own"]
    cameras: dict[str, View]
    state: Annotated[tuple[StatePart, ...], Meta(min_length=1)]
    actions: Annotated[tuple[ActionPart, ...], Meta(min_length=1)]
    action_size: Annotated[int, Meta(ge=1, le=256)]
    rest: float = 0.0
    space: Literal["joints", "end_effector"] = "joints"
    pad_before_normalise: bool = False
    fps: Annotated[float, Meta(gt=0, le=1000)] | None = None
    horizon: dict[Literal["pi0", "pi05"], Annotated[int, Meta(ge=1, le=1000)]] = {}
    state_text: Literal["", "none", "plain"] = ""
    recognise: Recognise = Recognise()

    @property
    def model_actions(self) -> int:
        """How many of the model's action values mean something."""
        return sum(len(part.to) for part in self.actions)

    @property
    def delta_mask(self) -> tuple[bool, ...]:
        """Which of those are relative to the state."""
        return tuple(part.delta for part in self.actions for _ in part.to)


_SECTIONS: dict[str, type[msgspec.Struct]] = {
    "": Embodiment,
    "cameras": View,
    "crop": CropShare,
    "state": StatePart,
    "actions": ActionPart,
    "recognise": Recognise,
}
_UNKNOWN = re.compile(r"unknown field `(.+?)`")
_WHERE = re.compile(r" - at `\$\.?(.*)`$")


def embodiment_names() -> list[str]:
    """The embodiments that robotd ships."""
    folder = resources.files("config").joinpath("embodiments")
    return sorted(each.name.removesuffix(".yaml") for each in folder.iterdir() if each.is_file())


def load_embodiment(name: str) -> Embodiment:
    """A shipped embodiment by its name, or a person's own by its file. Raises ConfigError."""
    shipped = embodiment_names()
    if name in shipped:
        resource = resources.files("config").joinpath("embodiments", f"{name}.yaml")
        return parse_embodiment(resource.read_text(encoding="utf-8"), f"the embodiment {name}")
    path = Path(name).expanduser()
    if path.suffix not in (".yaml", ".yml"):
        near = difflib.get_close_matches(name, shipped, n=1)
        raise ConfigError(
            f"There is no embodiment {name!r}.",
            f"A typing error{f': {near[0]} is near' if near else ''}, or a file without .yaml.",
            f"Use one of: {', '.join(shipped)}; or the path of a file of your own.",
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} cannot be read: {error}.",
            "The path is wrong, or it is no text file.",
            f"Give a readable YAML file, or one of: {', '.join(shipped)}.",
        ) from error
    return parse_embodiment(text, str(path))


def parse_embodiment(text: str, origin: str) -> Embodiment:
    """Read one embodiment's YAML. `origin` is what a person calls the file. Raises ConfigError."""
    values = parse_layer(text, origin).values
    try:
        row = msgspec.convert(values, Embodiment)
    except msgspec.ValidationError as error:
        raise _refused(str(error), origin) from error
    _check(row, origin)
    return row


def _refused(message: str, origin: str) -> ConfigError:
    found = _WHERE.search(message)
    path = found.group(1) if found else ""
    reason = message[: found.start()] if found else message
    where = f"section {path}" if path else "the top level"
    unknown = _UNKNOWN.search(reason)
    if unknown is None:
        return ConfigError(
            f"{origin}: {path or 'the file'} cannot be used: {reason.replace('`', '')}.",
            "A value of another kind or out of its range, or a key that is missing.",
            "config/embodiments/so101.yaml shows a whole file with its reasons.",
        )
    words = re.sub(r"\[.*?\]", "", path).split(".")
    section = _SECTIONS[next((word for word in reversed(words) if word in _SECTIONS), "")]
    known = [field.name for field in msgspec.structs.fields(section)]
    near = difflib.get_close_matches(unknown.group(1), known, n=1, cutoff=0.5)
    do = f"Write {near[0]} instead." if near else f"Remove it; there are: {', '.join(known)}."
    return ConfigError(
        f"{origin}: {where} has no key {unknown.group(1)!r}.",
        "A typing error, or a key of another version.",
        do,
    )


def _check(row: Embodiment, origin: str) -> None:
    """Rules that need several keys. Raises ConfigError."""
    problem = next((text for text in _problems(row)), "")
    if problem:
        raise ConfigError(
            f"{origin}: {problem}.",
            "The row was written for another robot, or not finished.",
            "config/embodiments/so101.yaml shows a whole file with its reasons.",
        )


def _problems(row: Embodiment) -> list[str]:
    to = [index for part in row.actions for index in part.to]
    found = [
        f"cameras.{role} is no view of the model; they are {', '.join(ROLES)}"
        for role in row.cameras
        if role not in ROLES
    ]
    if not row.cameras:
        found.append("no camera is named: the model would see nothing")
    found += [
        f"cameras.{role}.crop ends beyond the picture"
        for role, view in row.cameras.items()
        if view.crop.left + view.crop.width > 1 or view.crop.top + view.crop.height > 1
    ]
    if len(set(to)) != len(to):
        found.append("two parts of actions go to the same value of the robot")
    if max(to) >= row.action_size:
        found.append(f"actions go to value {max(to)} of a robot that has {row.action_size}")
    found += [
        f"a part of the state of form {part.form} takes {len(part.take)} values, not {needed}"
        for part in row.state
        if (needed := {"axis_angle": 4, "plus_minus": 1}.get(part.form)) and part.take
        if len(part.take) != needed
    ]
    if row.robot == "so101" and row.robot_units == "own":
        found.append("robot_units is needed: robotd speaks degrees or range_m100_100 to its arm")
    if row.space == "end_effector" and row.action_size != 8:
        found.append("an end_effector action has 8 values: x y z, quaternion w x y z, gripper")
    return found


def with_delta(row: Embodiment, mask: Sequence[bool]) -> Embodiment:
    """The row with the actions relative to the state that `mask` says, by place in the model's.

    A mask that is shorter says of the rest that it is absolute, as openpi's do.
    """
    parts = [
        msgspec.structs.replace(part, to=(index,)) for part in row.actions for index in part.to
    ]
    said = [*mask, *[False] * len(parts)]
    actions = tuple(
        msgspec.structs.replace(part, delta=bool(on)) for part, on in zip(parts, said, strict=False)
    )
    return msgspec.structs.replace(row, actions=actions)


def rows(names: list[str] | None = None) -> dict[str, Embodiment]:
    """The shipped embodiments by name."""
    return {name: load_embodiment(name) for name in names or embodiment_names()}


def described(value: Any) -> str:
    """A row in one line, for lists that people choose from."""
    return " ".join(str(value.about).split())
