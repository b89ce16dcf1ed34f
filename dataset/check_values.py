"""Findings about what the numbers mean: names, units, gripper, and whether state follows action.

Only what numbers can prove or make very likely becomes a finding. Where degrees and LeRobot's ±100
both fit, or nothing tells which way a gripper closes, that is a fact beside the findings.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from daemon.recorder.schema import JOINTS
from daemon.recorder.tables import ACTION, STATE
from dataset.check_contents import Contents, column
from dataset.check_rows import Stretches
from dataset.findings import Finding, error, warning

type Values = npt.NDArray[np.float64]

GRIPPER = "gripper"
_PREFIXES = ("left_", "right_", "main_")
_SUFFIXES = (".pos", ".position", "_pos")
_CLAMP = 100.5  # ±100 is clamped by LeRobot's driver; half a unit for rounding
_DEGREES_END = 400.0  # a joint turns less than once; encoder ticks go to 4095
_RADIANS_END = 3.3  # half a turn, and a little
_GRIPPER_ROOM = 10.0
_CONVERT = "robotd dataset convert NAME --units degrees --from-units … --out NEW converts it."


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
        values = _values(rows, key, len(joints))
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
                f"A policy trained on it moves the arm by other amounts than were shown. {_CONVERT}",
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
                "robotd dataset convert NAME --gripper 100x (or 100-100x, if it is 1 when closed) "
                "--out NEW brings 0..1 to 0..100.",
            )
        )
    return result


def check_following(
    found: Contents, rows: pa.Table, where: Stretches, wanted: range | None
) -> list[Finding]:
    """Whether `observation.state` is what the arm did after `action` told it, joint by joint.

    A joint goes where it is sent, some frames later: state and action of the same names correlate
    highly, by far. What does not is another column than it says (an object's pose, in a case that
    cost people weeks).
    """
    names = names_of(found, ACTION)
    state, action = _values(rows, STATE, len(names)), _values(rows, ACTION, len(names))
    if state is None or action is None or names_of(found, STATE) != names:
        return []
    if not (np.isfinite(state).all() and np.isfinite(action).all()):
        return []
    spans = [
        place
        for episode, places in where.items()
        if wanted is None or episode in wanted
        for place in places
        if place[1] - place[0] > found.fps
    ]
    if sum(stop - first for first, stop in spans) < _LEAST_ROWS:
        return []
    pairs = [(state[a:b], action[a:b]) for a, b in spans]
    return _copied(pairs) or _unrelated(found, pairs) or _late(found, pairs)


_LEAST_ROWS = 50
_FOLLOWS = 0.5
_SAME = 0.99
_LEAD_FRAMES = 2
_LEAD_MARGIN = 0.1


def _copied(pairs: list[tuple[Values, Values]]) -> list[Finding]:
    state = np.concatenate([s for s, _ in pairs])
    action = np.concatenate([a for _, a in pairs])
    if np.ptp(state, axis=0).max() < 1e-9 < np.ptp(action, axis=0).max():
        return [
            warning(
                "state-constant",
                f"{STATE} is the same in every row while {ACTION} changes.",
                "The servos were not read, or the column was filled in.",
                "A policy cannot know where the arm is: record again.",
            )
        ]
    if np.ptp(action, axis=0).max() > 1e-9 and (state == action).all(axis=1).mean() > _SAME:
        return [
            warning(
                "state-is-action",
                f"{STATE} is {ACTION}, number by number.",
                "The command was stored as the state; nothing was measured.",
                "A policy learns to repeat its input, and stands still: record again.",
            )
        ]
    return []


def _unrelated(found: Contents, pairs: list[tuple[Values, Values]]) -> list[Finding]:
    lags = range(-max(_LEAD_FRAMES, found.fps // 3), max(2, found.fps // 2))
    moving = _moving(pairs)
    if not moving:
        return []
    best = max(float(np.median(_correlation(pairs, lag, moving))) for lag in lags)
    scale = _scale(pairs, moving)
    if best >= _FOLLOWS and 0.2 <= scale <= 5:
        return []
    steps = [(np.diff(s, axis=0), a[:-1]) for s, a in pairs]
    if (
        float(np.median(_correlation(steps, 0, moving))) > _FOLLOWS
        and 0.2 <= _scale(steps, moving) <= 5
    ):
        return [
            warning(
                "delta-actions",
                f"{ACTION} looks like differences: it goes with the change of {STATE}.",
                "It was converted to delta actions.",
                "Only a policy that is told so can use it; robotd dataset convert NAME --actions "
                "absolute --out NEW takes it back.",
            )
        ]
    if best >= _FOLLOWS:
        return [
            error(
                "units-differ",
                f"{STATE} moves {scale:.3g} times as far as {ACTION}.",
                "One of them is in other units (57.3 is degrees to radians).",
                _CONVERT,
            )
        ]
    return [
        error(
            "state-not-joints",
            f"{STATE} does not follow {ACTION}: their correlation is {best:.2f} at best, over "
            f"{max(lags)} frames; joints of an arm have 0.9 and more.",
            "The state is not the joints' (a simulation's qpos that begins with an object, the "
            "hand's pose), or rows of two recordings were mixed.",
            "Find where the state comes from and record again; policies trained on it learned from "
            "something else than the arm.",
        )
    ]


def _late(found: Contents, pairs: list[tuple[Values, Values]]) -> list[Finding]:
    """State that is ahead of the action, which no arm is."""
    moving = _moving(pairs)
    speeds = [(np.diff(s, axis=0), np.diff(a, axis=0)) for s, a in pairs]
    most = max(_LEAD_FRAMES, found.fps // 3)
    by_lag = {
        lag: float(np.median(_correlation(speeds, lag, moving))) for lag in range(-most, most + 1)
    }
    best = max(by_lag, key=lambda lag: by_lag[lag])
    behind = max(value for lag, value in by_lag.items() if lag >= 0)
    if best > -_LEAD_FRAMES or by_lag[best] < _FOLLOWS or by_lag[best] < behind + _LEAD_MARGIN:
        return []
    return [
        warning(
            "state-leads",
            f"{STATE} is {-best} frames ahead of {ACTION}.",
            "The actions were stored late, or the state column was shifted.",
            "A policy trained on it acts on what it has not seen yet: shift it back or record again.",
        )
    ]


def _moving(pairs: list[tuple[Values, Values]]) -> list[int]:
    spread = np.std(np.concatenate([action for _, action in pairs]), axis=0)
    return [i for i in range(len(spread)) if spread[i] > max(1e-6, 0.02 * spread.max())]


def _correlation(pairs: list[tuple[Values, Values]], lag: int, joints: list[int]) -> Values:
    """Pearson's correlation of action at t and state at t + lag, for each of `joints`."""
    cut = [
        (s[lag:], a[: len(a) - lag]) if lag >= 0 else (s[:lag], a[-lag:])
        for s, a in pairs
        if len(s) > abs(lag) + 1
    ]
    state = np.concatenate([s for s, _ in cut])[:, joints]
    action = np.concatenate([a for _, a in cut])[:, joints]
    state, action = state - state.mean(axis=0), action - action.mean(axis=0)
    scale = np.sqrt((state**2).sum(axis=0) * (action**2).sum(axis=0))
    return np.asarray((state * action).sum(axis=0) / np.maximum(scale, 1e-12))


def _scale(pairs: list[tuple[Values, Values]], joints: list[int]) -> float:
    state = np.std(np.concatenate([s for s, _ in pairs]), axis=0)[joints]
    action = np.std(np.concatenate([a for _, a in pairs]), axis=0)[joints]
    return float(np.median(state / action))


def check_frozen(
    found: Contents, rows: pa.Table, where: Stretches, wanted: range | None
) -> list[Finding]:
    """Stretches of a second or more in which the state stands while a joint is sent elsewhere.

    Grippers are left out: one that holds something stands, whatever it is told.
    """
    names = names_of(found, ACTION)
    state, action = _values(rows, STATE, len(names)), _values(rows, ACTION, len(names))
    if state is None or action is None or names_of(found, STATE) != names:
        return []
    body = [i for i, name in enumerate(names) if GRIPPER not in name]
    reach = np.ptp(action[:, body], axis=0) if len(action) else np.empty(0)
    if not body or np.ptp(state, axis=0).max() < 1e-9:
        return []
    frozen = []
    for episode, places in where.items():
        if wanted is not None and episode not in wanted:
            continue
        for a, b in places:
            still = np.all(np.diff(state[a:b], axis=0) == 0, axis=1)
            for first, stop in _stretches_of(still, max(2, found.fps)):
                sent = np.ptp(action[a + first : a + stop + 1][:, body], axis=0)
                if (sent > 0.1 * reach).any() and (reach > 1e-6).any():
                    frozen.append(episode)
    if not frozen:
        return []
    return [
        warning(
            "frozen",
            f"{STATE} stands still for a second or more while {ACTION} moves the arm.",
            "The servo bus was not answering, and the last values were stored again.",
            "Take the episodes out: robotd dataset delete-episode.",
            episodes=tuple(sorted(set(frozen))),
        )
    ]


def _stretches_of(flags: npt.NDArray[np.bool_], least: int) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [
        (int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= least
    ]


def _values(rows: pa.Table, key: str, size: int) -> Values | None:
    """A column as float64 [rows, n]; None where there is none of `size` values."""
    values: npt.NDArray[Any] = column(rows, key)
    if values.ndim != 2 or not len(values) or values.shape[1] != size or values.dtype.kind == "O":
        return None
    return values.astype(np.float64)
