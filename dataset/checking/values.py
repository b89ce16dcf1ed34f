"""Findings about what the numbers mean: names, units, the range of a gripper.

Only what numbers can prove or make very likely becomes a finding. Where degrees and LeRobot's ±100
both fit, or nothing tells which way a gripper closes, that is a fact beside the findings.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from daemon.recorder.schema import JOINTS
from daemon.recorder.tables import ACTION, STATE
from dataset.checking.contents import Contents, column
from dataset.findings import Finding, error, warning

type Values = npt.NDArray[np.float64]

GRIPPER = "gripper"
_PREFIXES = ("left_", "right_", "main_")
_SUFFIXES = (".pos", ".position", "_pos")
_CLAMP = 100.5  # ±100 is clamped by LeRobot's driver; half a unit for rounding
_DEGREES_END = 400.0  # a joint turns less than once; encoder ticks go to 4095
_RADIANS_END = 3.3  # half a turn, and a little
_GRIPPER_ROOM = 10.0
CONVERT = "robotd dataset convert NAME --units degrees --from-units … --out NEW converts it."


def joint_of(name: str) -> str:
    """The SO-101's joint that a feature's name means, "" if none."""
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    return name if name in JOINTS else ""


def names_of(found: Contents, key: str) -> list[str]:
    """A feature's names, flat; converted datasets keep them as {"motors": [...]}."""
    names = found.features.get(key, {}).get("names")
    if isinstance(names, dict):
        names = next(iter(names.values()), [])
    return [str(name) for name in names] if isinstance(names, list) else []


def check_names(found: Contents) -> list[Finding]:
    """Whether every value of state and action has a name, and the same one in both."""
    result = []
    state, action = names_of(found, STATE), names_of(found, ACTION)
    for key, names in ((STATE, state), (ACTION, action)):
        if key not in found.features:
            continue
        size = int(np.prod(found.features[key]["shape"]))
        if len(names) != size or len(set(names)) != len(names):
            what = "no names" if not names else f"{len(set(names))} names"
            result.append(
                warning(
                    "names",
                    f"{key} has {size} values and {what} for them.",
                    "It was made by a converter that does not know the joints.",
                    "Write the joints' names into meta/info.json: without them a policy's output "
                    "can go to the wrong joint.",
                )
            )
    if state and action and set(state) == set(action) and state != action:
        result.append(
            error(
                "names-order",
                f"{STATE} and {ACTION} name the same joints in another order.",
                "They were put together from two sources.",
                "Put both in one order: robotd dataset convert NAME --joints … --out NEW.",
            )
        )
    joints = [joint_of(name) for name in action]
    known = [each for each in joints if each]
    if known and joints[: len(JOINTS)] != list(JOINTS) and set(joints) == set(JOINTS):
        result.append(
            warning(
                "names-order",
                f"{ACTION} is not in the order of the arm's servos ({', '.join(joints)}).",
                "It was recorded by another program than LeRobot.",
                "robotd and LeRobot go by names; policies that do not will mix the joints up.",
            )
        )
    if ACTION not in found.features:
        result.append(
            warning(
                "no-action",
                f"There is no feature `{ACTION}`.",
                "Only observations were recorded, or the feature has another name.",
                "No policy can learn from it without one.",
            )
        )
    return result


def units_of_values(values: Values, joints: list[str]) -> str:
    """What units prove to be of: "degrees", "range_m100_100", "radians", "unit", "ticks"; "" where
    degrees and ±100 both fit. `values` [rows, n], `joints` their names, "" where unknown."""
    body = values[:, [i for i, joint in enumerate(joints) if joint not in ("", GRIPPER)]]
    if not body.size:
        return ""
    reach, spread = float(np.abs(body).max()), float(np.ptp(body, axis=0).max())
    if reach > _DEGREES_END:
        return "ticks"
    if reach > _CLAMP:
        return "degrees"
    if reach <= 1.05 and spread > 0.05:
        return "unit"
    if reach <= _RADIANS_END and spread > 0.3:
        return "radians"
    return "range_m100_100" if reach >= 99.99 and reach <= 100.001 else ""


def check_units(
    found: Contents, rows: pa.Table, noted: str
) -> tuple[list[Finding], dict[str, str]]:
    """Units of joints and range of the gripper. `noted` is what robotd wrote beside an episode."""
    result: list[Finding] = []
    facts: dict[str, str] = {}
    seen: dict[str, str] = {}
    for key in (STATE, ACTION):
        joints = [joint_of(name) for name in names_of(found, key)]
        values = values_of(rows, key, len(joints))
        if values is None or not any(joints):
            continue
        units = units_of_values(values, joints)
        seen[key] = units
        result += _units_findings(key, units, noted)
        result += _gripper_range(key, values, joints, units)
    if seen:
        facts["units"] = noted or _units_words(seen.get(ACTION) or seen.get(STATE) or "")
    return result, facts


def _units_words(units: str) -> str:
    return {
        "": "degrees or LeRobot's ±100, which the values cannot tell",
        "degrees": "degrees (proven by values beyond ±100)",
        "range_m100_100": "LeRobot's ±100 (values end there)",
        "unit": "-1..1",
    }.get(units, units)


def _units_findings(key: str, units: str, noted: str) -> list[Finding]:
    if units in ("radians", "unit", "ticks"):
        words = {"unit": "numbers of -1..1", "ticks": "encoder ticks"}.get(units, units)
        return [
            warning(
                "units",
                f"{key} looks like {words}; LeRobot's SO-101 has degrees (or ±100).",
                "It was recorded or converted for another program (simulation, openpi).",
                f"A policy trained on it moves the arm by other amounts than were shown. {CONVERT}",
            )
        ]
    if (noted == "degrees" and units == "range_m100_100") or (
        noted == "range_m100_100" and units == "degrees"
    ):
        return [
            error(
                "units",
                f"robotd noted {noted} for this dataset, but {key} is in {units}.",
                "Episodes recorded with another setting were merged into it.",
                "Keep episodes of two units in two datasets.",
            )
        ]
    return []


def _gripper_range(key: str, values: Values, joints: list[str], units: str) -> list[Finding]:
    result = []
    for place, joint in enumerate(joints):
        if joint != GRIPPER:
            continue
        low, high = float(values[:, place].min()), float(values[:, place].max())
        if units not in ("radians", "unit") and low >= -0.05 and 0.05 < high <= 1.05:
            words = "in 0..1"
        elif low < -_GRIPPER_ROOM or high > 100 + _GRIPPER_ROOM:
            words = f"from {low:.0f} to {high:.0f}"
        else:
            continue
        result.append(
            warning(
                "gripper-range",
                f"The gripper of {key} is {words}; LeRobot's is 0 (closed) to 100 (open).",
                "It was converted for another policy, or recorded without the gripper's calibration.",
                "robotd dataset convert NAME --gripper 100x --out NEW brings 0..1 to 0..100 (100-100x, "
                "if it is 1 when closed).",
            )
        )
    return result


def values_of(rows: pa.Table, key: str, size: int) -> Values | None:
    """A column as float64 [rows, n]; None where there is none of `size` values."""
    values: npt.NDArray[Any] = column(rows, key)
    if values.ndim != 2 or not len(values) or values.shape[1] != size or values.dtype.kind == "O":
        return None
    return values.astype(np.float64)
