"""From what was measured to what is wrong: the first cause that holds is the one. Pure.

A planted or real fault makes others look true: un-normalised actions also hardly move, a policy with
random weights also does not look at its state. So causes are asked in the order in which they
explain each other: what the data and statistics prove, then mistakes that, taken back, make the
policy good, then what it does not look at, then what it does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from policies.probe.causes import CAUSES
from policies.probe.measure import GripperEvents, JointFigures
from policies.probe.report import Finding, InputUse, Listening, Outcome
from policies.probe.undo import Trial, best

HEALTHY = 0.6  # spreads: a policy that errs less than this does what people did, roughly
_NOTHING = 0.15  # of the demonstrations' variance or way: it says nearly the same always
_UNTRAINED = 0.9  # of the normalisation layers as they were drawn
_FOLLOWS = 0.5  # correlation of a state with the action before it; recordings of joints have 0.95
_UNRELATED = 0.4  # correlation
_MIDDLE = 0.25  # standard deviations: the mean that a policy regresses to is this near
_DEAF = 0.1  # of what other pictures change
_EVENTS = 5  # closings and openings: of fewer nothing is said


@dataclass(frozen=True, slots=True)
class Seen:
    """All that a probe measured. `state_follows` [A]: the correlation of each moved joint's state
    with the action one row before, None where the recording has no such state."""

    error: float
    standing_still: float | None
    displacement: float | None
    joints: tuple[JointFigures, ...]
    grippers: tuple[GripperEvents, ...]
    trials: tuple[Trial, ...]
    inputs: tuple[InputUse, ...]
    listening: Listening | None
    state_follows: tuple[float, ...] | None
    untrained: float = 0.0  # share of its normalisation layers that are as they were drawn
    picture_statistics: str = ""  # what is wrong with them; empty when nothing
    reads_state: bool = True
    notes: tuple[str, ...] = field(default=())


def judge(seen: Seen) -> tuple[Finding, ...]:
    """What is wrong, the cause first; empty when nothing is."""
    top = _cause(seen)
    found = [] if top is None else [top]
    if top is None or top.outcome != "fail":
        deaf = _deaf(seen)
        found += [] if deaf is None else [deaf]
    return tuple(sorted(found, key=lambda each: each.outcome != "fail"))


def outcome_of(findings: Sequence[Finding]) -> Outcome:
    """The worst of them."""
    if any(each.outcome == "fail" for each in findings):
        return "fail"
    return "warn" if findings else "pass"


def _finding(cause: str, evidence: str, outcome: Outcome = "fail") -> Finding:
    known = CAUSES[cause]
    return Finding(
        cause=cause,
        outcome=outcome,
        what=known.what,
        evidence=evidence,
        likely=known.likely,
        do=known.do,
    )


def _cause(seen: Seen) -> Finding | None:
    ill = seen.error > HEALTHY
    return (
        _data(seen, "fail" if ill else "warn")
        or _mistake([each for each in seen.trials if not each.fitted])
        or (_unused(seen) if ill else None)
        or _mistake([each for each in seen.trials if each.fitted])
        or _still(seen)
        or (_ill(seen) if ill else None)
        or _half_open(seen)
        or _weak(seen)
    )


def _data(seen: Seen, outcome: Outcome) -> Finding | None:
    if seen.state_follows is not None and seen.reads_state and seen.state_follows:
        follows = float(np.median(seen.state_follows))
        if follows < _FOLLOWS:
            evidence = (
                f"the state of the recording follows the action before it with a correlation of "
                f"{follows:.2f} (the middle joint; joints have more than 0.9)"
            )
            return _finding("state-not-joints", evidence, outcome)
    if seen.picture_statistics:  # proven, however little this policy leans on its pictures
        return _finding("picture-statistics", seen.picture_statistics)
    return None


def _mistake(trials: list[Trial]) -> Finding | None:
    found = best(trials)
    if found is None:
        return None
    evidence = (
        f"taken back ({found.detail}), the error falls from {found.before:.2f} to {found.after:.2f} "
        f"spreads, in {found.share:.0%} of the moments"
    )
    return _finding(found.cause, evidence)


def _unused(seen: Seen) -> Finding | None:
    """Inputs that change nothing, in a policy that does not do what people did."""
    if seen.untrained >= _UNTRAINED:
        evidence = f"{seen.untrained:.0%} of its normalisation layers have exactly the values they begin with"
        return _finding("random-weights", evidence)
    used = [each.key for each in seen.inputs if each.used]
    unused = [each for each in seen.inputs if not each.used]
    if not used:
        return None  # it says the same whatever it sees: a matter of what it says
    state = next((each for each in unused if each.key.endswith("state")), None)
    if state is not None and state.key == "observation.state":
        evidence = f"another moment's joints change {state.change:.3f} of its own spread"
        return _finding("state-ignored", evidence)
    cameras = [each for each in seen.inputs if "image" in each.key]
    if cameras and not any(each.used for each in cameras):
        most = max(each.change for each in cameras)
        return _finding("blind", f"other pictures change {most:.3f} of its own spread at most")
    return None


def _still(seen: Seen) -> Finding | None:
    if seen.displacement is None or seen.displacement > _NOTHING or not _varies(seen):
        return None
    evidence = f"it makes {seen.displacement:.0%} of the way that people made from there"
    return _finding("stands-still", evidence)


def _varies(seen: Seen) -> bool:
    return _variance(seen) > _NOTHING


def _variance(seen: Seen) -> float:
    moved = [each.variance_ratio for each in seen.joints if each.moved]
    return float(np.median(moved)) if moved else 0.0


def _ill(seen: Seen) -> Finding:
    moved = [each for each in seen.joints if each.moved]
    variance = _variance(seen)
    follows = float(np.median([each.correlation for each in moved])) if moved else 0.0
    off = float(np.median([abs(each.mean_offset) for each in moved] or [0.0]))
    evidence = (
        f"it has {variance:.0%} of the demonstrations' variance, correlates {follows:.2f} with them, "
        f"and its middle is {off:.2f} standard deviations from theirs"
    )
    # A network that was never trained hardly varies either, but not around what people did.
    if variance < _NOTHING and (off < _MIDDLE or follows > _FOLLOWS):
        return _finding("mean-regressed", evidence)
    same = bool(seen.inputs) and not any(each.used for each in seen.inputs)
    if same or follows < _UNRELATED or variance < _NOTHING or seen.error > 1.0:
        return _finding("no-relation", evidence)
    return _finding("weak", evidence, "warn")


def _half_open(seen: Seen) -> Finding | None:
    by_name = {each.name: each for each in seen.joints}
    for gripper in seen.grippers:
        joint = by_name[gripper.name]
        if gripper.events >= _EVENTS and joint.variance_ratio < _NOTHING:
            evidence = (
                f"{gripper.missed} of {gripper.events} closings and openings are missed, with "
                f"{joint.variance_ratio:.0%} of the variance"
            )
            return _finding("gripper-mean-regressed", evidence)
    return None


def _weak(seen: Seen) -> Finding | None:
    still = seen.standing_still
    if still is None or seen.error < 0.95 * still or seen.error < 0.2:
        return None
    evidence = f"its error is {seen.error:.2f} spreads, that of standing still {still:.2f}"
    return _finding("weak", evidence, "warn")


def _deaf(seen: Seen) -> Finding | None:
    heard = seen.listening
    if heard is None or heard.prompt_change >= _DEAF * heard.picture_change:
        return None
    evidence = (
        f"{heard.other!r} instead of {heard.task!r} changes {heard.prompt_change:.3f} of its own "
        f"spread, other pictures {heard.picture_change:.2f}"
    )
    # Where it knows one instruction only, there was nothing to listen to.
    return _finding("does-not-listen", evidence, "fail" if heard.instructions > 1 else "warn")
