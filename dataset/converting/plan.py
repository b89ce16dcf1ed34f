"""What a conversion will do: the person's words held against what is known of the dataset; pure.

Anything that could turn good numbers into wrong ones is refused here, before a file is read: units
that nothing tells, a gripper that is converted already, ±100 without the ranges it is a share of.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from daemon.recorder.catalog import feature_names
from daemon.recorder.convention import Actions, Convention
from daemon.recorder.info import Features
from daemon.recorder.tables import ACTION, STATE
from dataset.converting.source import Source
from dataset.converting.values import (
    FORMULAS,
    M100_LIMIT,
    Floats,
    Formula,
    Units,
    absolute_from_delta,
    degrees_per_unit,
    delta_from_absolute,
    gripper_converted,
    gripper_mask,
    rescaled,
)
from robotd.errors import CalibrationError, DatasetError

VECTORS = (ACTION, STATE)
IMAGES = "observation.images."
_OVERSHOOT = 1.005  # ±100 and 0..100 are bounded when they are read; rounding may pass by a little
_TURNS_RAD = 2 * math.pi


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asked for; empty where nothing was. `ranges` come from the calibration."""

    units: Units | None = None
    from_units: Units | None = None
    ranges: Mapping[str, float] | None = None
    calibration: str = ""
    trust_calibration: bool = False
    gripper: Formula | None = None
    actions: Actions | None = None
    cameras: tuple[tuple[str, str], ...] = ()
    joints: tuple[tuple[str, str], ...] = ()
    joint_prefix: str = ""
    robot_type: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """The conversion, decided. `factors`, `limits` and `grippers` are by feature of the source.

    `renamed` maps feature keys; `order` [joints] picks the source's joints, where they move;
    `new_names` has the "names" of the features whose joints are called otherwise.
    """

    features: Features
    convention: Convention
    words: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    new_names: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    factors: Mapping[str, Floats] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)
    grippers: Mapping[str, npt.NDArray[np.bool_]] = field(default_factory=dict)
    formula: Formula | None = None
    actions: Actions | None = None
    order: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    robot_type: str = ""

    @property
    def changed(self) -> tuple[str, ...]:
        """The features whose numbers change."""
        if self.factors or self.formula or self.order:
            return tuple(key for key in VECTORS if key in self.features)
        return (ACTION,) if self.actions else ()

    def apply(self, columns: Mapping[str, Floats]) -> tuple[dict[str, Floats], int]:
        """The converted state and action [rows, joints]; also how many values were bounded."""
        result, bounded = dict(columns), 0
        for key, factors in self.factors.items():
            result[key], count = rescaled(
                result[key], factors, limit=self.limits.get(key, math.inf)
            )
            bounded += count
        if self.formula is not None:
            for key, grippers in self.grippers.items():
                result[key] = gripper_converted(result[key], grippers, self.formula)
        if self.actions is not None:
            turn = delta_from_absolute if self.actions == "delta" else absolute_from_delta
            result[ACTION] = turn(result[ACTION], result[STATE], self.grippers[ACTION])
        for key, order in self.order.items():
            result[key] = result[key][:, list(order)]
        return result, bounded


def make_plan(source: Source, request: Request) -> Plan:
    """Decide the conversion of `source`. Raises DatasetError or CalibrationError."""
    words: list[str] = []
    convention = source.convention
    features = dict(source.features)
    names = {key: feature_names(features[key].get("names")) for key in VECTORS if key in features}
    touches_values = request.units or request.gripper or request.actions
    grippers = (
        {key: gripper_mask(each, key) for key, each in names.items()} if touches_values else {}
    )
    factors: dict[str, Floats] = {}
    limits: dict[str, float] = {}
    if request.units is not None:
        known = _known_units(source, request, grippers)
        factors, limits = _factors(source, request, known, names)
        words.append(f"units: {known} to {request.units} (grippers keep their own)")
        convention = replace(convention, units=request.units)
    if request.gripper is not None:
        came, becomes = FORMULAS[request.gripper]
        _check_gripper(source, came, grippers)
        words.append(f"gripper: {request.gripper} ({came} to {becomes})")
        convention = replace(convention, gripper=becomes)
    if request.actions is not None:
        _check_actions(source, request.actions, names)
        words.append(
            "actions: the goal minus the state of the same row (grippers stay absolute)"
            if request.actions == "delta"
            else "actions: the state of the same row plus the delta (grippers are absolute)"
        )
        convention = replace(convention, actions=request.actions)
    order, renames = {}, {}
    if request.joints or request.joint_prefix:
        for key, each in names.items():
            new_names, order[key] = _reordered(each, request.joints, request.joint_prefix, key)
            renames[key] = {"names": list(new_names)}
            features[key] = features[key] | renames[key]
            words.append(f"joints of {key}: {', '.join(new_names)}")
        order = {key: each for key, each in order.items() if each != tuple(range(len(each)))}
    if request.robot_type:
        words.append(f"robot type: {source.info.get('robot_type')} becomes {request.robot_type}")
    renamed = _renamed_cameras(source, request.cameras)
    words += [f"camera: {old} becomes {new}" for old, new in renamed.items()]
    return Plan(
        features={renamed.get(key, key): each for key, each in features.items()},
        convention=convention,
        words=tuple(words),
        renamed=renamed,
        new_names=renames,
        factors=factors,
        limits=limits,
        grippers=grippers,
        formula=request.gripper,
        actions=request.actions,
        order=order,
        robot_type=request.robot_type,
    )


def _known_units(
    source: Source, request: Request, grippers: Mapping[str, npt.NDArray[np.bool_]]
) -> Units:
    noted, said = source.convention.units, request.from_units
    if noted and said and noted != said:
        raise DatasetError(
            f"{source.root} is in {noted}, not in {said}: robotd noted it when it was made.",
            "--from-units was mistaken.",
            "Leave out --from-units.",
        )
    known: Units | None = noted or said
    if known is None:
        raise DatasetError(
            f"Nothing says in which units {source.root} is.",
            "It was not recorded by robotd, and LeRobot writes degrees and ±100 alike.",
            "Say it: --from-units degrees (LeRobot's default since 0.4), radians or "
            "range_m100_100. `robotd dataset check` looks for signs.",
        )
    if known == request.units:
        raise DatasetError(
            f"{source.root} is in {known} already.",
            "It was converted before, or the word was mistaken.",
            "Leave out --units.",
        )
    most = {"degrees": math.inf, "radians": _TURNS_RAD, "range_m100_100": M100_LIMIT}[known]
    for key, (low, high) in source.bounds.items():
        reach = _reach(low, high, ~grippers[key])
        if reach > most * _OVERSHOOT and not (key == ACTION and _is_delta(source)):
            raise DatasetError(
                f"{key} reaches {reach:.1f}, which no joint does in {known}.",
                "It is in other units; degrees are likely.",
                "Say the right ones with --from-units.",
            )
    return known


def _is_delta(source: Source) -> bool:
    return source.convention.actions == "delta"


def _reach(low: Floats, high: Floats, mask: npt.NDArray[np.bool_]) -> float:
    ends = np.maximum(np.abs(low), np.abs(high)).reshape(-1)
    return float(ends[mask].max(initial=0.0)) if len(ends) == len(mask) else 0.0


def _factors(
    source: Source, request: Request, known: Units, names: Mapping[str, Sequence[str]]
) -> tuple[dict[str, Floats], dict[str, float]]:
    wanted = request.units or known
    if "range_m100_100" in (known, wanted):
        _check_calibration(source, request)
    factors = {
        key: degrees_per_unit(known, each, request.ranges)
        / degrees_per_unit(wanted, each, request.ranges)
        for key, each in names.items()
    }
    limits = {key: M100_LIMIT for key in names if wanted == "range_m100_100"}
    if _is_delta(source):
        limits.pop(ACTION, None)  # a difference of two shares may exceed the range of one
    return factors, limits


def _check_calibration(source: Source, request: Request) -> None:
    if request.ranges is None:
        raise CalibrationError(
            "±100 is a share of each joint's calibrated range, and no calibration was given.",
            f"{source.root} does not hold the ranges; no LeRobot dataset does.",
            "Give the file the arm had when it was recorded: --calibration FILE|ID, e.g. "
            "~/.cache/huggingface/lerobot/calibration/robots/so_follower/<id>.json",
        )
    others = source.calibrations - {request.calibration}
    if others and not request.trust_calibration:
        raise CalibrationError(
            f"The calibration given ({request.calibration}) is not the one that {source.root} was "
            f"recorded with ({', '.join(sorted(others))}).",
            "The arm was calibrated again since, or the file is another arm's.",
            "Give the file of that time. If its ranges are the same, say --trust-calibration.",
        )


def _check_gripper(
    source: Source, came: str, grippers: Mapping[str, npt.NDArray[np.bool_]]
) -> None:
    noted = source.convention.gripper
    reach = max(
        (_reach(*bounds, grippers[key]) for key, bounds in source.bounds.items()), default=None
    )
    # Without a note it is as LeRobot records it, unless the numbers speak against that.
    looks = reach is None or (reach > _OVERSHOOT) == (came == "percent_open")
    if not (noted == came if source.is_noted else looks):
        seen = "" if reach is None else f" and reaches {reach:.2f}"
        raise DatasetError(
            f"The gripper of {source.root} is {noted}{seen}; this formula takes {came}.",
            "It was converted before, or by another program.",
            "Choose the formula that fits: "
            + ", ".join(f"{word} takes {took}" for word, (took, _) in FORMULAS.items()),
        )


def _check_actions(source: Source, wanted: Actions, names: Mapping[str, Sequence[str]]) -> None:
    if source.convention.actions == wanted and (source.is_noted or wanted == "delta"):
        raise DatasetError(
            f"The actions of {source.root} are {wanted} already.",
            "It was converted before." if wanted == "delta" else "It was recorded so.",
            "Leave out --actions.",
        )
    if names.get(ACTION) != names.get(STATE):
        raise DatasetError(
            f"Action and state of {source.root} are not of the same joints in the same order.",
            "It was recorded on another robot, or edited.",
            "Delta actions need a state for each action.",
        )


def _reordered(
    names: Sequence[str], wanted: Sequence[tuple[str, str]], prefix: str, feature: str
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    pairs = tuple(wanted) or tuple((name, name) for name in names)
    places, new_names = [], []
    for old, new in pairs:
        full = old if old in names else f"{old}.pos"
        if full not in names:
            raise DatasetError(
                f"{feature} has no joint {old!r}.",
                "The name is misspelt.",
                f"It has {', '.join(names)}.",
            )
        ending = ".pos" if full.endswith(".pos") and not new.endswith(".pos") else ""
        places.append(names.index(full))
        new_names.append(f"{prefix}{new}{ending}")
    if sorted(places) != list(range(len(names))) or len(set(new_names)) != len(names):
        raise DatasetError(
            f"--joints has to name every joint of {feature} once.",
            "One is missing, or two have one name.",
            f"It has {', '.join(names)}.",
        )
    return tuple(new_names), tuple(places)


def _renamed_cameras(source: Source, pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    renamed: dict[str, str] = {}
    for old, new in pairs:
        key = old if old in source.cameras else f"{IMAGES}{old}"
        if key not in source.cameras:
            raise DatasetError(
                f"{source.root} has no camera {old!r}.",
                "The name is misspelt, or it was renamed before.",
                f"It has {', '.join(each.removeprefix(IMAGES) for each in source.cameras)}.",
            )
        wanted = new if new.startswith("observation.") else f"{IMAGES}{new}"
        if "/" in wanted or not new.strip() or new != new.strip():
            raise DatasetError(
                f"{new!r} cannot be a camera's name.",
                "LeRobot's feature names have no slash, and are folders.",
                "Choose letters, digits, _ . -",
            )
        renamed[key] = wanted
    kept = [key for key in source.features if key not in renamed]
    if len({*kept, *renamed.values()}) != len(kept) + len(renamed):
        raise DatasetError(
            f"Two features of {source.root} would have one name.",
            "A camera was given the name of another one.",
            f"It has {', '.join(source.features)}.",
        )
    return renamed
