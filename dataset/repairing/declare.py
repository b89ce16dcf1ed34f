"""An info.json that is lost or damaged, made again from what the dataset's other files say.

The rows' columns have the features' types and sizes, their times the frames per second, the videos
the cameras. What nothing but info.json knows are the names of a vector's values and the robot's
type; an earlier info.json has them (robotd keeps the one before each episode, LeRobot's dataset
card shows the whole of it) where it still fits the rows, and so has what robotd noted of an episode.
Where all of that is gone the names stay open, and it is said.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from daemon.recorder.catalog import read_episode_about
from daemon.recorder.info import (
    BOOKKEEPING,
    CHUNK_FILES,
    DATA_PATH,
    INFO,
    VERSION,
    VIDEO_PATH,
    Features,
    Info,
)
from daemon.recorder.schema import Manifest
from daemon.recorder.staging import BEFORE
from daemon.recorder.tables import ACTION, ENVIRONMENT, STATE
from daemon.recorder.transaction import SIDECAR
from dataset.checking.contents import DAMAGED, column, place_of, runs
from dataset.checking.videos import scan_video
from dataset.findings import CannotCheckError

_CARD = "README.md"
_CARD_INFO = re.compile(r"\(meta/info\.json\):\s*```json\n(.*?)\n```", re.DOTALL)
_PICTURE = ["height", "width", "channels"]
_BACKUP = "Restore meta/info.json from the hub or a backup."
_SAME_RATE = 0.01


@dataclass(frozen=True, slots=True)
class Declared:
    """An info.json made again; its totals are 0 and the repair's to count. `done` says of what it
    was made, and what nothing says."""

    info: Info
    done: tuple[str, ...]


def declare(root: Path) -> Declared:
    """Make the info.json of the dataset under `root` from its other files; nothing is written.

    Raises CannotCheckError, which names what cannot be known, where these do not say enough.
    """
    rows, pictures = _first_rows(root)
    features = _vectors(rows) | pictures | _cameras(root)
    fps = _fps(root, rows)
    for origin, earlier in _earlier(root, fps):
        if _fits(earlier, features, fps):
            return Declared(_emptied(earlier), (f"made {INFO} again from {origin}",))
    pages = _pages(root)
    unnamed = _name(features, pages)
    robots = {page.spec.robot_type for page in pages}
    info: Info = {
        "codebase_version": VERSION,
        "fps": fps,
        "features": _in_order(features),
        "chunks_size": CHUNK_FILES,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH if any(f["dtype"] == "video" for f in features.values()) else None,
        "robot_type": robots.pop() if len(robots) == 1 else None,
    }
    done = [f"made {INFO} again from the rows' columns and times and the videos"]
    for name in unnamed:
        count = features[name]["shape"][0]
        done.append(f"left the {count} values of {name} without names: nothing says what they are")
    if info["robot_type"] is None:
        done.append("left robot_type open: nothing says which robot it was")
    return Declared(_emptied(info), tuple(done))


def _emptied(info: Info) -> Info:
    return info | {"total_episodes": 0, "total_frames": 0, "total_tasks": 0, "splits": {}}


def _first_rows(root: Path) -> tuple[pa.Table, Features]:
    """The rows of the first data file that can be read, without pictures; and the features of the
    pictures among them."""
    paths = sorted((root / "data").glob("*/*.parquet"))
    named = [path for path in paths if place_of(path.relative_to(root).as_posix()) is not None]
    if paths and not named:
        raise _unknown(
            f"its data files are not named as format {VERSION} names them ({paths[0].name})",
            "It is of an older format, whose info.json says how it is laid out.",
        )
    for path in named:
        try:
            rows = pq.read_table(path)
        except DAMAGED:
            continue
        if not rows.num_rows:
            continue
        lacking = [name for name in BOOKKEEPING if name not in rows.column_names]
        if lacking:
            raise _unknown(
                f"{path.name} has no column {', '.join(lacking)}",
                "It is no data file of LeRobot's.",
            )
        pictures = {
            name: _embedded(name, rows[name])
            for name in rows.column_names
            if pa.types.is_struct(rows.schema.field(name).type)
        }
        return rows.drop_columns(list(pictures)), pictures
    raise _unknown(
        "no data file can be read to its end",
        "Without info.json nothing else says what the columns of a torn file are.",
    )


def _embedded(name: str, values: pa.ChunkedArray) -> dict[str, Any]:
    import cv2

    data = values[0].as_py().get("bytes")
    picture = None if not data else cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise _unknown(
            f"the pictures of {name} cannot be read", "They are damaged, or no pictures."
        )
    return {"dtype": "image", "shape": list(picture.shape), "names": list(_PICTURE)}


def _vectors(rows: pa.Table) -> Features:
    """The features of all columns of numbers and text, in the columns' order."""
    return {name: _vector(name, rows[name]) for name in rows.column_names}


def _vector(name: str, values: pa.ChunkedArray) -> dict[str, Any]:
    kind, shape, first = values.type, [], values[0].as_py()
    while pa.types.is_nested(kind) and not pa.types.is_struct(kind):
        kind = kind.value_type
        shape.append(len(first or []))
        first = first[0] if first else None
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        dtype = "string"
    elif pa.types.is_boolean(kind):
        dtype = "bool"
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
        dtype = str(np.dtype(kind.to_pandas_dtype()))
    else:
        raise _unknown(
            f"nothing says what the column {name} is (in the file it is {kind})",
            "LeRobot has no such feature that could be told from its column.",
        )
    return {"dtype": dtype, "shape": shape or [1], "names": None}


def _cameras(root: Path) -> Features:
    """The features of all cameras that have videos."""
    found: Features = {}
    for folder in sorted((root / "videos").glob("*")):
        paths = sorted(folder.glob("*/*.mp4"))
        scanned = (scan_video(path, path.name) for path in paths)
        video = next((each for each in scanned if each.frames), None)
        if not paths:
            continue
        if video is None:
            raise _unknown(f"no video of {folder.name} can be read", "They were torn or damaged.")
        if video.pix_fmt.startswith("gray"):
            raise _unknown(
                f"the pictures of {folder.name} are distances, and nothing says in which unit",
                "How a depth camera's distances were packed stands in info.json alone.",
            )
        shape = [video.height, video.width, 3]
        info = {"is_depth_map": False}
        names = list(_PICTURE)
        found[folder.name] = {"dtype": "video", "shape": shape, "names": names, "info": info}
    return found


def _fps(root: Path, rows: pa.Table) -> int:
    """Frames per second, from the rows' times; of episodes of one row, from a video."""
    stamps, frames = column(rows, "timestamp"), column(rows, "frame_index")
    rates = [
        float(frames[stop - 1] - frames[first]) / float(stamps[stop - 1] - stamps[first])
        for _, first, stop in runs(rows)
        if stop - first > 1 and stamps[stop - 1] > stamps[first]
    ]
    if not rates:
        periods = (
            scan_video(path, path.name).period_s
            for path in sorted((root / "videos").glob("*/*/*.mp4"))
        )
        rates = [1 / period for period in periods if period > 0]
    rate = float(np.median(rates)) if rates else 0.0
    if round(rate) < 1 or abs(rate - round(rate)) > _SAME_RATE * rate:
        raise _unknown(
            f"its frames per second cannot be told ({rate:.2f} by its times)"
            if rates
            else "its frames per second cannot be told: no episode has two frames",
            "The rows' times were damaged or edited, or there are too few of them.",
        )
    return round(rate)


def _earlier(root: Path, fps: int) -> Iterator[tuple[str, Info]]:
    """What is left of info.json, and every one of an earlier time, the newest first.

    Raises CannotCheckError where what is left says that it is of another version.
    """
    path = root / INFO
    left = _info_in(path.read_text(encoding="utf-8", errors="replace")) if path.exists() else None
    if left is not None:
        version = left.get("codebase_version", VERSION)
        if version != VERSION:
            raise _unknown(f"it is of format {version}", "Another version of LeRobot wrote it.")
        yield "what is left of it", left | {"codebase_version": VERSION, "fps": fps}
    kept = sorted((root / SIDECAR).glob(f"episodes/*/{BEFORE}/{Path(INFO).name}"), reverse=True)
    for path in kept:
        info = _info_in(path.read_text(encoding="utf-8", errors="replace"))
        if info is not None:
            yield "the one of before an episode, which robotd kept", info
    card = root / _CARD
    if card.is_file():
        match = _CARD_INFO.search(card.read_text(encoding="utf-8", errors="replace"))
        info = None if match is None else _info_in(match[1])
        if info is not None:
            yield "the dataset card, where LeRobot shows it", info


def _info_in(text: str) -> Info | None:
    try:
        info = json.loads(text)
    except ValueError:
        return None
    return info if isinstance(info, dict) else None


def _fits(info: Info, features: Features, fps: int) -> bool:
    """Whether an earlier info.json says of every feature what the files say of it."""
    said = info.get("features")
    if info.get("codebase_version") != VERSION or info.get("fps") != fps:
        return False
    if not isinstance(said, dict) or set(said) != set(features):
        return False
    return all(
        isinstance(said[name], dict)
        and all(said[name].get(part) == feature[part] for part in ("dtype", "shape"))
        for name, feature in features.items()
    )


def _pages(root: Path) -> list[Manifest]:
    """What robotd noted of the episodes that it recorded."""
    found = []
    for path in sorted((root / SIDECAR / "episodes").glob("episode-*")):
        number = path.name.removeprefix("episode-")
        about = read_episode_about(root, int(number)) if number.isdigit() else None
        if about is not None:
            found.append(about)
    return found


def _name(features: Features, pages: list[Manifest]) -> list[str]:
    """Give the vectors their names as robotd noted them; returns those that stay without."""
    known: dict[str, tuple[str, ...]] = {}
    for page in pages:
        known[ACTION] = page.spec.action_names
        known[STATE] = page.spec.state_names
        known[ENVIRONMENT] = page.spec.environment_names
    unnamed = []
    for name, feature in features.items():
        if name in BOOKKEEPING or feature["names"] is not None or feature["dtype"] == "string":
            continue
        if [len(known.get(name, ()))] == feature["shape"]:
            feature["names"] = list(known[name])
        elif feature["shape"] != [1]:
            unnamed.append(name)
    return unnamed


def _in_order(features: Features) -> Features:
    """LeRobot's own columns last, as it writes them."""
    return dict(sorted(features.items(), key=lambda each: each[0] in BOOKKEEPING))


def _unknown(what: str, likely: str) -> CannotCheckError:
    return CannotCheckError(f"{INFO} cannot be made again: {what}.", likely, _BACKUP)
