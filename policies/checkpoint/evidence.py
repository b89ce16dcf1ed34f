"""The rate, units and joint names of a checkpoint: found as evidence, or asked for; never guessed.

LeRobot's checkpoints carry none of the three. They come, in this order, from what a person said,
from robotd's own `robotd_ckpt.json` beside the weights, from the training dataset if it is still
there, and for the units from the statistics where these leave no doubt.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec
import numpy as np

from drivers.units import units_of
from policies.checkpoint.folder import TRAINING, read_json
from policies.checkpoint.norms import Stats
from robotd import paths
from robotd.errors import CheckpointError

SIDECAR = "robotd_ckpt.json"
CONVENTION = "robotd/convention.json"
"""In a dataset that was converted: what its numbers mean since (`robotd dataset convert`)."""
UNITS = ("degrees", "range_m100_100")
_OURS = {"units": ("", *UNITS), "gripper": ("percent_open",), "actions": ("absolute",)}
Units = Literal["degrees", "range_m100_100"]
_SAME_RATE = 0.01  # steps a second


class CameraSetup(msgspec.Struct, frozen=True, kw_only=True):
    """How a camera looked when the policy was trained; zero or empty: not known.

    `fov_deg` is vertical, of the picture as it is shown; `crop` is left, top, width, height in
    pixels of the camera's mode; `rotation_deg` is clockwise.
    """

    fov_deg: float = 0.0
    width: int = 0
    height: int = 0
    crop: tuple[int, ...] = ()
    rotation_deg: int = 0


class NormSetup(msgspec.Struct, frozen=True, kw_only=True):
    """How states and actions are normalised where that is not the framework's own way."""

    mode: Literal["MEAN_STD", "QUANTILES"]
    eps: float
    formula: Literal["", "openpi", "lerobot"] = ""


class TrainedOn(msgspec.Struct, frozen=True, kw_only=True):
    """The dataset of the training, by hub name, and its revision."""

    dataset: str
    revision: str = ""


class Sidecar(msgspec.Struct, frozen=True, kw_only=True):
    """`robotd_ckpt.json`: what robotd knows of a checkpoint that nobody else writes down.

    `joints` are the names of the action in its order, with `.pos`. `dataset` says what it was
    trained on, for people; `training` says it for programs. The rest is what weights cannot tell:

    - `horizon` (actions of a chunk), `prompt_tokens`, `vision_heads` and `lora_alpha` of a Pi0;
    - `asset_id`: which of openpi's statistics are this robot's;
    - `embodiment`: the robot and convention (`config/embodiments`);
    - `image_pad`: how pictures were padded; `state_text`: how a Pi0.5's prompt tells the state (not
      at all, as it is, or filled up to the model's size first); `norm`: the formula;
    - `units_in`, `units_out`: of state and action where an embodiment says more than `units`;
      `delta_mask`: actions relative to the state; `cameras`: how each one looked.

    Keys of others in the file are ignored, and kept by `amend_sidecar`.
    """

    schema: int = 1
    fps: float | None = None
    units: Units | Literal[""] = ""
    joints: tuple[str, ...] = ()
    dataset: str = ""
    horizon: int = 0
    prompt_tokens: int = 0
    vision_heads: int = 0
    lora_alpha: float | None = None
    asset_id: str = ""
    image_pad: Literal["", "openpi", "lerobot06", "lerobot04", "lerobot03"] = ""
    state_text: Literal["", "none", "plain", "padded"] = ""
    norm: NormSetup | None = None
    embodiment: str = ""
    units_in: str = ""
    units_out: str = ""
    delta_mask: tuple[bool, ...] = ()
    cameras: Mapping[str, CameraSetup] = {}
    training: TrainedOn | None = None


def read_sidecar(folder: Path) -> Sidecar:
    """What `robotd_ckpt.json` in a checkpoint says; an empty one where there is none.

    Raises CheckpointError.
    """
    path = folder / SIDECAR
    if not path.exists():
        return Sidecar()
    try:
        return msgspec.json.decode(path.read_bytes(), type=Sidecar)
    except (OSError, msgspec.DecodeError) as error:
        raise CheckpointError(
            f"{path} cannot be used: {error}.",
            "It was edited by hand.",
            'It is JSON like {"fps": 30, "units": "degrees"} (or "range_m100_100").',
        ) from error


def amend_sidecar(folder: Path, **changes: Any) -> None:
    """Change some keys of a checkpoint's sidecar, or begin one; whatever else it has stays."""
    path = folder / SIDECAR
    content = read_json(path) if path.exists() else {"schema": 1}
    amended = {**content, **changes}
    msgspec.convert(msgspec.to_builtins(amended), type=Sidecar)  # nothing unreadable is written
    partial = path.with_name(f".{SIDECAR}.partial")
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(amended), indent=2) + b"\n")
    partial.replace(path)


def write_sidecar(folder: Path, sidecar: Sidecar) -> None:
    """Put `robotd_ckpt.json` into a checkpoint folder: by whoever knows its dataset."""
    said = {
        name: value
        for name, value in msgspec.structs.asdict(sidecar).items()
        if name in ("schema", "fps", "units", "joints", "dataset") or value != getattr(_EMPTY, name)
    }
    content = msgspec.json.format(msgspec.json.encode(said), indent=2)
    (folder / SIDECAR).write_bytes(content + b"\n")


_EMPTY = Sidecar()


class Described(Protocol):
    """A checkpoint as evidence needs it: where it lies, and its statistics by feature."""

    @property
    def path(self) -> Path: ...
    @property
    def stats(self) -> Mapping[str, Stats]: ...


@dataclass(frozen=True, slots=True)
class Evidence:
    """The checkpoint's time step, units and joints, each with where it comes from.

    `joints` is empty where nothing names them.
    """

    fps: float
    fps_source: str
    units: Units
    units_source: str
    joints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Found:
    """One witness: whatever of the three it knows."""

    source: str
    fps: float | None = None
    units: str = ""
    joints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """What the witnesses say, as far as they do: None and "" where nobody does."""

    fps: float | None = None
    fps_source: str = ""
    units: str = ""
    units_source: str = ""
    joints: tuple[str, ...] = ()


def gather(folder: Described, fps: float | None = None, units: str = "") -> Known:
    """What is known of the checkpoint's rate, units and joints; `fps` and `units` were said.

    Raises CheckpointError for a sidecar that cannot be read, and a dataset no arm can play.
    """
    witnesses = [_Found("asked for", fps, units)]
    witnesses += _sidecar(folder.path)
    witnesses += _dataset(folder.path)
    rate = next((w for w in witnesses if w.fps is not None), None)
    named = next((w for w in witnesses if w.units), None)
    proved = "" if named else units_of(folder.stats.get("action", {}))
    return Known(
        fps=rate.fps if rate else None,
        fps_source=rate.source if rate else "",
        units=named.units if named else proved,
        units_source=named.source if named else "statistics of the action" if proved else "",
        joints=next((w.joints for w in witnesses if w.joints), ()),
    )


def find_evidence(folder: Described, fps: float | None, units: str) -> Evidence:
    """What is known of the checkpoint. `fps` and `units` are what a person said (or not).

    Raises CheckpointError where the rate or the units stay unknown.
    """
    known = gather(folder, fps, units)
    if known.fps is not None and not 0 < known.fps < 1000:
        raise CheckpointError(
            f"{known.fps:g} is no number of steps a second ({known.fps_source}).",
            "It was mistyped, or the file that says it was edited.",
            "Say the fps of the dataset it was trained on: --fps 30.",
        )
    if known.fps is None:
        raise CheckpointError(
            f"Nothing says at how many steps a second {folder.path} was trained.",
            f"Its training dataset is not on this machine and there is no {SIDECAR}; "
            "LeRobot does not write the rate into a checkpoint.",
            "Say it: --fps 30 (the fps of the dataset it was trained on).",
        )
    told = gather(folder) if fps is not None or units else known
    refuse_another_rate(str(folder.path), known.fps, told.fps, told.fps_source)
    if known.units not in UNITS:
        raise CheckpointError(
            f"Nothing says in which units {folder.path} speaks"
            + (f" ({known.units!r} is not known)." if known.units else "."),
            "Its actions stay within ±100, which fits degrees and LeRobot's ±100 range alike.",
            "Say it: --units degrees or --units range_m100_100 (LeRobot since 0.4 records degrees "
            f"unless told otherwise); or for good, in {SIDECAR} beside its config.json: "
            f'{{"fps": {known.fps:g}, "units": "degrees"}}.',
        )
    return Evidence(
        fps=float(known.fps),
        fps_source=known.fps_source,
        units="degrees" if known.units == "degrees" else "range_m100_100",
        units_source=known.units_source + against(known.units, told.units, told.units_source),
        joints=known.joints,
    )


def refuse_another_rate(name: str, fps: float, told: float | None, source: str) -> None:
    """Raise CheckpointError where `fps` was asked for and `source` tells another rate."""
    if told is not None and abs(fps - told) > _SAME_RATE:
        raise CheckpointError(
            f"{name} was trained at {told:g} steps a second ({source}), and --fps says {fps:g}.",
            "A chunk's actions are moments of the training's clock; at another rate they are "
            "another motion, faster or slower than anything it learned.",
            f"Leave out --fps; to play it at another speed say --time-scale {fps / told:.2g}.",
        )


def against(units: str, told: str, source: str) -> str:
    """What to add to the source of units that were asked for over what is told: a wrong sidecar can
    be overruled, but not without a word."""
    return f", against {told} ({source})" if told and told != units else ""


def _sidecar(folder: Path) -> list[_Found]:
    said = read_sidecar(folder)
    return [_Found(SIDECAR, said.fps, said.units, said.joints)]


def _dataset(folder: Path) -> list[_Found]:
    """What the training dataset says, if it is on this machine."""
    root = training_root(folder)
    if root is None:
        return []
    if numbers := converted(root):
        raise CheckpointError(
            f"{folder} was trained on {root}, which was converted: {numbers}.",
            "Its actions are not what an arm of robotd is sent.",
            "Train on the dataset that this one was made from, or on a conversion of "
            "units and camera names alone.",
        )
    info = read_json(root / "meta/info.json")
    joints = joint_names(info.get("features", {}).get("action", {}))
    return [_Found(f"dataset {root}", info.get("fps"), dataset_units(root), joints)]


def training_root(folder: Path) -> Path | None:
    """The dataset that a LeRobot checkpoint was trained on, if it is on this machine."""
    if not (folder / TRAINING).exists():
        return None
    dataset = read_json(folder / TRAINING).get("dataset") or {}
    roots = [Path(dataset["root"])] if dataset.get("root") else []
    if dataset.get("repo_id"):
        roots.append(paths.lerobot_home() / str(dataset["repo_id"]))
    return next((root for root in roots if (root / "meta/info.json").exists()), None)


def joint_names(feature: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of a state or action feature; older datasets nest them in `{"motors": […]}`."""
    names = feature.get("names") or ()
    if isinstance(names, Mapping):
        names = next(iter(names.values()), ())
    return tuple(str(name) for name in names)


def dataset_units(root: Path) -> str:
    """The units of a dataset: robotd's own notes, else what its statistics prove."""
    if (root / CONVENTION).exists():
        units = str(read_json(root / CONVENTION).get("units") or "")
        if units:
            return units
    for about in sorted((root / "robotd/episodes").glob("episode-*/episode.json"))[:1]:
        spec = read_json(about).get("spec", {})
        if spec.get("units") in UNITS:
            return str(spec["units"])
    if not (root / "meta/stats.json").exists():
        return ""
    stats: Stats = {
        key: np.asarray(value, np.float64)
        for key, value in read_json(root / "meta/stats.json").get("action", {}).items()
    }
    return units_of(stats)


def converted(root: Path) -> str:
    """What a dataset's numbers became by a conversion, where an arm cannot play them; else ""."""
    if not (root / CONVENTION).exists():
        return ""
    note = read_json(root / CONVENTION)
    return ", ".join(
        f"{key} {note[key]}" for key, ours in _OURS.items() if note.get(key, ours[0]) not in ours
    )


def names_differ(expected: Sequence[str], found: Sequence[str]) -> str:
    """One sentence on how two lists of joint names differ; empty when they do not."""
    if tuple(expected) == tuple(found):
        return ""
    if sorted(expected) == sorted(found):
        return f"the joints come in another order: {', '.join(found)}"
    missing = [name for name in expected if name not in found]
    extra = [name for name in found if name not in expected]
    parts = [f"it has no {', '.join(missing)}"] if missing else []
    parts += [f"it has {', '.join(extra)}, which this robot has not"] if extra else []
    return "; ".join(parts)
