"""One episode, built file by file in a staging folder beside the dataset it is to join.

Nothing here changes the dataset: the result is an `Intent`, the renames that will.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from daemon.recorder import layout, tables, video
from daemon.recorder.durable import make_folder, sha256_of, sync_file, sync_folder
from daemon.recorder.encoders import ENCODERS, X264
from daemon.recorder.info import (
    CHUNK_FILES,
    DATA_PATH,
    EPISODES_PATH,
    INFO,
    STATS,
    TASKS,
    VIDEO_PATH,
    Info,
    encode_info,
    following_place,
    load_info,
    new_info,
)
from daemon.recorder.quality.files import QUALITY, VIEWS
from daemon.recorder.quality.gate import Gate
from daemon.recorder.schema import EpisodeSpec, Manifest
from daemon.recorder.stats import (
    Stats,
    aggregate,
    from_json,
    image_stats,
    sampled_frames,
    to_json,
)
from daemon.recorder.stored import EVIDENCE, ROWS
from daemon.recorder.transaction import SIDECAR, STAGING, Commit, Intent, last_commit
from robotd.errors import DatasetError

type Places = dict[str, tuple[int, int]]
"""(chunk, file) by kind of file: "data", "meta", and each video key."""

BEFORE = "before"
"""In an episode's sidecar: the files it replaced, for undoing it to the byte."""


def episode_folder(episode_index: int) -> str:
    """Where an episode's evidence and labels are, relative to the dataset."""
    return f"{SIDECAR}/episodes/episode-{episode_index:06d}"


def is_ours(root: Path, info: Info) -> bool:
    """Whether the dataset is as robotd's last commit left it, so that its record can be used."""
    commit = last_commit(root)
    return commit is not None and _is_after(root, info, commit)


def _is_after(root: Path, info: Info, commit: Commit) -> bool:
    return commit.info_sha256 == sha256_of(root / INFO) and (
        commit.total_frames == info["total_frames"]
    )


def stage_episode(root: Path, journal: Path, manifest: Manifest, wall_ns: int) -> Intent:
    """Build every file of the change under the staging folder, synced; returns the intent."""
    spec = manifest.spec
    info = load_info(root) or new_info(spec)
    index, first = info["total_episodes"], info["total_frames"]
    staging = root / STAGING / manifest.journal_id
    make_folder(staging)
    stage = _Stage(root, staging)

    places = next_places(root, info, spec)
    rows = tables.read_stream(journal / ROWS).slice(0, manifest.rows)
    tasks = layout.read_tasks(root)
    new_tasks = [task for task in dict.fromkeys(rows["task"].to_pylist()) if task not in tasks]
    columns = layout.data_columns(
        rows, [*tasks, *new_tasks], fps=spec.fps, episode_index=index, first_index=first
    )
    stats: Stats = {}
    gate = Gate(root, info, manifest)
    facts: dict[str, Any] = {
        "episode_index": index,
        "tasks": list(dict.fromkeys(rows["task"].to_pylist())),
        "length": manifest.rows,
        "data/chunk_index": places["data"][0],
        "data/file_index": places["data"][1],
        "dataset_from_index": first,
        "dataset_to_index": first + manifest.rows,
    }
    for camera in spec.cameras:
        feature = info["features"][camera.key]
        path = stage.new(VIDEO_PATH, places[camera.key], video_key=camera.key)
        _write_video(journal / f"{camera.name}.mp4", path, manifest, feature)
        stats[camera.key] = video_stats(path, manifest.rows, partial(gate.see, camera))
        facts[f"videos/{camera.key}/chunk_index"] = places[camera.key][0]
        facts[f"videos/{camera.key}/file_index"] = places[camera.key][1]
        facts[f"videos/{camera.key}/from_timestamp"] = 0.0
        facts[f"videos/{camera.key}/to_timestamp"] = manifest.rows / spec.fps
    stats = {**layout.episode_stats(columns, info["features"]), **stats}
    layout.write_data(stage.new(DATA_PATH, places["data"]), columns, info["features"])
    layout.write_episode(stage.new(EPISODES_PATH, places["meta"]), facts, stats, places["meta"])
    _stage_sidecar(stage, journal, manifest, index, rows, gate)
    if new_tasks:
        layout.write_tasks(stage.replace(TASKS, index), [*tasks, *new_tasks])
    stage.replace(STATS, index).write_bytes(
        msgspec.json.format(msgspec.json.encode(to_json(_total_stats(root, info, stats))), indent=4)
    )
    info |= {
        "total_episodes": index + 1,
        "total_frames": first + manifest.rows,
        "total_tasks": len(tasks) + len(new_tasks),
        "splits": {"train": f"0:{index + 1}"},
    }
    stage.replace(INFO, index).write_bytes(encode_info(info))
    stage.sync()
    commit = Commit(
        kind="keep",
        journal_id=manifest.journal_id,
        episode_index=index,
        rows=manifest.rows,
        total_frames=first + manifest.rows,
        wall_ns=wall_ns,
        info_sha256=sha256_of(staging / INFO),
        places=places,
        files=stage.hashes(),
    )
    relative = f"{STAGING}/{manifest.journal_id}"
    steps = tuple((f"{relative}/{name}", name) for name in stage.names)
    return Intent(steps=steps, commit=commit, staging=relative)


def next_places(root: Path, info: Info, spec: EpisodeSpec) -> Places:
    """Where the files of the next episode go. Raises DatasetError for a dataset that LeRobot left
    unfinished."""
    ends, chunk_files = _ends(root, info), int(info.get("chunks_size", CHUNK_FILES))
    kinds = ["data", "meta", *(camera.key for camera in spec.cameras)]
    return {
        kind: following_place(ends[kind], chunk_files) if kind in ends else (0, 0) for kind in kinds
    }


def new_files(root: Path, places: Places) -> list[Path]:
    """The files that an episode at `places` makes, none of which may be there yet."""
    templates = {"data": DATA_PATH, "meta": EPISODES_PATH}
    return [
        root
        / templates.get(kind, VIDEO_PATH).format(chunk_index=chunk, file_index=file, video_key=kind)
        for kind, (chunk, file) in places.items()
    ]


def check_free(path: Path) -> None:
    """Raise DatasetError when the file that an episode would make is there already."""
    if path.exists():
        raise DatasetError(
            f"{path} exists, but no episode refers to it.",
            "Another program was killed while it recorded into this dataset.",
            "Move that file away, or record into a new dataset (--dataset NAME).",
        )


class _Stage:
    """The staging folder of one change: it mirrors the dataset, in the order of the renames."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root = root
        self.folder = folder
        self.names: list[str] = []

    def new(self, template: str, place: tuple[int, int], **keys: str) -> Path:
        """A file that the dataset must not have yet."""
        name = template.format(chunk_index=place[0], file_index=place[1], **keys)
        check_free(self.root / name)
        return self.add(name)

    def replace(self, name: str, episode_index: int) -> Path:
        """A file that replaces the dataset's; the old content is kept for `remove_last`."""
        if (self.root / name).exists():
            kept = self.add(f"{episode_folder(episode_index)}/{BEFORE}/{Path(name).name}")
            kept.write_bytes((self.root / name).read_bytes())
        return self.add(name)

    def add(self, name: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self.names.append(name)
        return path

    def sync(self) -> None:
        for name in self.names:
            sync_file(self.folder / name)
        # Every folder on the way: one whose own name was never synced takes its files with it.
        paths = [Path(name) for name in self.names]
        for folder in sorted({folder for path in paths for folder in path.parents}):
            sync_folder(self.folder / folder)

    def hashes(self) -> dict[str, str]:
        return {name: sha256_of(self.folder / name) for name in self.names}


def _write_video(source: Path, target: Path, manifest: Manifest, feature: dict[str, Any]) -> None:
    """The episode's video in the dataset's codec; a first one also says what that codec is."""
    info = dict(feature.get("info") or {})
    if info.get("video.codec", "h264") == "h264":
        video.remux(source, target, manifest.rows)
    else:
        video.transcode(source, target, manifest.rows, manifest.spec.fps, info)
    if "video.codec" not in info:
        feature["info"] = {
            **info,
            **video.probe(target),
            **video.encoder_info(
                manifest.spec.fps,
                manifest.spec.video_crf,
                ENCODERS.get(manifest.spec.encoder, X264),
            ),
        }


def video_stats(
    path: Path, rows: int, see: Callable[[int, Any], None] = lambda index, frame: None
) -> dict[str, npt.NDArray[Any]]:
    """Statistics of the pictures that a policy will be shown: those decoded from the file.

    `see` is given every one of them, by row.
    """
    wanted = set(sampled_frames(rows))
    seen = 0

    def pictures() -> Iterator[npt.NDArray[np.uint8]]:
        nonlocal seen
        for index, frame in video.decode_frames(path):
            seen = index + 1
            see(index, frame)
            if index in wanted:
                yield frame.to_ndarray(format="rgb24")

    stats = image_stats(pictures())
    if seen != rows:
        raise DatasetError(
            f"{path} decodes to {seen} frames where the episode has {rows} rows.",
            "The video was damaged after it was recorded.",
            "Discard this episode, or restore its journal from a backup.",
        )
    return stats


def _stage_sidecar(
    stage: _Stage, journal: Path, manifest: Manifest, index: int, rows: pa.Table, gate: Gate
) -> None:
    folder = episode_folder(index)
    evidence = tables.read_stream(journal / EVIDENCE).slice(0, manifest.rows)
    pq.write_table(evidence, stage.add(f"{folder}/evidence.parquet"), compression="zstd")
    about = msgspec.structs.replace(manifest, state="committed", episode_index=index)
    data = msgspec.json.format(msgspec.json.encode(about), indent=2)
    stage.add(f"{folder}/episode.json").write_bytes(data)
    gate.write(rows, evidence, stage.add(f"{folder}/{QUALITY}"), stage.add(f"{folder}/{VIEWS}"))


def _total_stats(root: Path, info: Info, episode: Stats) -> Stats:
    path = root / STATS
    if path.exists():
        return aggregate([from_json(msgspec.json.decode(path.read_bytes())), episode])
    if info["total_episodes"]:
        return aggregate([*layout.read_episode_stats(root), episode])
    return episode


def _ends(root: Path, info: Info) -> Places:
    if info["total_episodes"] == 0:
        return {}
    commit = last_commit(root)
    if commit is not None and commit.places and _is_after(root, info, commit):
        return commit.places
    return layout.last_places(root, info)
