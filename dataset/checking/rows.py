"""Findings about rows: order, numbering, times, tasks, and what info.json declares of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dataset.checking.contents import SCALARS, Contents, column, runs
from dataset.checking.videos import TOLERANCE_S
from dataset.findings import Finding, error

type Stretches = dict[int, list[tuple[int, int]]]
"""Where an episode's rows are among all rows: (first, behind the last); one each if all is well."""

_EDITED = "The data was edited or merged with another tool."
_FIX = "robotd dataset check --fix numbers the rows again."


def stretches(rows: pa.Table) -> Stretches:
    """Where each episode's rows are."""
    found: Stretches = {}
    for episode, first, stop in runs(rows):
        found.setdefault(episode, []).append((first, stop))
    return found


def check_columns(found: Contents, rows: pa.Table) -> list[Finding]:
    """Declared features against the columns that there are, by name, size and type."""
    problems = []
    if found.data and rows.num_rows:
        for name, feature in found.features.items():
            if feature["dtype"] in ("video", "image"):
                continue
            if name not in rows.column_names:
                problems.append(f"{name} is declared, but no column")
                continue
            if feature["dtype"] in ("string", "language") or len(feature["shape"]) != 1:
                continue
            values = column(rows.slice(0, 1), name)
            width = values.shape[1] if values.ndim == 2 else 1
            if width != feature["shape"][0]:
                problems.append(
                    f"{name} is declared of {feature['shape'][0]} values and has {width}"
                )
            elif str(values.dtype) != feature["dtype"] and values.dtype.kind != "O":
                problems.append(f"{name} is declared {feature['dtype']} and is {values.dtype}")
        declared = [*found.features, *SCALARS]
        extra = [name for name in rows.column_names if name not in declared]
        if extra:
            problems.append(f"{', '.join(extra)} is a column, but not declared")
    slashes = [name for name in found.features if "/" in name]
    result = []
    if problems:
        result.append(
            error(
                "columns",
                f"Features and data disagree: {'; '.join(problems)}.",
                _EDITED,
                "Correct `features` in meta/info.json to what the data is.",
            )
        )
    if slashes:
        result.append(
            error(
                "slash",
                f"A feature's name has a slash: {', '.join(slashes)}.",
                "A camera was named by a topic or a path.",
                "LeRobot refuses such names. Rename it and its folder under videos/, in "
                "meta/info.json, meta/stats.json and meta/episodes.",
            )
        )
    return result


def check_numbering(found: Contents, rows: pa.Table, where: Stretches) -> list[Finding]:
    """Episodes against rows: each once, in order, as long as meta/episodes says, numbered on."""
    result = []
    known = [int(row["episode_index"]) for row in found.episodes]
    if known != list(range(len(known))):
        result.append(
            error(
                "episode-order",
                "meta/episodes does not list the episodes 0, 1, 2, …; LeRobot finds an episode by "
                "its position, so it shows another one's pictures.",
                "Episodes were removed or merged with another tool, or a writer was killed.",
                "robotd dataset check --fix numbers them again.",
                mends=True,
            )
        )
    result += _presence(known, where)
    lengths = _lengths(found, where)
    wrong = [e for e, (said, there) in lengths.items() if said != there]
    if wrong:
        examples = "; ".join(
            f"episode {e}: {lengths[e][0]} said, {lengths[e][1]} there" for e in wrong[:3]
        )
        result.append(
            error(
                "length",
                f"meta/episodes gives lengths that the data has not ({examples}).",
                _EDITED,
                "--fix takes the rows' number, where the video has as many frames.",
                episodes=tuple(wrong),
                mends=True,
            )
        )
    result += _positions(found, where)
    order = [episode for episode, _, _ in runs(rows)]
    if order != sorted(order):
        result.append(
            error(
                "row-order",
                "The rows are not in the order of their episodes.",
                _EDITED,
                _FIX,
                mends=True,
            )
        )
    index = column(rows, "index")
    if len(index) and not np.array_equal(index, np.arange(len(index))):
        first = int(np.flatnonzero(index != np.arange(len(index)))[0])
        result.append(
            error(
                "index",
                f"The column `index` does not count the rows: row {first} has {index[first]}.",
                f"{_EDITED} Or a save failed and recording went on.",
                _FIX,
                mends=True,
            )
        )
    return result


def _presence(known: Sequence[int], where: Stretches) -> list[Finding]:
    result = []
    twice = [episode for episode, places in where.items() if len(places) > 1]
    if twice:
        result.append(
            error(
                "twice",
                "Rows of an episode are in the data twice, or in pieces.",
                "Saving it failed (a full disk, an encoder), and recording went on.",
                "--fix keeps the rows that belong to its video.",
                episodes=tuple(twice),
                mends=True,
            )
        )
    lost = sorted(set(known) - set(where))
    if lost:
        result.append(
            error(
                "rows-lost",
                "There are no rows of an episode that meta/episodes lists.",
                "A data file is missing or torn, or rows were removed with another tool.",
                "Restore the data from the hub or a backup; --fix keeps the episodes before.",
                episodes=tuple(lost),
                mends=lost[0] > 0,
            )
        )
    unlisted = sorted(set(where) - set(known))
    if unlisted and known:
        result.append(
            error(
                "unlisted",
                "There are rows of an episode that meta/episodes does not list.",
                "LeRobot was killed: it lists ten episodes at a time.",
                "--fix lists it, where its video is whole.",
                episodes=tuple(unlisted),
                mends=True,
            )
        )
    return result


def _lengths(found: Contents, where: Stretches) -> dict[int, tuple[int, int]]:
    """Rows by episode: (said, there), of episodes that are in the data once."""
    result = {}
    for row in found.episodes:
        episode = int(row["episode_index"])
        places = where.get(episode, [])
        if len(places) == 1:
            result[episode] = (int(row["length"]), places[0][1] - places[0][0])
    return result


def _positions(found: Contents, where: Stretches) -> list[Finding]:
    wrong = []
    for row in found.episodes:
        episode = int(row["episode_index"])
        said = (row.get("dataset_from_index"), row.get("dataset_to_index"))
        if len(where.get(episode, [])) == 1 and said != where[episode][0]:
            wrong.append(episode)
    if not wrong:
        return []
    return [
        error(
            "positions",
            "meta/episodes says other rows than an episode has (dataset_from_index, …_to_index): "
            "LeRobot samples another episode there.",
            f"{_EDITED} Or a save failed and recording went on.",
            _FIX,
            episodes=tuple(wrong),
            mends=True,
        )
    ]


def check_times(
    found: Contents, rows: pa.Table, where: Stretches, wanted: range | None
) -> list[Finding]:
    """frame_index counts within each episode, and timestamp is frame_index / fps."""
    frame_index, stamps = column(rows, "frame_index"), column(rows, "timestamp")
    gaps, off, most = [], [], 0.0
    for episode, places in where.items():
        if wanted is not None and episode not in wanted:
            continue
        for first, stop in places:
            counted = np.arange(stop - first)
            if len(frame_index) and not np.array_equal(frame_index[first:stop], counted):
                gaps.append(episode)
            if len(stamps):
                error_s = off_grid(stamps[first:stop], found.fps)
                if error_s > 0:
                    off.append(episode)
                    most = max(most, error_s)
    result = []
    if gaps:
        result.append(
            error(
                "frame-index",
                "`frame_index` does not count 0, 1, 2, … within an episode.",
                "Rows were removed or added with another tool.",
                "--fix numbers them again; whether the pictures still belong to them, look.",
                episodes=tuple(gaps),
                mends=True,
            )
        )
    if off:
        result.append(
            error(
                "timestamps",
                f"Timestamps are up to {most * 1e3:.1f} ms off the grid of {found.fps} a second; "
                f"LeRobot accepts {TOLERANCE_S * 1e3:.1f} ms.",
                "The times of capture were stored, or the dataset's fps was changed afterwards.",
                "--fix sets row k to k/fps, where LeRobot's own videos have frame k.",
                episodes=tuple(off),
                mends=True,
            )
        )
    return result


def off_grid(stamps: npt.NDArray[Any], fps: int) -> float:
    """How far the worst of an episode's timestamps is from k/fps, in seconds; 0 within tolerance.

    Stamps are float32: after half an hour their own steps are larger than the tolerance.
    """
    grid = np.arange(len(stamps)) / fps
    distance = np.abs(stamps.astype(np.float64) - grid)
    allowed = TOLERANCE_S + np.spacing(grid.astype(np.float32))
    if np.isfinite(distance).all() and (distance <= allowed).all():
        return 0.0
    return float(np.nanmax(np.where(np.isfinite(distance), distance, np.inf)))


def check_finite(
    found: Contents, rows: pa.Table, where: Stretches, wanted: range | None
) -> list[Finding]:
    """Numbers that are none."""
    result = []
    for key in found.vector_keys:
        values = column(rows, key)
        if values.dtype.kind == "O" or not len(values):
            continue
        finite = np.isfinite(values.reshape(len(values), -1).astype(np.float64))
        bad = np.asarray(~finite.all(axis=1))
        of = tuple(
            e
            for e, places in where.items()
            if (wanted is None or e in wanted) and any(bad[a:b].any() for a, b in places)
        )
        if of:
            result.append(
                error(
                    "not-finite",
                    f"{key} has values that are no number (NaN or infinite) in {bad.sum()} rows.",
                    "A sensor or a conversion failed while it was recorded.",
                    "One such value ruins a training: take the episodes out "
                    "(robotd dataset delete-episode).",
                    episodes=of,
                )
            )
    return result
