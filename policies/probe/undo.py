"""What if one known mistake were taken back? Each is tried on what the policy said. Pure.

A mistake is believed when, taken back, most samples come much nearer to what was done. Mistakes
with nothing to fit need less proof than those with a number fitted to the very samples. Of several
the one that leaves the least error is it; among equals the simpler, which stands first.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from policies.probe.measure import correlation, errors, overall, stands_still_error
from policies.probe.samples import Array, Samples

# Half of each joint's calibrated range in degrees, from LeRobot's calibration of an SO-101 (policies
# facts G2); a wrist that turns freely is calibrated over the whole turn.
HALF_RANGES_DEG = (
    (110.0, 100.0, 96.8, 95.0, 160.0),
    (110.0, 100.0, 96.8, 95.0, 180.0),
)
_DEG = 180.0 / math.pi

_GAIN = 0.08  # spreads: less than this is nothing to mend
_LEAST_SHARE = 0.65  # of the samples must come nearer
_LEFT_EXACT, _LEFT_FITTED = 0.8, 0.5  # of the error, at most, may be left
_GOOD = 0.8  # spreads: what is worse than this afterwards explains nothing
_NEARLY = 0.02  # spreads: two mistakes that leave errors this near are equal


@dataclass(frozen=True, slots=True)
class Undo:
    """One mistake taken back. `joints` are those that it concerns; `fitted`: it has numbers that
    were found from the samples themselves."""

    cause: str
    detail: str
    samples: Samples
    joints: tuple[int, ...]
    fitted: bool = False


@dataclass(frozen=True, slots=True)
class Trial:
    """How a mistake fared. Errors are in spreads: `before` and `after` of the joints concerned,
    `left` of all joints afterwards; `share` of the samples came nearer."""

    cause: str
    detail: str
    before: float
    after: float
    left: float
    share: float
    fitted: bool

    @property
    def believed(self) -> bool:
        """Whether taking it back mends what is wrong."""
        left = _LEFT_FITTED if self.fitted else _LEFT_EXACT
        return (
            self.before - self.after > _GAIN
            and self.after < left * self.before
            and self.after < _GOOD
            and self.share >= _LEAST_SHARE
        )


def tried(samples: Samples, undo: Undo) -> Trial:
    """Compare the samples with one mistake taken back."""
    moved = [j for j in undo.joints if samples.moved[j]]
    if not moved:
        return Trial(undo.cause, undo.detail, 0.0, 0.0, overall(samples), 0.0, undo.fitted)
    before = np.nanmean(errors(samples)[:, moved], axis=1)
    after = np.nanmean(errors(undo.samples)[:, moved], axis=1)
    return Trial(
        cause=undo.cause,
        detail=undo.detail,
        before=float(before.mean()),
        after=float(after.mean()),
        left=overall(undo.samples),
        share=float((after < before).mean()),
        fitted=undo.fitted,
    )


def best(trials: list[Trial]) -> Trial | None:
    """The believed one that leaves the least error; the first of those that leave nearly as little."""
    believed = [trial for trial in trials if trial.believed]
    if not believed:
        return None
    least = min(trial.left for trial in believed)
    return next(trial for trial in believed if trial.left <= least * 1.05 + _NEARLY)


def mistakes(
    samples: Samples, trained: Mapping[str, Array], rates: Mapping[float, Array]
) -> list[Undo]:
    """Every mistake that can be taken back from what was said alone, the simplest first.

    `trained` are the statistics that the checkpoint was saved with for its action (`mean`, `std`,
    `q01`, `q99`, `min`, `max`; may be empty); `rates` has what was done had the policy's step been
    so many times as long.
    """
    found: list[Undo] = []
    for source in (_un_normalised, _units, _gripper, _signs, _order, _relative):
        found += source(samples, trained)
    found += [
        Undo("rate", _rate_words(ratio), _replaced(samples, done), _all(samples), fitted=True)
        for ratio, done in rates.items()
    ]
    found += _foreign_statistics(samples, trained)
    found += _offsets(samples)
    return found


def _all(samples: Samples) -> tuple[int, ...]:
    return tuple(range(len(samples.joints)))


def _replaced(samples: Samples, done: Array) -> Samples:
    return Samples(samples.joints, samples.said, done, samples.state, samples.episode, samples.row)


def _rate_words(ratio: float) -> str:
    return f"every step of it takes {ratio:g} times as long as is said"


# --- normalisation --------------------------------------------------------------------------------


def recorded_statistics(samples: Samples) -> dict[str, Array]:
    """The statistics of what was done, as a normaliser would have them."""
    flat = samples.done.reshape(-1, len(samples.joints))
    q01, q99 = np.nanquantile(flat, (0.01, 0.99), axis=0)
    return {
        "mean": np.nanmean(flat, axis=0),
        "std": np.nanstd(flat, axis=0),
        "q01": q01,
        "q99": q99,
        "min": np.nanmin(flat, axis=0),
        "max": np.nanmax(flat, axis=0),
    }


def _un_normalised(samples: Samples, trained: Mapping[str, Array]) -> Iterator[Undo]:
    for whose, stats in (
        ("the checkpoint's own statistics", trained),
        ("the recording's statistics", recorded_statistics(samples)),
    ):
        for how, raised in _raised(samples.said, stats):
            yield Undo(
                "un-normalised", f"{how} from {whose}", samples.saying(raised), _all(samples)
            )


def _raised(said: Array, stats: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
    """What was said, un-normalised in each of the ways that LeRobot and openpi know."""
    width = said.shape[-1]
    known = {key: value.reshape(-1)[:width] for key, value in stats.items() if value.size >= width}
    if "mean" in known and "std" in known:
        yield "mean and std", said * known["std"] + known["mean"]
    for how, low, high in (("quantiles", "q01", "q99"), ("min and max", "min", "max")):
        if low in known and high in known:
            yield how, (said + 1.0) / 2.0 * (known[high] - known[low]) + known[low]


def _foreign_statistics(samples: Samples, trained: Mapping[str, Array]) -> Iterator[Undo]:
    mean, std = trained.get("mean"), trained.get("std")
    if mean is None or std is None or mean.size != len(samples.joints):
        return
    mean, std = mean.reshape(-1), std.reshape(-1)
    if not (np.abs(std) > 1e-9).all():
        return
    own = recorded_statistics(samples)
    yield Undo(
        "foreign-statistics",
        "its normalised actions with the recording's statistics instead of its own",
        samples.saying((samples.said - mean) / std * own["std"] + own["mean"]),
        _all(samples),
        fitted=True,
    )


# --- units ----------------------------------------------------------------------------------------


def _units(samples: Samples, _trained: Mapping[str, Array]) -> Iterator[Undo]:
    body, grippers = list(samples.body), list(samples.grippers)
    for words, factor in (
        ("it speaks radians, the recording degrees", _DEG),
        ("it speaks degrees, the recording radians", 1.0 / _DEG),
    ):
        for gripper, scale in (("", 1.0), (", its gripper too", factor), *_gripper_scales(factor)):
            said = samples.said.copy()
            said[..., body] *= factor
            said[..., grippers] *= scale
            yield Undo("units", words + gripper, samples.saying(said), _all(samples))
    for words, to_degrees in (
        ("it speaks LeRobot's ±100, the recording degrees", True),
        ("it speaks degrees, the recording LeRobot's ±100", False),
    ):
        for half in HALF_RANGES_DEG:
            if len(body) % len(half):
                continue
            ranges = np.tile(half, len(body) // len(half)) / 100.0
            said = samples.said.copy()
            said[..., body] *= ranges if to_degrees else 1.0 / ranges
            yield Undo("units", words, samples.saying(said), tuple(body))


def _gripper_scales(factor: float) -> tuple[tuple[str, float], ...]:
    if factor > 1.0:
        return ((", its gripper 0 to 1 for 0 to 100", 100.0),)
    return ((", its gripper 0 to 100 for 0 to 1", 0.01),)


# --- single joints --------------------------------------------------------------------------------


def _gripper(samples: Samples, _trained: Mapping[str, Array]) -> Iterator[Undo]:
    turns: tuple[tuple[str, str, Callable[[Array, float], Array]], ...] = (
        ("polarity", "open and closed are swapped", lambda said, full: full - said),
        ("gripper-scale", "0 to 1 where 0 to 100 is meant", lambda said, _full: said * 100.0),
        ("gripper-scale", "0 to 100 where 0 to 1 is meant", lambda said, _full: said / 100.0),
        (
            "polarity",
            "1 for closed and 0 for open where 0 for closed and 100 for open is meant",
            lambda said, _full: 100.0 * (1.0 - said),
        ),
        (
            "polarity",
            "100 for closed and 0 for open where 0 for closed and 1 for open is meant",
            lambda said, _full: 1.0 - said / 100.0,
        ),
    )
    for j in samples.grippers:
        full = 1.0 if np.nanmax(samples.done[..., j]) <= 1.5 else 100.0
        for cause, detail, turn in turns:
            said = samples.said.copy()
            said[..., j] = turn(said[..., j], full)
            yield Undo(cause, f"{samples.joints[j]}: {detail}", samples.saying(said), (j,))


def _signs(samples: Samples, _trained: Mapping[str, Array]) -> Iterator[Undo]:
    """Joints that turn the other way: those that come nearer when turned round, all at once."""
    turned = []
    for j in samples.body:
        said = samples.said.copy()
        said[..., j] *= -1.0
        trial = tried(samples, Undo("sign", "", samples.saying(said), (j,)))
        if trial.believed:
            turned.append(j)
    if turned:
        said = samples.said.copy()
        said[..., turned] *= -1.0
        names = ", ".join(samples.joints[j] for j in turned)
        yield Undo("sign", f"{names} turned round", samples.saying(said), tuple(turned))


def _order(samples: Samples, _trained: Mapping[str, Array]) -> Iterator[Undo]:
    """Joints in another order: the assignment of what was said to what was done that errs least."""
    n = len(samples.joints)
    known = ~np.isnan(samples.done[:, :, 0])
    said, done = samples.said[known], samples.done[known]
    distance = np.abs(said[:, :, None] - done[:, None, :]).mean(axis=0)
    cost = np.minimum(distance / np.maximum(samples.spread, 1e-12), 5.0)
    # A joint that was not moved says nothing of who it is: it stays in its place.
    still = ~samples.moved
    cost[still, :] = cost[:, still] = 9.0
    cost[still, still] = 0.0
    takes = _assigned(cost)
    touched = tuple(int(j) for j in range(n) if takes[j] != j)
    if touched:
        names = ", ".join(f"{samples.joints[j]} from {samples.joints[takes[j]]}" for j in touched)
        yield Undo("order", names, samples.saying(samples.said[..., takes]), touched)


def _assigned(cost: Array) -> list[int]:
    """For each joint that was moved, the said one to take: exchanged in pairs while that helps.

    `cost` [said, done].
    """
    takes = list(range(len(cost)))
    while True:
        gains = [
            (cost[takes[a], a] + cost[takes[b], b] - cost[takes[b], a] - cost[takes[a], b], a, b)
            for a in range(len(takes))
            for b in range(a)
        ]
        gain, a, b = max(gains, default=(0.0, 0, 0))
        if gain <= 1e-9:
            return takes
        takes[a], takes[b] = takes[b], takes[a]


def _offsets(samples: Samples) -> Iterator[Undo]:
    """Joints that are right but for a constant."""
    said, touched = samples.said.copy(), []
    words = []
    for j in range(len(samples.joints)):
        known = ~np.isnan(samples.done[..., j])
        off = float(np.median((samples.said - samples.done)[..., j][known]))
        follows = correlation(samples.said[..., j][known], samples.done[..., j][known])
        if samples.moved[j] and abs(off) > 0.6 * samples.spread[j] and follows > 0.5:
            said[..., j] -= off
            touched.append(j)
            words.append(f"{samples.joints[j]} {off:+.1f}")
    if touched:
        yield Undo("offset", ", ".join(words), samples.saying(said), tuple(touched), fitted=True)


# --- relative actions -----------------------------------------------------------------------------


def _relative(samples: Samples, _trained: Mapping[str, Array]) -> Iterator[Undo]:
    """What is meant as a difference from where the joints are. Small numbers added to the state
    come near to anything, so it must beat standing still and go the way that was gone."""
    still = stands_still_error(samples)
    if samples.state is None or still is None:
        return
    start = samples.state[:, None]
    body = [j for j in samples.body if samples.moved[j]]
    done = samples.done - start
    known = ~np.isnan(done[..., 0])
    for words, said in (
        ("differences from where the joints are", samples.said),
        ("differences from step to step", np.cumsum(samples.said, axis=1)),
    ):
        follows = [correlation(said[..., j][known], done[..., j][known]) for j in body]
        added = said.copy()
        added[..., list(samples.body)] += start[..., list(samples.body)]
        undo = Undo("relative", words, samples.saying(added), samples.body)
        if body and np.median(follows) > 0.6 and overall(undo.samples) < 0.9 * still:
            yield undo
