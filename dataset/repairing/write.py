"""The files of a mended dataset, written into a copy of the broken one.

A file is unlinked before it is written: in the copy it may be a link to the original.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from daemon.recorder import layout, video
from daemon.recorder.durable import make_folder
from daemon.recorder.info import (
    DATA_PATH,
    EPISODES_PATH,
    INFO,
    STATS,
    TASKS,
    VIDEO_PATH,
    encode_info,
)
from daemon.recorder.stats import Stats, aggregate, to_json
from daemon.recorder.transaction import remove_tree
from dataset.checking.contents import Contents, Place, column, place_of, salvaged
from dataset.checking.frames import declared_size
from dataset.checking.rows import off_grid, stretches
from dataset.checking.tasks import LOST_TASK, tasks_by_episodes
from dataset.checking.videos import scan_video
from dataset.repairing.beside import move_sidecar
from dataset.repairing.plan import Plan, Saved
from dataset.repairing.stats import stats_of

_PICTURES = "frame-%06d.png"  # as ffmpeg writes a row of files


def write_mended(found: Contents, plan: Plan) -> list[str]:
    """Make the copy that `found` was read from hold `plan`, no more; says what was done."""
    done: list[str] = []
    tasks = _write_tasks(found, done)
    _write_videos(found, plan, done)
    places, rows = _write_data(found, plan, done)
    stats, computed = stats_of(found, plan, rows)
    if computed:
        done.append(f"computed statistics again: {computed}")
    _write_episodes(found, plan, rows, places, stats, tasks)
    number = sum(each.row is None for each in plan.saved)
    if number:
        done.append(f"made the rows of meta/episodes of {number} episodes")
    _write_totals(found, plan, stats, tasks, done)
    if move_sidecar(found.root, plan):
        done.append("kept robotd's evidence and labels of the episodes that they are of")
    return done


def fresh(path: Path) -> Path:
    """`path` for writing: its folder is there, and no file, which may be a link."""
    make_folder(path.parent)
    path.unlink(missing_ok=True)
    return path


def _write_tasks(found: Contents, done: list[str]) -> list[str]:
    """The tasks by task_index, from meta/episodes where tasks.parquet does not have them.

    A task that is in neither gets a name that says so: episodes are not given up for a sentence.
    """
    rows = found.rows()
    used = column(rows, "task_index")
    known = dict(found.tasks)
    for number, task in tasks_by_episodes(found, used, stretches(rows)).items():
        known.setdefault(number, task)
    count = max([-1, *known, *(int(each) for each in np.unique(used))]) + 1
    lacking = [number for number in range(count) if number not in known]
    for number in lacking:
        known[number] = LOST_TASK.format(number)
        done.append(f"called task {number} {known[number]!r}: nothing says what it was")
    tasks = [known[number] for number in range(count)]
    if found.tasks != list(enumerate(tasks)):
        layout.write_tasks(fresh(found.root / TASKS), tasks)
        done.append(f"wrote {TASKS} again")
    return tasks


def _write_videos(found: Contents, plan: Plan, done: list[str]) -> None:
    """Make videos of pictures that have none yet, cut others behind the last frame that is used,
    and drop those that no episode has."""
    _make_videos(found, plan, done)
    for key in found.video_keys:
        used: dict[Place, int] = {}
        for each in plan.saved:
            frames = each.frames[key]
            used[frames.place] = max(used.get(frames.place, 0), frames.first + frames.count)
        for place, one in list(found.videos[key].items()):
            path = found.root / one.name
            if place not in used:
                path.unlink()
                del found.videos[key][place]
                done.append(f"left out {one.name}, which no saved episode is in")
            elif one.in_order and (one.problem or one.frames > used[place]):
                cut = path.with_name(f".{path.name}")
                video.remux(path, cut, used[place])
                cut.replace(path)
                found.videos[key][place] = scan_video(path, one.name)
                done.append(f"cut {one.name} behind frame {used[place]}")


def _make_videos(found: Contents, plan: Plan, done: list[str]) -> None:
    made = [
        (each, key, frames)
        for each in plan.saved
        for key, frames in each.frames.items()
        if frames.source is not None
    ]
    for each, key, frames in made:
        chunk, file = frames.place
        name = VIDEO_PATH.format(video_key=key, chunk_index=chunk, file_index=file)
        target, source = fresh(found.root / name), found.root / (frames.source or "")
        if source.is_dir():
            info = found.features[key].get("info") or {}
            info = {"video.codec": "h264", **info}
            video.transcode(source / _PICTURES, target, frames.count, found.fps, info)
        else:
            source.rename(target)
        found.videos[key][frames.place] = scan_video(target, name)
        done.append(f"made {name} of pictures that episode {each.episode} had no video of yet")
    for path in [found.root / "images", *found.root.glob("tmp*")]:
        if path.is_dir():
            remove_tree(path)


def _write_data(
    found: Contents, plan: Plan, done: list[str]
) -> tuple[list[Place], dict[int, pa.Table]]:
    """Write the rows that are kept, numbered anew; (data file of each episode, rows by episode).

    A file whose rows stay as they are is left as it is.
    """
    starts = _starts(found)
    in_order = all(a.stop <= b.first for a, b in zip(plan.saved, plan.saved[1:], strict=False))
    rows: dict[int, pa.Table] = {}
    places: list[Place] = []
    groups: dict[str, list[tuple[int, Saved]]] = {}
    for number, each in enumerate(plan.saved):
        name = next(n for n, (first, stop) in starts.items() if first <= each.first < stop)
        if not in_order:
            name = DATA_PATH.format(chunk_index=0, file_index=0)
        groups.setdefault(name, []).append((number, each))
        places.append(place_of(name) or (0, 0))
    all_rows = found.rows()
    first_index = 0
    for number, each in enumerate(plan.saved):
        part = all_rows.slice(each.first, each.length)
        rows[number] = _numbered(part, number, first_index, found.fps)
        first_index += each.length
    changed = []
    for file in found.data:
        kept = groups.get(file.name, [])
        same = (
            in_order
            and not file.problem
            and file.rows is not None
            and sum(each.length for _, each in kept) == file.rows.num_rows
            and all(
                rows[number].equals(all_rows.slice(each.first, each.length))
                for number, each in kept
            )
        )
        if not same:
            changed.append(file.name)
    full = {name: _full(found, name) for name in changed}
    for name in changed:
        (found.root / name).unlink()
    for name, kept in groups.items():
        if name in changed or not in_order:
            parts = []
            for number, each in kept:
                source = next(n for n, (a, b) in starts.items() if a <= each.first < b)
                part = full[source].slice(each.first - starts[source][0], each.length)
                parts.append(_with(part, rows[number]))
            _write_rows(fresh(found.root / name), parts)
    if changed:
        done.append(f"wrote the rows of {len(changed)} data files again")
    return places, rows


def _starts(found: Contents) -> dict[str, tuple[int, int]]:
    """Where each data file's rows are among all rows."""
    result, first = {}, 0
    for file in found.data:
        count = file.rows.num_rows if file.rows is not None else 0
        result[file.name] = (first, first + count)
        first += count
    return result


def _full(found: Contents, name: str) -> pa.Table:
    """All columns of a data file, pictures included."""
    path = found.root / name
    torn = next(each for each in found.data if each.name == name)
    if not torn.problem:
        return pq.read_table(path)
    table = salvaged(path, found.features)
    return pa.table({}) if table is None else table


def _numbered(rows: pa.Table, number: int, first_index: int, fps: int) -> pa.Table:
    """The rows of one episode with LeRobot's counters as they have to be."""
    count = rows.num_rows
    frame = np.arange(count)
    values = {
        "frame_index": frame,
        "episode_index": np.full(count, number),
        "index": frame + first_index,
    }
    if off_grid(column(rows, "timestamp"), fps):
        values["timestamp"] = frame / fps
    for name, each in values.items():
        if name in rows.column_names:
            place = rows.column_names.index(name)
            field = rows.schema.field(name)
            rows = rows.set_column(place, field, pa.array(each).cast(field.type, safe=False))
    return rows


def _with(full: pa.Table, counters: pa.Table) -> pa.Table:
    for name in ("timestamp", "frame_index", "episode_index", "index"):
        if name in full.column_names:
            place = full.column_names.index(name)
            full = full.set_column(place, full.schema.field(name), counters[name])
    return full


def _write_rows(path: Path, parts: list[pa.Table]) -> None:
    """One row group an episode, as LeRobot writes them."""
    with pq.ParquetWriter(path, parts[0].schema, compression="snappy") as writer:
        for part in parts:
            writer.write_table(part)


def _write_episodes(
    found: Contents,
    plan: Plan,
    rows: Mapping[int, pa.Table],
    places: list[Place],
    stats: list[Stats],
    tasks: list[str],
) -> None:
    for path in sorted((found.root / "meta/episodes").rglob("*.parquet")):
        path.unlink()
    written = []
    first = 0
    for number, each in enumerate(plan.saved):
        used = [tasks[i] for i in dict.fromkeys(column(rows[number], "task_index").tolist())]
        row: dict[str, Any] = {
            key: value
            for key, value in (each.row or {}).items()
            if not key.startswith(("stats/", "videos/"))
        }
        row |= {
            "episode_index": number,
            "tasks": used,
            "length": each.length,
            "data/chunk_index": places[number][0],
            "data/file_index": places[number][1],
            "dataset_from_index": first,
            "dataset_to_index": first + each.length,
        }
        for key in found.video_keys:
            row |= _video_facts(found, each, key)
        for feature, values in to_json(stats[number]).items():
            row |= {f"stats/{feature}/{name}": value for name, value in values.items()}
        row |= {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0}
        written.append(row)
        first += each.length
    names = list(dict.fromkeys(name for row in written for name in row))
    table = pa.table({name: pa.array([row.get(name) for row in written]) for name in names})
    path = fresh(found.root / EPISODES_PATH.format(chunk_index=0, file_index=0))
    pq.write_table(table, path, compression="snappy")


def _video_facts(found: Contents, each: Saved, key: str) -> dict[str, Any]:
    frames = each.frames[key]
    file = found.videos[key][frames.place]
    start, end = float(file.times_s[frames.first]), (frames.first + frames.count)
    stop = float(file.times_s[end]) if end < file.frames else start + frames.count / found.fps
    row = each.row or {}
    said = row.get(f"videos/{key}/from_timestamp"), row.get(f"videos/{key}/to_timestamp")
    if frames.count != each.length and said[1] is not None:
        start, stop = float(said[0] or 0.0), float(said[1])  # not to be mended: left as it is
    return {
        f"videos/{key}/chunk_index": frames.place[0],
        f"videos/{key}/file_index": frames.place[1],
        f"videos/{key}/from_timestamp": start,
        f"videos/{key}/to_timestamp": stop,
    }


def _write_totals(
    found: Contents, plan: Plan, stats: list[Stats], tasks: list[str], done: list[str]
) -> None:
    """stats.json and info.json."""
    total = to_json(aggregate(stats))
    others = {name: each for name, each in (found.stats or {}).items() if name not in total}
    data = json.dumps({**others, **total}, indent=4, ensure_ascii=False).encode()
    fresh(found.root / STATS).write_bytes(data)
    info = dict(found.info or {})
    before = dict(info)
    info |= {
        "total_episodes": len(plan.saved),
        "total_frames": sum(each.length for each in plan.saved),
        "total_tasks": len(tasks),
        "features": {key: _declared(found, key) for key in found.features},
    }
    if len(info.get("splits") or {}) <= 1:
        info["splits"] = {"train": f"0:{len(plan.saved)}"}
    if info != before:
        done.append(f"corrected {INFO}")
    fresh(found.root / INFO).write_bytes(encode_info(info))


def _declared(found: Contents, key: str) -> dict[str, Any]:
    """A feature as its videos are, where these are all alike."""
    feature = dict(found.features[key])
    videos = [each for each in found.videos.get(key, {}).values() if each.frames]
    if not videos:
        return feature
    size = {(each.width, each.height) for each in videos}
    if len(size) == 1 and size != {declared_size(feature)} and len(feature["shape"]) == 3:
        (width, height) = next(iter(size))
        names = feature.get("names") or ["height", "width", "channels"]
        values = {"width": width, "height": height}
        feature["shape"] = [
            values.get(name, old) for name, old in zip(names, feature["shape"], strict=True)
        ]
    info = dict(feature.get("info") or {})
    truth: dict[str, Any] = {
        "video.height": videos[0].height,
        "video.width": videos[0].width,
        "video.codec": videos[0].codec,
        "video.pix_fmt": videos[0].pix_fmt,
        "video.fps": found.fps,
    }
    alike = len({(v.width, v.height, v.codec, v.pix_fmt) for v in videos}) == 1
    for name, value in truth.items():
        if alike and info.get(name) not in (None, value):
            info[name] = value
    if alike and "video.codec" not in info:  # LeRobot notes it with the first episode's video
        info |= video.probe(found.root / videos[0].name)
    if info:
        feature["info"] = info
    return feature
