"""Findings about statistics: what policies normalise by, against the data that it is about.

Means, deviations, least and greatest are computed again as LeRobot computes them. Quantiles of a
dataset are averages of its episodes' in LeRobot and of all rows in other tools, so of these only
the order is judged. Statistics of pictures were taken before encoding, from other frames perhaps:
they are compared by `--deep` alone, with room for that.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from daemon.recorder.stats import QUANTILES, Stats, aggregate, from_json, vector_stats
from daemon.recorder.tables import ACTION, STATE
from dataset.checking.contents import Contents, column
from dataset.checking.rows import Stretches
from dataset.findings import Finding, error, warning

DEGENERATE = 1e-3
"""A picture's deviation, of values 0..1, below which normalised pixels are in the hundreds."""

_STILL = 1e-6
_RELATIVE = 1e-4
"""Room for float32 sums of another order; what is wrong in practice is wrong by more."""

_PICTURE_ROOM = 0.05
_NEEDED = ("min", "max", "mean", "std")
_WRONG = (
    "Episodes were added, removed or converted with a tool that did not compute them again, or they "
    "were made with too few frames."
)
_FIX = "A policy normalises by them. --fix computes them again."


def episode_vectors(found: Contents, rows: pa.Table, first: int, stop: int) -> Stats:
    """Statistics of an episode's columns of numbers, of every feature that has them."""
    result: Stats = {}
    part = rows.slice(first, stop - first)
    for key, feature in found.features.items():
        if key not in part.column_names or feature["dtype"] in ("string", "language", "image"):
            continue
        values = column(part, key)
        if values.dtype.kind == "b":
            values = values.astype(np.int64)
        if values.dtype.kind in "fiu" and len(values):
            result[key] = vector_stats(values)
    return result


def check_stats(found: Contents, rows: pa.Table, where: Stretches) -> list[Finding]:
    """stats.json: there for every feature, of the right form, and of this data."""
    if found.stats is None:
        return []
    result: list[Finding] = []
    vectors = {
        place: episode_vectors(found, rows, *place) for places in where.values() for place in places
    }
    truth = aggregate(list(vectors.values())) if vectors else {}
    for key in found.vector_keys:
        each = _arrays(found.stats.get(key, {}))
        problem = form_problem(each)
        if not problem and key in truth:
            problem = disagreement(each, truth[key], rows.num_rows)
        if problem:
            result.append(
                error("stats", f"Statistics of {key}: {problem}.", _WRONG, _FIX, mends=True)
            )
        if key in (STATE, ACTION) and key in truth:
            result += _still(found, key, truth[key])
    for key in _pictures(found):
        problem = picture_problem(_arrays(found.stats.get(key, {})))
        if problem:
            result.append(
                error(
                    "image-stats",
                    f"Statistics of {key}: {problem}.",
                    "They were never computed, or from too few frames, or of 0..255.",
                    "ACT normalises pictures by them: normalised pixels of ±300 are the usual "
                    "result. --fix computes them again from the videos (not of depth).",
                    mends=not (found.features[key].get("info") or {}).get("is_depth_map"),
                )
            )
    return result + _episode_stats(found, vectors, where)


def _pictures(found: Contents) -> list[str]:
    return [key for key, each in found.features.items() if each["dtype"] in ("video", "image")]


def _arrays(each: Mapping[str, Any]) -> dict[str, npt.NDArray[Any]]:
    result = {}
    for name, value in each.items():
        try:
            result[name] = np.atleast_1d(np.asarray(value, np.float64))
        except (TypeError, ValueError):
            result[name] = np.array([np.nan])
    return result


def form_problem(each: Mapping[str, npt.NDArray[Any]]) -> str:
    """What is wrong with a feature's statistics in themselves; "" if nothing."""
    lacking = [name for name in _NEEDED if name not in each]
    if len(lacking) == len(_NEEDED):
        return "there are none"
    if lacking:
        return f"{', '.join(lacking)} is missing"
    shapes = {each[name].shape for name in _NEEDED}
    if len(shapes) > 1:
        return f"they are of several shapes ({', '.join(map(str, sorted(shapes)))})"
    strange = [name for name, value in each.items() if not np.isfinite(value).all()]
    if strange:
        return f"{', '.join(strange)} is no number"
    if (each["std"] < 0).any() or (each["min"] > each["max"]).any():
        return "std is negative or min above max"
    room = _RELATIVE * np.maximum(1.0, np.abs(each["max"]))
    names = [name for name in ("mean", *QUANTILES) if name in each]
    for name in names:
        if each[name].shape != each["min"].shape:
            return f"{name} is of another shape"
        if ((each[name] < each["min"] - room) | (each[name] > each["max"] + room)).any():
            return f"{name} is not between min and max"
    return ""


def picture_problem(each: Mapping[str, npt.NDArray[Any]]) -> str:
    """What is wrong with a camera's statistics in themselves; "" if nothing."""
    problem = form_problem(each)
    if problem:
        return problem
    if each["mean"].ndim != 3 or each["mean"].shape[1:] != (1, 1):
        return f"they are of the shape {each['mean'].shape} instead of (3, 1, 1)"
    if each["mean"].shape[0] == 3 and each["max"].max() > 1.5:
        return "they are of pictures of 0..255 instead of 0..1"
    if each["std"].max() < DEGENERATE:
        return f"their deviation is {each['std'].max():.1g}, as if every picture were one colour"
    return ""


def disagreement(
    said: Mapping[str, npt.NDArray[Any]], truth: Mapping[str, npt.NDArray[Any]], rows: int
) -> str:
    """Where statistics that are sound in form differ from `truth`, of `rows` rows; "" nowhere."""
    if said["mean"].shape != truth["mean"].shape:
        return f"they are of {said['mean'].size} values, the data has {truth['mean'].size}"
    if "count" in said and int(said["count"].reshape(-1)[0]) != rows:
        return f"they are of {int(said['count'].reshape(-1)[0])} rows, the data has {rows}"
    span = np.maximum(1.0, np.maximum(np.abs(truth["min"]), np.abs(truth["max"])))
    for name in _NEEDED:
        distance = np.abs(said[name] - truth[name])
        # A deviation is a difference of squares in float32, whose rounding grows with the values.
        room = _RELATIVE * span * (30 if name == "std" else 1)
        if (distance > room).any():
            at = int(np.argmax(distance - room))
            return (
                f"{name} of value {at} is said to be {said[name].flat[at]:.6g} and is "
                f"{truth[name].flat[at]:.6g}"
            )
    return ""


def _still(found: Contents, key: str, each: Mapping[str, npt.NDArray[Any]]) -> list[Finding]:
    still = np.flatnonzero(each["std"].reshape(-1) < _STILL)
    if not len(still) or int(each.get("count", np.array([2])).reshape(-1)[0]) < 2:
        return []
    names = _names(found.features[key].get("names"))
    words = ", ".join(names[i] if i < len(names) else f"value {i}" for i in still)
    return [
        warning(
            "still",
            f"{words} of {key} never moves: its deviation is 0.",
            "The joint was not used, its servo was not read, or the column was filled in.",
            "Normalised, the least motion of it becomes huge. Record some episodes that move it, "
            "or keep it out of what the policy is given.",
        )
    ]


def _names(names: Any) -> list[str]:
    if isinstance(names, dict):
        names = next(iter(names.values()), [])
    return [str(name) for name in names or []]


def _episode_stats(
    found: Contents, vectors: Mapping[tuple[int, int], Stats], where: Stretches
) -> list[Finding]:
    """Statistics of each episode, in meta/episodes: LeRobot's merge and delete go by them."""
    lacking, wrong, example = [], [], ""
    for row in found.episodes:
        episode = int(row["episode_index"])
        stats = stats_in(row)
        places = where.get(episode, [])
        if not stats or any(key not in stats for key in [*found.vector_keys, *_pictures(found)]):
            lacking.append(episode)
            continue
        if len(places) != 1:
            continue
        truth = vectors[places[0]]
        for key in found.vector_keys:
            problem = form_problem(stats[key]) or (
                disagreement(stats[key], truth[key], places[0][1] - places[0][0])
                if key in truth
                else ""
            )
            if problem:
                wrong.append(episode)
                example = example or f"{key}: {problem}"
                break
    result = []
    if lacking:
        result.append(
            warning(
                "episode-stats",
                "meta/episodes lacks statistics of an episode.",
                "It was made by a tool that does not write them.",
                "LeRobot cannot merge, nor take episodes out. --fix computes them.",
                episodes=tuple(lacking),
                mends=True,
            )
        )
    if wrong:
        result.append(
            error(
                "episode-stats",
                f"An episode's statistics in meta/episodes are not those of its rows ({example}).",
                _WRONG,
                "After LeRobot merges or removes episodes, stats.json comes from these. --fix "
                "computes them again.",
                episodes=tuple(wrong),
                mends=True,
            )
        )
    return result


def stats_in(row: Mapping[str, Any]) -> Stats:
    """The statistics in a row of meta/episodes."""
    nested: dict[str, dict[str, Any]] = {}
    for key, value in row.items():
        if key.startswith("stats/") and value is not None:
            feature, name = key.removeprefix("stats/").rsplit("/", 1)
            nested.setdefault(feature, {})[name] = value
    return from_json(nested)


def check_picture_stats(
    found: Contents, seen: Mapping[str, Stats], *, whole: bool
) -> list[Finding]:
    """A camera's statistics against those of decoded frames (`--deep`): {camera: {camera: stats}}.

    Only where `whole` are they of all episodes, as stats.json is.
    """
    result = []
    for key, stats in seen.items():
        said = _arrays((found.stats or {}).get(key, {}))
        truth = stats[key]
        if float(truth["std"].max()) < DEGENERATE:
            result.append(
                warning(
                    "blank",
                    f"The pictures of {key} are all of one colour.",
                    "The camera was covered, dark, or not the one it was taken for.",
                    "Look at an episode; without its pictures no policy can learn from it.",
                )
            )
        elif (
            whole
            and not picture_problem(said)
            and any(
                np.abs(said[name] - truth[name]).max() > _PICTURE_ROOM for name in ("mean", "std")
            )
        ):
            result.append(
                error(
                    "image-stats",
                    f"Statistics of {key} are not those of its pictures: mean "
                    f"{_three(said['mean'])}, of the videos {_three(truth['mean'])}; deviation "
                    f"{_three(said['std'])}, of the videos {_three(truth['std'])}.",
                    _WRONG,
                    "--fix computes them again from the videos.",
                    mends=True,
                )
            )
    return result


def _three(values: Iterable[Any]) -> str:
    return "/".join(f"{float(each):.3f}" for each in np.asarray(values).reshape(-1))
