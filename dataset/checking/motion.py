"""Findings about motion: whether the state is that of an arm which does what the action says.

A joint goes where it is sent, some frames later. Columns that do not are not what their names say,
however well-formed they are. Only stretches in which a joint moved are judged: in an arm that stands,
encoders flicker by a tick or two and a goal may be set to what was measured, which proves nothing.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from daemon.recorder.tables import ACTION, STATE
from dataset.checking.contents import Contents
from dataset.checking.rows import Stretches
from dataset.checking.values import (
    CONVERT,
    GRIPPER,
    Values,
    names_of,
    units_of_values,
    values_of,
)
from dataset.findings import Finding, error, warning

_LEAST_ROWS = 50
_FOLLOWS = 0.5
_SAME = 0.99
_LEAD_FRAMES = 2
_LEAD_MARGIN = 0.1
_MOVED_DEGREES = 3.0
"""What a joint has to move to be judged, also in percent: an STS3215's encoder has ticks of 0.09
degrees, and a hand that holds a leader still does not hold it perfectly still."""
_MOVED = {"radians": 0.3, "unit": 0.2, "ticks": 34.0}
"""The same in other units. Radians and numbers of -1..1 are told from degrees by their smallness,
so a little of them could be degrees of an arm that stands."""


def check_following(
    found: Contents, rows: pa.Table, where: Stretches, wanted: range | None
) -> list[Finding]:
    """Whether `observation.state` is what the arm did after `action` told it, joint by joint.

    A joint goes where it is sent, some frames later: state and action of the same names correlate
    highly, by far. What does not is another column than it says (an object's pose, in a case that
    cost people weeks).
    """
    names = names_of(found, ACTION)
    state, action = values_of(rows, STATE, len(names)), values_of(rows, ACTION, len(names))
    if state is None or action is None or names_of(found, STATE) != names:
        return []
    if not (np.isfinite(state).all() and np.isfinite(action).all()):
        return []
    least = _least_motion(state, names), _least_motion(action, names)
    spans = [
        place
        for episode, places in where.items()
        if wanted is None or episode in wanted
        for place in places
        if place[1] - place[0] > found.fps
    ]
    every = [(state[a:b], action[a:b]) for a, b in spans]
    pairs = [pair for pair in every if _moved(pair, least).any()]
    if sum(len(s) for s, _ in pairs) < _LEAST_ROWS:
        return []
    moving = _moving(pairs, least)
    return _copied(pairs) or _unrelated(found, pairs, moving) or _late(found, pairs, moving)


def _least_motion(values: Values, names: list[str]) -> float:
    """How far a joint of `values` [rows, n] has to go to count as moving, in their own unit."""
    joints = [GRIPPER if GRIPPER in name else name for name in names]
    return _MOVED.get(units_of_values(values, joints), _MOVED_DEGREES)


def _moved(pair: tuple[Values, Values], least: tuple[float, float]) -> npt.NDArray[np.bool_]:
    """Which joints moved, or were told to."""
    state, action = pair
    moved = (np.ptp(state, axis=0) >= least[0]) | (np.ptp(action, axis=0) >= least[1])
    return np.asarray(moved)


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


def _unrelated(
    found: Contents, pairs: list[tuple[Values, Values]], moving: list[int]
) -> list[Finding]:
    lags = range(-max(_LEAD_FRAMES, found.fps // 3), max(2, found.fps // 2))
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
                CONVERT,
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


def _late(found: Contents, pairs: list[tuple[Values, Values]], moving: list[int]) -> list[Finding]:
    """State that is ahead of the action, which no arm is."""
    if not moving:
        return []
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


def _moving(pairs: list[tuple[Values, Values]], least: tuple[float, float]) -> list[int]:
    """Which joints say something: those that moved, and were told to beside the others."""
    spread = np.std(np.concatenate([action for _, action in pairs]), axis=0)
    moved = np.any([_moved(pair, least) for pair in pairs], axis=0)
    told = spread > max(1e-6, 0.02 * spread.max())
    return [int(i) for i in np.flatnonzero(moved & told)]


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
    state, action = values_of(rows, STATE, len(names)), values_of(rows, ACTION, len(names))
    if state is None or action is None or names_of(found, STATE) != names:
        return []
    body = [i for i, name in enumerate(names) if GRIPPER not in name]
    reach = np.ptp(action[:, body], axis=0) if len(action) else np.empty(0)
    least = _least_motion(action, names)
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
                if (sent > np.maximum(0.1 * reach, least)).any():
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
