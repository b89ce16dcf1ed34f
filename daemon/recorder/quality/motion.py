"""The quality gate on joints: does the state follow the action, and is it a motion at all?

An action leads its state by the servo's lag, a tenth of a second. Speeds are compared, not
positions: two slow ramps resemble each other whoever made them.
"""

import numpy as np
import numpy.typing as npt

from daemon.recorder.quality import limits
from daemon.recorder.quality.finding import Finding, runs, span
from daemon.recorder.quality.rows import EpisodeRows, Floats
from robotd.clock import NS_PER_S

GRIPPER = "gripper"
_SIDES = ("left_", "right_")


def motion_findings(rows: EpisodeRows, *, gripper_idle_before: bool = False) -> list[Finding]:
    """Everything that states and actions tell. `gripper_idle_before`: no episode of the dataset
    ever moved it, so that this one is no exception."""
    if len(rows.state) < 3 or rows.state.shape != rows.action.shape:
        return []
    span_of_action = np.ptp(rows.action, axis=0)
    frozen = _frozen(rows)
    if span_of_action.max() < limits.NOTHING_MOVED:
        return [_nothing_moved(), *_jumps(rows)]
    found = [*frozen, *_jumps(rows)]
    if not frozen:
        found += _swapped_arms(rows) or _following(rows)
    if not gripper_idle_before:
        found += _idle_grippers(rows, span_of_action)
    return found


def _nothing_moved() -> Finding:
    return Finding(
        code="no_motion",
        severity="warn",
        what="No joint was asked to move.",
        do="Undo it (u), unless the arm was to stand still. Did the leader have the arm?",
    )


def _frozen(rows: EpisodeRows) -> list[Finding]:
    """The whole state to the last bit the same while goals moved."""
    same = np.concatenate([[False], (np.diff(rows.state, axis=0) == 0).all(axis=1)])
    stretches = []
    for first, last in runs(same):
        asked = np.ptp(rows.action[first - 1 : last], axis=0).max()
        if last - first >= limits.FROZEN_STATE_S * rows.fps and asked > limits.FROZEN_STATE_ACTION:
            stretches.append((first - 1, last))
    if not stretches:
        return []
    whole = (stretches[0][0], stretches[-1][1])
    return [
        Finding(
            code="state_frozen",
            severity="bad",
            what=f"The state stood still {span(whole, rows.fps)} while the action moved.",
            do="Redo the episode. The joints were not read: check cables; robotd logs control",
            from_s=whole[0] / rows.fps,
            to_s=whole[1] / rows.fps,
        )
    ]


def _jumps(rows: EpisodeRows) -> list[Finding]:
    found = []
    period_s = np.maximum(np.diff(rows.deadline_ns) / NS_PER_S, 1.0 / rows.fps)
    for values, code, word, do in (
        (
            rows.state,
            "state_jump",
            "was read",
            "An encoder or a cable: robotd stop, robotd doctor bus",
        ),
        (
            rows.action,
            "action_jump",
            "was asked to go",
            "Goals passed no limits: robotd logs control",
        ),
    ):
        steps = np.diff(values, axis=0)
        far = np.abs(steps) > limits.JUMP_FACTOR * limits.SPEED_PER_S * period_s[:, None]
        back = np.zeros_like(far)
        most = 2 * limits.ACCELERATION_PER_S2 * np.maximum(period_s[1:], period_s[:-1]) ** 2
        back[1:] = np.abs(np.diff(steps, axis=0)) > most[:, None]
        torn = far | back
        for joint in np.flatnonzero(torn.any(axis=0)):
            where = np.flatnonzero(torn[:, joint]) + 1
            size = float(np.abs(steps[where - 1, joint]).max())
            found.append(
                Finding(
                    code=code,
                    severity="bad",
                    joint=rows.joints[joint],
                    what=f"{rows.joints[joint]} {word} {size:.0f} units away from one row to the "
                    "next, faster than the servo turns.",
                    do=f"Redo the episode. {do}",
                    from_s=float((where[0] - 1) / rows.fps),
                    to_s=float(where[-1] / rows.fps),
                )
            )
    return found


def _following(rows: EpisodeRows) -> list[Finding]:
    """Joint by joint: dead, stuck, reversed, unrelated; then the whole arm's lag."""
    found = []
    sound = []
    for joint, name in enumerate(rows.joints):
        stuck = None if name.endswith(GRIPPER) else _stuck(rows, joint)
        dead = _dead(rows, joint)
        trouble = [dead] if dead is not None else [stuck, _unrelated(rows, joint)]
        findings = [each for each in trouble if each is not None]
        if findings:
            found += findings
        elif np.ptp(rows.action[:, joint]) >= limits.COMPARED:
            sound.append(joint)
    if sound:
        found += _lag(rows, sound)
    return found


def _dead(rows: EpisodeRows, joint: int) -> Finding | None:
    name = rows.joints[joint]
    asked, went = np.ptp(rows.action[:, joint]), np.ptp(rows.state[:, joint])
    least = limits.MOVED_GRIPPER if name.endswith(GRIPPER) else limits.MOVED
    if asked < least or went >= limits.DEAD_SHARE * asked:
        return None
    return Finding(
        code="joint_dead",
        severity="bad",
        joint=name,
        what=f"{name} moved {went:.1f} units while its action moved {asked:.0f}.",
        do="Redo the episode. Its servo has no torque or slips: robotd stop, robotd doctor bus",
        from_s=0.0,
        to_s=len(rows.state) / rows.fps,
    )


def _stuck(rows: EpisodeRows, joint: int) -> Finding | None:
    """A joint that stood for a second, though it was asked far away."""
    name, window = rows.joints[joint], max(3, round(limits.STUCK_S * rows.fps))
    late = round(limits.LAG_SLOW_S * rows.fps)  # what an arm that follows at all has done by then
    if len(rows.state) < window + late:
        return None
    asked = np.ptp(_windows(rows.action[: len(rows.action) - late, joint], window), axis=1)
    went = np.ptp(_windows(rows.state[:, joint], window + late), axis=1)
    held = (asked >= limits.STUCK_ACTION) & (went < limits.DEAD_SHARE * asked)
    if not held.any():
        return None
    where = np.flatnonzero(held)
    whole = (int(where[0]), int(where[-1]) + window)
    return Finding(
        code="joint_stuck",
        severity="bad",
        joint=name,
        what=f"{name} stood {span(whole, rows.fps)} while its action moved "
        f"{asked[where].max():.0f} units.",
        do="Redo the episode. It was blocked, or its servo gave up: robotd status",
        from_s=whole[0] / rows.fps,
        to_s=whole[1] / rows.fps,
    )


def _windows(values: Floats, size: int) -> Floats:
    return np.lib.stride_tricks.sliding_window_view(values, size)


def _unrelated(rows: EpisodeRows, joint: int) -> Finding | None:
    name = rows.joints[joint]
    if np.ptp(rows.action[:, joint]) < limits.COMPARED:
        return None
    scores = _correlations(rows, [joint], [joint])
    if scores is None or scores.max() >= limits.CORRELATED:
        return None
    if scores[_following_lags(rows)].min() <= limits.REVERSED:
        return Finding(
            code="joint_reversed",
            severity="bad",
            joint=name,
            what=f"{name} moves against its action.",
            do="Redo the episode after a new calibration: its sign is wrong",
        )
    return Finding(
        code="decorrelated",
        severity="bad",
        joint=name,
        what=f"{name} does not follow its action: their speeds agree by {max(scores.max(), 0):.2f} "
        "of 1.",
        do="Redo the episode. Is another joint's cable or number in its place? robotd stop, then "
        "robotd selftest --hardware",
    )


def _lag(rows: EpisodeRows, joints: list[int]) -> list[Finding]:
    """How far behind its action the arm is, all joints together."""
    moving = rows.action[:, joints]
    gap = np.abs(moving - rows.state[:, joints]).max()
    if gap < limits.SAME:
        return [
            Finding(
                code="action_is_state",
                severity="bad",
                what="The action is the measured position, row by row: a policy learns to stand.",
                do="Redo the episode with the arm armed, led by a leader, a script or a policy",
            )
        ]
    scores = _correlations(rows, joints, joints)
    if scores is None:
        return []
    lags = _lags(rows)
    best = int(scores.argmax())
    lag_s = float(lags[best] / rows.fps)
    if lags[best] < 0 and scores[best] > scores[lags == 0][0]:
        return [
            Finding(
                code="action_behind",
                severity="bad",
                what=f"The state is {-lag_s:.2f} s ahead of the action that is to cause it.",
                do="Do not train on it: rows and actions are shifted. Please report it with robotd logs",
            )
        ]
    if lag_s >= limits.LAG_SLOW_S:
        return [
            Finding(
                code="slow_follower",
                severity="warn",
                what=f"The arm follows its action {lag_s:.2f} s later.",
                do="Supply voltage or torque limit is low, or the arm carries too much: robotd status",
            )
        ]
    return []


def _swapped_arms(rows: EpisodeRows) -> list[Finding]:
    """Two arms of which each follows the other's action."""
    sides = [
        [at for at, name in enumerate(rows.joints) if name.startswith(side)] for side in _SIDES
    ]
    if not all(sides) or len(sides[0]) != len(sides[1]):
        return []
    left, right = sides
    scores = []
    for first, second in ((left, right), (right, left)):
        pairs = [
            (here, there)
            for here, there in zip(first, second, strict=True)
            if np.ptp(rows.action[:, here]) >= limits.COMPARED
        ]
        if not pairs:
            continue
        own = _correlations(rows, [here for here, _ in pairs], [here for here, _ in pairs])
        other = _correlations(rows, [here for here, _ in pairs], [there for _, there in pairs])
        if own is None or other is None:
            continue
        scores.append((float(own.max()), float(other.max())))
    if not scores or not all(
        own < limits.CORRELATED and other > limits.SWAPPED for own, other in scores
    ):
        return []
    return [
        Finding(
            code="arms_swapped",
            severity="bad",
            what="Each arm follows the other one's action.",
            do="Redo the episode: exchange the arms' ports in the profile (arms.left, arms.right)",
        )
    ]


def _idle_grippers(rows: EpisodeRows, span_of_action: Floats) -> list[Finding]:
    return [
        Finding(
            code="gripper_idle",
            severity="warn",
            joint=name,
            what=f"{name} never moved.",
            do="Fine for a push; for a grasp, redo it: did the leader's trigger move?",
        )
        for joint, name in enumerate(rows.joints)
        if name.endswith(GRIPPER)
        and max(span_of_action[joint], np.ptp(rows.state[:, joint])) < limits.GRIPPER_MOVED
    ]


def _lags(rows: EpisodeRows) -> npt.NDArray[np.int64]:
    """The shifts tried, in rows; positive: the state comes after the action."""
    return np.arange(
        -round(limits.LAG_BEFORE_S * rows.fps), round(limits.LAG_AFTER_S * rows.fps) + 1
    )


def _following_lags(rows: EpisodeRows) -> npt.NDArray[np.bool_]:
    return _lags(rows) >= 0


def _correlations(rows: EpisodeRows, actions: list[int], states: list[int]) -> Floats | None:
    """How well speeds of `states` agree with those of `actions` at every lag, -1..1, all joints
    together; None for an episode too short to tell."""
    asked = _speeds(rows, rows.action[:, actions])
    went = _speeds(rows, rows.state[:, states])
    lags = _lags(rows)
    if len(asked) < 3 * len(lags) or not asked.any() or not went.any():
        return None
    scores = []
    for lag in lags:
        first, second = (
            (asked[: len(asked) - lag], went[lag:])
            if lag >= 0
            else (
                asked[-lag:],
                went[: len(went) + lag],
            )
        )
        first, second = first - first.mean(axis=0), second - second.mean(axis=0)
        size = np.sqrt((first**2).sum() * (second**2).sum())
        scores.append(float((first * second).sum() / size) if size > 0 else 0.0)
    return np.array(scores)


def _speeds(rows: EpisodeRows, values: Floats) -> Floats:
    """Steps from row to row [rows - 1, n], averaged over `SMOOTH_S`."""
    steps = np.diff(values, axis=0)
    width = max(1, round(limits.SMOOTH_S * rows.fps))
    if len(steps) <= width:
        return steps
    sums = np.cumsum(np.concatenate([np.zeros((1, steps.shape[1])), steps]), axis=0)
    return np.asarray((sums[width:] - sums[:-width]) / width)
