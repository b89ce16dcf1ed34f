"""Statistics of an episode and of a dataset, equal to LeRobot's within 1e-6.

Policies normalise by these figures, so a dataset appended to by robotd must not tell the two apart.
The rules follow LeRobot 0.6.1's `datasets/compute_stats.py` as documented there: quantiles from a
histogram of 5,000 bins, images sampled and thinned, and its float32 arithmetic, whose rounding is
larger than the tolerance: sums run row by row in the same order and precision.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

type FeatureStats = dict[str, npt.NDArray[Any]]
type Stats = dict[str, FeatureStats]

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
_BINS = 5000
_EDGE_MARGIN = 1e-10
_LEAST_SAMPLES, _MOST_SAMPLES, _SAMPLE_POWER = 100, 10_000, 0.75
_THIN_FROM_PIXELS, _THIN_TO_PIXELS = 300, 150
_LEVELS = 256


def sampled_frames(count: int) -> list[int]:
    """Which of `count` frames image statistics look at: all up to 100, then count**0.75, spread."""
    wanted = max(min(_LEAST_SAMPLES, count), min(int(count**_SAMPLE_POWER), _MOST_SAMPLES))
    return [int(index) for index in np.round(np.linspace(0, count - 1, wanted)).astype(int)]


def thinned(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Every k-th pixel of a picture [H, W, 3], so that its longer side is about 150 pixels."""
    height, width, _ = rgb.shape
    if max(height, width) < _THIN_FROM_PIXELS:
        return rgb
    step = int(width / _THIN_TO_PIXELS) if width > height else int(height / _THIN_TO_PIXELS)
    return rgb[::step, ::step]


def vector_stats(values: npt.NDArray[Any]) -> FeatureStats:
    """Statistics over the rows of `values` [n] or [n, d]; each of shape [1] or [d]."""
    rows = values.reshape(len(values), -1)
    if len(rows) < 2:
        single = rows[0]
        stats: FeatureStats = {"min": single, "max": single, "mean": single.astype(float)}
        stats["std"] = np.zeros(len(single))
        stats.update(dict.fromkeys(QUANTILES, stats["mean"]))
    else:
        rows = rows.astype(np.result_type(rows.dtype, np.float32), copy=False)
        mean = np.mean(rows, axis=0)
        variance = np.mean(rows**2, axis=0) - mean**2
        stats = {
            "min": np.min(rows, axis=0),
            "max": np.max(rows, axis=0),
            "mean": mean,
            "std": np.sqrt(np.maximum(0, variance)),
        }
        columns = [_quantiles(column, None, len(rows)) for column in rows.T]
        for place, name in enumerate(QUANTILES):
            stats[name] = np.array([column[place] for column in columns])
    result = {name: np.asarray(value, dtype=np.float64) for name, value in stats.items()}
    return {**result, "count": np.array([len(values)])}


def image_stats(frames: Iterable[npt.NDArray[np.uint8]]) -> FeatureStats:
    """Statistics over pictures uint8 [H, W, 3], already sampled; each [3, 1, 1] and in 0..1.

    Takes the pictures one at a time: an hour of video needs no more memory than a second.
    """
    total: npt.NDArray[np.float32] = np.zeros(3, np.float32)
    total_of_squares: npt.NDArray[np.float32] = np.zeros(3, np.float32)
    levels = np.zeros((3, _LEVELS), np.int64)
    count = 0
    for frame in frames:
        pixels = np.ascontiguousarray(thinned(frame)).reshape(-1, 3)
        levels += [np.bincount(pixels[:, channel], minlength=_LEVELS) for channel in range(3)]
        values = pixels.astype(np.float32)
        total = _add_rows(total, values)
        total_of_squares = _add_rows(total_of_squares, values**2)
        count += 1
    if count == 1:
        # LeRobot's array of a single picture lies channel by channel, which numpy sums pairwise.
        planes = np.asfortranarray(values)
        total, total_of_squares = np.sum(planes, axis=0), np.sum(planes**2, axis=0)
    pixel_count = np.float32(levels[0].sum())
    mean = total / pixel_count
    variance = total_of_squares / pixel_count - mean**2
    seen = [np.flatnonzero(channel).astype(np.float32) for channel in levels]
    stats: FeatureStats = {
        "min": np.array([values[0] for values in seen]),
        "max": np.array([values[-1] for values in seen]),
        "mean": mean,
        "std": np.sqrt(np.maximum(0, variance)),
    }
    columns = [
        _quantiles(values, channel[channel > 0], int(levels[0].sum()))
        for values, channel in zip(seen, levels, strict=True)
    ]
    for place, name in enumerate(QUANTILES):
        stats[name] = np.array([column[place] for column in columns])
    result = {
        name: (np.asarray(value) / 255.0).astype(np.float64).reshape(3, 1, 1)
        for name, value in stats.items()
    }
    return {**result, "count": np.array([count])}


def _add_rows(
    total: npt.NDArray[np.float32], rows: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Add `rows` [n, 3] to `total` one after the other in float32.

    numpy's sum over the first axis does exactly that, so carrying the total on from picture to
    picture gives the same rounding as one sum over all pictures.
    """
    return np.asarray(np.add.reduce(np.concatenate([total[None], rows]), axis=0))


def _quantiles(
    values: npt.NDArray[Any], weights: npt.NDArray[Any] | None, count: int
) -> list[float]:
    """Quantiles of one column by LeRobot's histogram; `weights` how often each value occurs."""
    edges = np.linspace(np.min(values) - _EDGE_MARGIN, np.max(values) + _EDGE_MARGIN, _BINS + 1)
    histogram, _ = np.histogram(values, bins=edges, weights=weights)
    cumulative = np.cumsum(histogram.astype(np.float64))
    result = []
    for quantile in QUANTILES.values():
        wanted = quantile * count
        place = int(np.searchsorted(cumulative, wanted))
        if place == 0 or place >= _BINS:
            result.append(float(edges[0] if place == 0 else edges[-1]))
            continue
        below = cumulative[place - 1]
        fraction = (wanted - below) / (cumulative[place] - below)
        result.append(float(edges[place] + fraction * (edges[place + 1] - edges[place])))
    return result


def aggregate(parts: Sequence[Stats]) -> Stats:
    """Statistics of several episodes (or datasets) from theirs: LeRobot's `aggregate_stats`.

    Means and quantiles are weighted by count, the variance is the pooled one.
    """
    names = {name for part in parts for name in part}
    return {name: _aggregate_one([part[name] for part in parts if name in part]) for name in names}


def _aggregate_one(parts: Sequence[FeatureStats]) -> FeatureStats:
    counts = np.array([int(part["count"][0]) for part in parts])
    total = counts.sum()

    def weighted(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        weights = counts.reshape(-1, *[1] * (values.ndim - 1))
        return np.asarray((values * weights).sum(axis=0) / total)

    means = np.stack([part["mean"] for part in parts])
    deviations = np.stack([part["std"] for part in parts])
    mean = weighted(means)
    result: FeatureStats = {
        "min": np.min(np.stack([part["min"] for part in parts]), axis=0),
        "max": np.max(np.stack([part["max"] for part in parts]), axis=0),
        "mean": mean,
        "std": np.sqrt(weighted(deviations**2 + (means - mean) ** 2)),
        "count": np.array([total]),
    }
    for name in QUANTILES:
        if all(name in part for part in parts):
            result[name] = weighted(np.stack([part[name] for part in parts]))
    return result


def to_json(stats: Stats) -> dict[str, dict[str, Any]]:
    """Nested lists, as `stats.json` holds them."""
    return {
        feature: {name: value.tolist() for name, value in each.items()}
        for feature, each in stats.items()
    }


def from_json(content: Mapping[str, Mapping[str, Any]]) -> Stats:
    """The inverse of `to_json`."""
    return {
        feature: {name: np.atleast_1d(np.array(value)) for name, value in each.items()}
        for feature, each in content.items()
    }
