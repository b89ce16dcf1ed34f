"""How near what the policy said is to what was done, joint by joint. Pure.

Errors are counted in spreads: 0 is perfect, about 1 what a constant guess at the middle would get.
So joints in degrees and a gripper in per cent can be averaged, whatever the units are.
"""

import warnings
from dataclasses import dataclass

import numpy as np

from policies.probe.samples import Array, Samples

_CAP = 5.0  # spreads: a joint that is entirely elsewhere must not hide the others


@dataclass(frozen=True, slots=True)
class JointFigures:
    """One joint over all samples. `mae` and `bias` (said minus done) are in the recording's units;
    `correlation` is 0 where the policy never moves it; `variance_ratio` is said over done;
    `spread` is what was done's own. `error` is in spreads; `mean_offset` is how far the means of said
    and done are apart, in standard deviations of what was done."""

    name: str
    moved: bool
    mae: float
    bias: float
    correlation: float
    variance_ratio: float
    spread: float
    error: float
    mean_offset: float


def errors(samples: Samples) -> Array:
    """The mean distance of each sample's chunk, per joint, in spreads, capped [N, A]; NaN for
    joints that were not moved."""
    distance = np.abs(samples.said - samples.done)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a chunk wholly after the end: NaN
        mean = np.nanmean(distance, axis=1)
    scaled = np.minimum(mean / np.maximum(samples.spread, 1e-12), _CAP)
    return np.asarray(np.where(samples.moved, scaled, np.nan), np.float64)


def overall(samples: Samples) -> float:
    """The mean error over samples and moved joints, in spreads."""
    return float(np.nanmean(errors(samples)))


def stands_still_error(samples: Samples) -> float | None:
    """What a policy would get that only repeats where the joints are; None where that is unknown."""
    if samples.state is None:
        return None
    return overall(samples.saying(np.repeat(samples.state[:, None], samples.said.shape[1], 1)))


def joint_figures(samples: Samples) -> tuple[JointFigures, ...]:
    """Every joint's figures."""
    error, spread, moved = errors(samples), samples.spread, samples.moved
    found = []
    for j, name in enumerate(samples.joints):
        said, done = _pairs(samples, j)
        found.append(
            JointFigures(
                name=name,
                moved=bool(moved[j]),
                mae=float(np.abs(said - done).mean()),
                bias=float(np.median(said - done)),
                correlation=correlation(said, done),
                variance_ratio=float(said.var() / max(done.var(), 1e-12)),
                spread=float(spread[j]),
                error=float(np.nanmean(error[:, j])) if moved[j] else 0.0,
                mean_offset=float((said.mean() - done.mean()) / max(float(done.std()), 1e-9)),
            )
        )
    return tuple(found)


def _pairs(samples: Samples, joint: int) -> tuple[Array, Array]:
    known = ~np.isnan(samples.done[:, :, joint])
    return samples.said[:, :, joint][known], samples.done[:, :, joint][known]


def correlation(a: Array, b: Array) -> float:
    """Pearson's; 0 where one of both is constant."""
    if a.size < 2 or a.std() < 1e-9 or b.std() < 1e-9:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def displacement(samples: Samples) -> float | None:
    """How much of the movement the policy makes: the spread of said minus state over that of done
    minus state, the middle one of the moved joints without grippers. None without a state."""
    if samples.state is None:
        return None
    start = samples.state[:, None]
    said = np.where(np.isnan(samples.done), np.nan, samples.said) - start
    done = samples.done - start
    body = [j for j in samples.body if samples.moved[j]]
    if not body:
        return None
    ratios = [np.nanstd(said[..., j]) / max(float(np.nanstd(done[..., j])), 1e-9) for j in body]
    return float(np.median(ratios))


@dataclass(frozen=True, slots=True)
class GripperEvents:
    """Closings and openings of one gripper within the chunks.

    `missed` were done and not said, `invented` said and not done; `offset_s` is the median of said
    minus done for those that were both, None without any.
    """

    name: str
    events: int
    missed: int
    invented: int
    offset_s: float | None


def gripper_events(samples: Samples, step_s: float) -> tuple[GripperEvents, ...]:
    """When each gripper crosses the middle of its range within a chunk, said against done."""
    found = []
    for j in samples.grippers:
        if not samples.moved[j]:
            continue
        low, high = np.nanquantile(samples.done[..., j], (0.05, 0.95))
        middle = (low + high) / 2.0
        events = missed = invented = 0
        offsets = []
        for said, done in zip(samples.said[..., j], samples.done[..., j], strict=True):
            there = _crossing(done, middle)
            here = _crossing(np.where(np.isnan(done), np.nan, said), middle)
            if there is None:
                invented += here is not None
                continue
            events += 1
            if here is None or here[1] != there[1]:
                missed += 1
            else:
                offsets.append((here[0] - there[0]) * step_s)
        offset_s = float(np.median(offsets)) if offsets else None
        found.append(GripperEvents(samples.joints[j], events, missed, invented, offset_s))
    return tuple(found)


def _crossing(values: Array, middle: float) -> tuple[int, bool] | None:
    """The first step at which the gripper is on another side than at the start, and whether it
    opened; None where it stays."""
    above = values[~np.isnan(values)] > middle
    changes = np.flatnonzero(above != above[0]) if above.size else above
    return (int(changes[0]), bool(above[changes[0]])) if changes.size else None
