"""`robotd dataset convert SRC --out DST`: another dataset from it, in other units, names or format.

The source is never touched and the result is there whole or not at all. Conversions combine; what
is not asked for stays as it is, and videos are never encoded again.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from daemon.cli.main import add_json
from dataset.place import dataset_at, name_of, new_dataset_at
from dataset.progress import Progress, shown
from dataset.settled import settled
from robotd import paths
from robotd.errors import CalibrationError, StateError

if TYPE_CHECKING:
    from dataset.converting.plan import Plan, Request
    from dataset.converting.source import Source

UNITS = ("degrees", "radians", "range_m100_100")
GRIPPER = ("1-x/100", "100-100x", "x/100", "100x")


@dataclass(frozen=True, slots=True)
class Converted:
    """What was made, or with `--dry-run` would be."""

    target: Path
    did: tuple[str, ...]
    warnings: tuple[str, ...]
    facts: dict[str, Any]


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", help="owner/name, or a folder: format v3.0 or v2.1")
    parser.add_argument("--out", required=True, metavar="NAME|FOLDER", help="the new dataset")
    parser.add_argument("--units", choices=UNITS, help="convert joints (not grippers) to these")
    parser.add_argument(
        "--from-units", choices=UNITS, help="what it is in, where nothing in the dataset says so"
    )
    parser.add_argument(
        "--calibration",
        action="append",
        default=[],
        metavar="FILE|ID",
        help="the arm's calibration when it was recorded, for range_m100_100; once for each arm",
    )
    parser.add_argument(
        "--trust-calibration",
        action="store_true",
        help="take it although it is not the one noted beside the episodes",
    )
    parser.add_argument(
        "--gripper",
        choices=GRIPPER,
        help="1-x/100: 0 closed..100 open to 1 closed..0 open (openpi); 100-100x: back",
    )
    parser.add_argument(
        "--actions",
        choices=("delta", "absolute"),
        help="actions relative to the state of their row, or back; grippers stay absolute",
    )
    parser.add_argument(
        "--camera",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="rename a camera, e.g. overhead=base_0_rgb; may be repeated",
    )
    parser.add_argument(
        "--joints", metavar="NAME[=NEW],…", help="every joint in its new order, with new names"
    )
    parser.add_argument("--joint-prefix", default="", metavar="PREFIX", help="e.g. left_")
    parser.add_argument(
        "--robot-type", default="", metavar="NAME", help="what LeRobot compares before it merges"
    )
    parser.add_argument(
        "--from", dest="from_version", choices=("v2.1", "v2.0"), help="insist on this format"
    )
    parser.add_argument("--copy", action="store_true", help="copy videos instead of linking them")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from dataset.converting.plan import make_plan
    from dataset.converting.source import read_source

    source = read_source(settled(dataset_at(args.dataset)))
    target = new_dataset_at(args.out)
    _check_version(source, args.from_version)
    plan = make_plan(source, _request(args, source))
    if args.dry_run:
        result = Converted(target, _did(source, plan), (), _sizes(source))
    else:
        progress = shown(args.json)
        result = convert(source, target, plan, link=not args.copy, progress=progress)
    _report(source, result, dry_run=args.dry_run, as_json=args.json)
    return 0


def convert(
    source: "Source",
    target: Path,
    plan: "Plan",
    *,
    link: bool = True,
    progress: Progress,
    wall_ns: Callable[[], int] = time.time_ns,
) -> Converted:
    """Make `target` from `source` by `plan`. Raises DatasetError; nothing is left then."""
    from daemon.recorder.transaction import remove_tree
    from dataset.building import building, check_room, linked_and_own_bytes
    from dataset.converting.source import OLD_VERSIONS
    from dataset.converting.v21 import upgrade
    from dataset.rewrite import Written

    sizes = _sizes(source)
    videos = 0 if link else sizes["video_bytes"]
    check_room(
        target,
        sizes["new_bytes"] + videos,
        linked=source.root,
        linked_bytes=sizes["video_bytes"] - videos,
    )
    with building(target) as folder:
        warnings: tuple[str, ...] = ()
        base = source.root
        if source.version in OLD_VERSIONS:
            base = folder / ".v3"
            warnings = upgrade(source, base, link=link, progress=progress)
        written: Written
        written, bounded = _apply(source, base, folder, plan, link=link, progress=progress)
        if bounded:
            warnings += (
                f"{bounded} values lay beyond the calibrated range and were bounded to ±100, as "
                "LeRobot bounds them when it reads the arm.",
            )
        if base != source.root:
            remove_tree(base)
        _finish(source, folder, plan, warnings, wall_ns())
        source.check_unchanged()
    linked, own = linked_and_own_bytes(target)
    facts = {
        "episodes": written.episodes,
        "frames": written.frames,
        "linked_bytes": linked,
        "written_bytes": own,
    }
    return Converted(target, _did(source, plan), warnings, facts)


def _apply(
    source: "Source", base: Path, folder: Path, plan: "Plan", *, link: bool, progress: Progress
) -> tuple[Any, int]:
    import numpy as np
    import pyarrow as pa

    from daemon.recorder.source import read_source
    from dataset.columns import numbers, vector_column
    from dataset.rewrite import Edit, rewrite

    bounded = 0
    features = plan.features
    if base != source.root:  # an upgrade tells more of its features than the old format did
        upgraded = read_source(base).info["features"]
        features = {
            plan.renamed.get(key, key): each | plan.new_names.get(key, {})
            for key, each in upgraded.items()
        }

    def change_rows(_: int, rows: pa.Table) -> pa.Table:
        nonlocal bounded
        columns = {
            key: numbers(rows[key]).astype(np.float64)
            for key in ("action", "observation.state")
            if key in rows.column_names
        }
        values, count = plan.apply(columns)
        bounded += count
        for key in plan.changed:
            place = rows.column_names.index(key)
            rows = rows.set_column(place, key, vector_column(values[key], features[key]))
        return rows

    edit = Edit(
        features=features,
        renamed=plan.renamed,
        changed=plan.changed,
        change_rows=change_rows if plan.changed else None,
        link=link or base != source.root,
        robot_type=plan.robot_type,
    )
    return rewrite(base, folder, edit, progress), bounded


def _finish(
    source: "Source",
    folder: Path,
    plan: "Plan",
    warnings: tuple[str, ...],
    wall_ns: int,
) -> None:
    from daemon.recorder.catalog import feature_names
    from daemon.recorder.convention import write_convention
    from dataset.provenance import carry_sidecar, write_provenance

    names = {"action": "action_names", "observation.state": "state_names"}
    carry_sidecar(
        source.root,
        folder,
        renamed=plan.renamed,
        names={
            kept: feature_names(plan.features[key]["names"])
            for key, kept in names.items()
            if key in plan.features
        },
        order=plan.order.get("action", ()),
    )
    write_provenance(
        source.root,
        folder,
        verb="convert",
        info_sha256=source.info_sha256,
        did=_did(source, plan),
        warnings=warnings,
        wall_ns=wall_ns,
    )
    if source.is_noted or plan.convention != source.convention:
        write_convention(folder, plan.convention)


def _did(source: "Source", plan: "Plan") -> tuple[str, ...]:
    from dataset.converting.source import OLD_VERSIONS

    if source.version in OLD_VERSIONS:
        return (f"format: {source.version} to v3.0", *plan.words)
    return plan.words or ("copy: nothing is converted",)


def _sizes(source: "Source") -> dict[str, Any]:
    """What there is to do, and how much has to be written anew at most (videos are linked)."""
    from daemon.recorder.durable import folder_bytes

    parts = {name: folder_bytes(source.root / name) for name in ("data", "meta", "videos")}
    return {
        "episodes": int(source.info["total_episodes"]),
        "frames": int(source.info.get("total_frames", 0)),
        "new_bytes": parts["data"] + parts["meta"] + folder_bytes(source.root / "robotd"),
        "video_bytes": parts["videos"],
    }


def _check_version(source: "Source", wanted: str | None) -> None:
    if wanted is not None and source.version != wanted:
        raise StateError(
            f"{source.root} is of format {source.version}, not {wanted}.",
            "It was converted before, or --from was mistaken.",
            "Leave out --from.",
        )


def _request(args: argparse.Namespace, source: "Source") -> "Request":
    from daemon.recorder.catalog import feature_names
    from dataset.converting.calibration import fingerprint, joint_ranges
    from dataset.converting.plan import VECTORS, Request

    files = [_calibration(each) for each in args.calibration]
    ranges: dict[str, float] = {}
    for key in VECTORS if files else ():
        if key in source.features:
            ranges |= joint_ranges(files, feature_names(source.features[key].get("names")))
    return Request(
        units=args.units,
        from_units=args.from_units,
        ranges=ranges or None,
        calibration=fingerprint(files) if files else "",
        trust_calibration=args.trust_calibration,
        gripper=args.gripper,
        actions=args.actions,
        cameras=tuple(_pair(each, "--camera") for each in args.camera),
        joints=tuple(
            _pair(each if "=" in each else f"{each}={each}", "--joints")
            for each in (args.joints or "").split(",")
            if each
        ),
        joint_prefix=args.joint_prefix,
        robot_type=args.robot_type,
    )


def _pair(text: str, option: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not (old and equals and new):
        raise StateError(
            f"{option} {text!r} does not say what becomes what.",
            "The equals sign or a name was forgotten.",
            f"Write {option} OLD=NEW.",
        )
    return old.strip(), new.strip()


def _calibration(text: str) -> Path:
    """A calibration file: named itself, or by an arm's id where LeRobot keeps them."""
    given = Path(text).expanduser()
    folders = ("so_follower", "so101_follower", "so100_follower")
    homes = [paths.calibration_dir() / "robots" / each / f"{text}.json" for each in folders]
    found = next((path for path in (given, *homes) if path.is_file()), None)
    if found is None:
        raise CalibrationError(
            f"There is no calibration {text}.",
            f"It is neither a file nor the id of an arm under {paths.calibration_dir()}.",
            "Give the file that lerobot-calibrate wrote for this arm.",
        )
    return found


def _report(source: "Source", result: Converted, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        content = {
            "source": str(source.root),
            "target": str(result.target),
            "dry_run": dry_run,
            "did": result.did,
            "warnings": result.warnings,
            **result.facts,
        }
        print(msgspec.json.encode(content).decode())
        return
    for each in result.did:
        print(f"  {each}")
    for each in result.warnings:
        print(f"  note: {each}")
    facts = result.facts
    size = f"{facts['episodes']} episodes, {facts['frames']} frames"
    if dry_run:
        print(
            f"{size}: about {facts['new_bytes'] / 1e6:.0f} MB to write and "
            f"{facts['video_bytes'] / 1e6:.0f} MB of video to link. Nothing was done."
        )
        return
    print(
        f"{name_of(result.target)}: {size}, {facts['written_bytes'] / 1e6:.1f} MB written, "
        f"{facts['linked_bytes'] / 1e6:.1f} MB linked, at {result.target}"
    )
