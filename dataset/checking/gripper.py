"""Which way a gripper closes, as far as its numbers can tell.

A range of 0..100 says nothing of it. What does: a gripper that holds something is commanded further
closed than it gets, and stands there. So, of the moments in which it stands between its ends away
from its goal, nearly all have the goal on the closed side. And the goal moves as the state moves.
"""

import numpy as np
import pyarrow as pa

from daemon.recorder.tables import ACTION, STATE
from dataset.checking.contents import Contents, column
from dataset.checking.rows import Stretches
from dataset.checking.values import GRIPPER, Values, joint_of, names_of
from dataset.findings import Finding, error, warning

_AWAY = 2.5
"""Of 100. At rest friction and gravity leave up to 1.7 in the simulated arm; what robotd's gate lets
it squeeze with is 3, what a person squeezes a leader with is more."""

_STANDS = 0.5  # of 100, over a third of a second
_MIDDLE = (10.0, 85.0)
_LEAST_EPISODES = 3
_LEAST_S = 2.0
_SURE = 5.0
_LEAST_ROWS = 50
_AGAINST = -0.5


def check_gripper(
    found: Contents, rows: pa.Table, where: Stretches
) -> tuple[list[Finding], dict[str, str]]:
    """Findings, and what can be said of the polarity in a word."""
    names = names_of(found, ACTION)
    states, actions = column(rows, STATE), column(rows, ACTION)
    places = [i for i, name in enumerate(names) if joint_of(name) == GRIPPER]
    if states.ndim != 2 or states.shape != (len(states), len(names)):
        return [], {}
    if not places or names_of(found, STATE) != names or states.shape != actions.shape:
        return [], {}
    findings: list[Finding] = []
    words = []
    for place in places:
        state, action = states[:, place].astype(float), actions[:, place].astype(float)
        if not np.isfinite(state).all() or not np.isfinite(action).all():
            continue
        if _opposed(state, action, found.fps):
            findings.append(
                error(
                    "gripper-opposed",
                    f"{names[place]}: state and action go in opposite directions.",
                    "One of the two was inverted (1 - x) and the other was not.",
                    "Invert the wrong one of the two; `robotd dataset convert` changes both alike.",
                )
            )
            continue
        closed_low, closed_high, episodes = _held(found, state, action, where)
        if closed_high > max(_LEAST_S, _SURE * closed_low) and len(episodes) >= _LEAST_EPISODES:
            findings.append(
                warning(
                    "gripper-inverted",
                    f"{names[place]} seems to close towards 100: for {closed_high:.0f} s it stands "
                    f"held with its goal above it, for {closed_low:.0f} s below.",
                    "It was converted for a policy whose gripper is 1 when closed (openpi).",
                    "LeRobot's SO-101 is 0 closed, 100 open: robotd dataset convert NAME --gripper "
                    "100-100x --out NEW turns it round, once it is divided by 100.",
                    episodes=tuple(episodes),
                )
            )
        elif closed_low > max(_LEAST_S, _SURE * closed_high):
            words.append(f"{names[place]} closes towards 0 (it was held {closed_low:.0f} s so)")
        else:
            words.append(f"{names[place]}: nothing was held, so its numbers do not tell")
    return findings, ({"gripper": "; ".join(words)} if words else {})


def _opposed(state: Values, action: Values, fps: int) -> bool:
    """Whether they go against each other, whichever of the next frames is looked at."""
    if len(state) < _LEAST_ROWS or np.std(state) < 1e-6 or np.std(action) < 1e-6:
        return False
    lags = range(max(2, fps // 2))
    return all(
        np.corrcoef(state[lag:], action[: len(action) - lag])[0, 1] < _AGAINST for lag in lags
    )


def _held(
    found: Contents,
    state: Values,
    action: Values,
    where: Stretches,
) -> tuple[float, float, list[int]]:
    """Seconds in which it stands away from its goal, with the goal below and above it, and the
    episodes in which it is above."""
    window = max(2, found.fps // 3)
    below = above = 0
    episodes = []
    for episode, places in where.items():
        for first, stop in places:
            if stop - first <= window:
                continue
            part = state[first:stop]
            views = np.lib.stride_tricks.sliding_window_view(part, window)
            stands = np.ptp(views, axis=1) < _STANDS
            now, goal = part[window - 1 :], action[first + window - 1 : stop]
            held = stands & (now > _MIDDLE[0]) & (now < _MIDDLE[1])
            lower, upper = held & (goal < now - _AWAY), held & (goal > now + _AWAY)
            below += int(lower.sum())
            above += int(upper.sum())
            if upper.any():
                episodes.append(episode)
    return below / found.fps, above / found.fps, episodes
