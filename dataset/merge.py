"""`robotd dataset merge A B … --into C`: one new dataset from several of one kind.

As LeRobot's own merge: equal fps, robot type and features, tasks by first appearance, statistics
put together. Videos are joined without encoding; what lies beside the episodes comes along.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from daemon.cli.main import add_json
from dataset.place import dataset_at, name_of, new_dataset_at
from dataset.settled import settled
from robotd.errors import DatasetError, StateError

if TYPE_CHECKING:
    from daemon.recorder.source import Source

_ENCODER_KEYS = frozenset(
    f"video.{name}"
    for name in ("g", "crf", "preset", "fast_decode", "extra_options", "video_backend")
)
"""What of a camera's `info` LeRobot lets differ: how its videos were encoded."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("datasets", nargs="+", help="owner/name or folders, in this order")
    parser.add_argument("--into", required=True, metavar="NAME", help="the new dataset")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from daemon.recorder.source import read_source

    target = new_dataset_at(args.into)
    roots = [settled(dataset_at(each)) for each in args.datasets]
    if len(roots) < 2:
        raise StateError(
            "There is only one dataset to merge.",
            "The second one was forgotten.",
            "robotd dataset merge A B --into C",
        )
    sources = [read_source(root) for root in roots]
    for source in sources[1:]:
        check_alike(sources[0], source)
    episodes, frames = merge(sources, target, time.time_ns())
    if args.json:
        found = {"root": str(target), "episodes": episodes, "frames": frames}
        print(msgspec.json.encode(found).decode())
    else:
        print(f"{name_of(target)}: {episodes} episodes, {frames} frames in {target}")
    return 0


def merge(sources: Sequence["Source"], target: Path, wall_ns: int) -> tuple[int, int]:
    """Make the new dataset `target` of all episodes, in order; returns its episodes and frames.

    `target` is there whole or not at all. Raises DatasetError and DiskFullError.
    """
    from daemon.recorder.convention import write_common
    from daemon.recorder.durable import append_line, folder_bytes, sha256_of
    from daemon.recorder.film import Pick
    from daemon.recorder.info import INFO
    from daemon.recorder.sidecar import EPISODES, stage_sidecar
    from daemon.recorder.swap import new_id
    from daemon.recorder.transaction import COMMITS, Commit
    from daemon.recorder.tree import write_tree
    from dataset.building import building, check_room

    picks = [
        Pick(number, episode)
        for number, source in enumerate(sources)
        for episode in range(len(source.episodes))
    ]
    parts = ("meta", "data", "videos", EPISODES)
    check_room(target, sum(folder_bytes(each.root / part) for each in sources for part in parts))
    with building(target) as folder:
        features = merged_features([source.info["features"] for source in sources])
        built = write_tree(folder, sources, picks, features, joined={})
        journals = stage_sidecar(folder, [source.root for source in sources], picks, {})
        write_common(folder, [source.root for source in sources])
        commit = Commit(
            kind="edit",
            journal_id=new_id(wall_ns, "merge"),
            episode_index=-1,
            rows=0,
            total_frames=built.info["total_frames"],
            wall_ns=wall_ns,
            info_sha256=sha256_of(folder / INFO),
            places=dict(built.places),
            files=dict(built.files),
            verb="merge",
            about=", ".join(name_of(source.root) for source in sources),
            episodes=journals,
        )
        (folder / COMMITS).parent.mkdir(exist_ok=True)
        append_line(folder / COMMITS, msgspec.json.encode(commit))
    return len(picks), int(built.info["total_frames"])


def check_alike(first: "Source", other: "Source") -> None:
    """Raise DatasetError, naming what differs, when the two cannot be one dataset."""
    from daemon.recorder.convention import Convention, alike, convention_of

    differing = [
        f"{name} is {first.info.get(name)!r} and {other.info.get(name)!r}"
        for name in ("fps", "robot_type")
        if first.info.get(name) != other.info.get(name)
    ]
    differing += feature_differences(first.info["features"], other.info["features"])
    numbers = [convention_of(each.root) or Convention() for each in (first, other)]
    if not alike(*numbers):
        differing.append(f"numbers are {numbers[0].in_words()} and {numbers[1].in_words()}")
    if differing:
        raise DatasetError(
            f"{first.root} and {other.root} cannot be merged: {'; '.join(differing)}.",
            "They were recorded with another robot, profile or camera.",
            "Make them alike first: robotd dataset convert; LeRobot merges no others either.",
        )


def feature_differences(first: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """What keeps two datasets' features from being one, a phrase each; LeRobot's own rule."""
    found = [f"only the first has {name}" for name in first if name not in other]
    found += [f"only the second has {name}" for name in other if name not in first]
    for name in (name for name in first if name in other):
        one, two = _compared(first[name]), _compared(other[name])
        for part in sorted({*one, *two}):
            if one.get(part) != two.get(part):
                found.append(f"{name} has {part} {one.get(part)} and {two.get(part)}")
    return found


def merged_features(every: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The features of the first; of how videos were encoded, what is the same for all."""
    features = dict(every[0])
    for name, feature in every[0].items():
        if feature.get("dtype") != "video":
            continue
        infos = [each[name].get("info") or {} for each in every]
        encoder: dict[str, Any] = {}
        for key in sorted(_ENCODER_KEYS):
            same = all(info.get(key) == infos[0].get(key) for info in infos)
            other: object = {} if key == "video.extra_options" else None
            encoder[key] = infos[0].get(key) if same else other
        info = {**infos[0], **encoder, "video.video_backend": "pyav"}
        features[name] = {**feature, "info": info}
    return features


def _compared(feature: Mapping[str, Any]) -> dict[str, Any]:
    if feature.get("dtype") != "video":
        return dict(feature)
    info = feature.get("info") or {}
    kept = {f"info {key}": value for key, value in info.items() if key not in _ENCODER_KEYS}
    return {**{part: value for part, value in feature.items() if part != "info"}, **kept}
