"""Whether the dataset that is there can take another episode: found out before one is recorded.

LeRobot, killed while it records, leaves an info.json that counts episodes which are nowhere, files
without an end, and rows twice. Publishing would fail on each of these, after the recording.
"""

from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq

from daemon.recorder import layout, video
from daemon.recorder.convention import check_recordable
from daemon.recorder.history import present_files
from daemon.recorder.info import DATA_PATH, STATS, TASKS, VIDEO_PATH, Info, load_info
from daemon.recorder.schema import EpisodeSpec
from daemon.recorder.staging import check_free, episode_folder, is_ours, new_files, next_places
from daemon.recorder.tables import ACTION
from daemon.recorder.transaction import SIDECAR, read_commits
from drivers.units import units_of
from robotd.errors import DatasetError, RobotdError

_DO = "Record into a new dataset (--dataset NAME); what is whole in this one stays as it is."


def check_sound(root: Path, spec: EpisodeSpec) -> None:
    """Raise DatasetError when `root` could not take an episode of `spec`, though it would fit.

    Reads every meta file of a dataset that others wrote to last; of our own only names. Not to be
    called while an episode is being published into `root`.
    """
    info = load_info(root)
    if info is None or not info["total_episodes"]:
        return
    try:
        if is_ours(root, info):
            _check_ours(root)
        else:
            _check_theirs(root, info)
        _check_tasks_and_stats(root, info)
        for path in new_files(root, next_places(root, info, spec)):
            check_free(path)
    except RobotdError:
        raise
    except Exception as error:
        raise _broken(
            root, f"its files cannot be read ({type(error).__name__}: {error})"
        ) from error


def check_units(root: Path, spec: EpisodeSpec) -> None:
    """Raise DatasetError when nothing says that the dataset's values are in the units of `spec`.

    LeRobot records degrees or, with use_degrees=false, ±100, under identical features.
    """
    info = load_info(root)
    if info is None or not info["total_episodes"]:
        return
    convention = check_recordable(root)
    noted = convention.units if convention is not None else _noted_units(root)
    if noted == spec.units or (not noted and spec.units_confirmed):
        return
    if not noted and _proven_units(root) == spec.units:
        return
    if noted:
        raise DatasetError(
            f"{root} is in {noted}; this robot records {spec.units}.",
            "It was recorded with another setting.",
            "Record into a new dataset (--dataset NAME).",
        )
    raise DatasetError(
        f"Nothing says in which units {root} was recorded.",
        "LeRobot recorded it, and its values stay within ±100, which fits degrees and LeRobot's "
        "±100 range (use_degrees=false) alike.",
        "If it is in degrees (LeRobot's default since 0.4), say so: robotd record --units degrees …. "
        "Else record into a new dataset (--dataset NAME).",
    )


def _noted_units(root: Path) -> str:
    """What robotd noted beside an episode of its own; "" where it recorded none."""
    first = root / episode_folder(0) / "episode.json"
    # Only where others recorded the first episode are all folders looked through.
    folders = [first] if first.exists() else (root / SIDECAR / "episodes").glob("*/episode.json")
    for about in folders:
        note: dict[str, Any] = msgspec.json.decode(about.read_bytes())
        return str(note.get("spec", {}).get("units", ""))
    return ""


def _proven_units(root: Path) -> str:
    path = root / STATS
    return units_of(msgspec.json.decode(path.read_bytes()).get(ACTION, {})) if path.exists() else ""


def _check_ours(root: Path) -> None:
    for name in present_files(read_commits(root)):
        if not name.startswith((SIDECAR, "meta/")) and not (root / name).exists():
            raise _broken(root, f"{name} is gone")


def _check_theirs(root: Path, info: Info) -> None:
    layout.last_places(root, info)
    episodes = layout.read_episodes(root)
    data = {(row["data/chunk_index"], row["data/file_index"]) for row in episodes}
    frames = 0
    for chunk, file in sorted(data):
        path = root / (info.get("data_path") or DATA_PATH).format(
            chunk_index=chunk, file_index=file
        )
        try:
            frames += pq.read_metadata(path).num_rows
        except Exception as error:
            raise _broken(root, f"{path.relative_to(root)} cannot be read ({error})") from error
    if frames != info["total_frames"]:
        raise _broken(root, f"it counts {info['total_frames']} rows and holds {frames}")
    for key, feature in info["features"].items():
        if feature["dtype"] != "video":
            continue
        at = f"videos/{key}"
        for chunk, file in sorted(
            {(row[f"{at}/chunk_index"], row[f"{at}/file_index"]) for row in episodes}
        ):
            path = root / (info.get("video_path") or VIDEO_PATH).format(
                video_key=key, chunk_index=chunk, file_index=file
            )
            if not path.exists() or not video.has_index(path):
                raise _broken(root, f"{path.relative_to(root)} is missing or has no end")


def _check_tasks_and_stats(root: Path, info: Info) -> None:
    try:
        tasks = layout.read_tasks(root)
    except RobotdError:
        raise
    except Exception as error:
        raise _broken(root, f"{TASKS} cannot be read ({error})") from error
    if not tasks:
        raise _broken(root, f"{TASKS} is missing")
    if (root / STATS).exists():
        try:
            msgspec.json.decode((root / STATS).read_bytes())
        except msgspec.DecodeError as error:
            raise _broken(root, f"{STATS} cannot be read ({error})") from error


def _broken(root: Path, what: str) -> DatasetError:
    return DatasetError(
        f"{root} cannot take another episode: {what}.",
        "LeRobot was killed while it recorded into this dataset, or it was copied in part.",
        _DO,
    )
