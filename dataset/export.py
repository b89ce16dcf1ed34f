"""`robotd dataset export NAME --out DST`: a dataset for others, with labels as columns.

As a LeRobotDataset (some episodes of it, `--labels` and `--evidence` as columns), as RLDS for
TensorFlow Datasets, or as CSV. The dataset itself stays as it is.
"""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from daemon.cli.main import add_json
from dataset.place import dataset_at, name_of, new_dataset_at
from dataset.progress import Progress, shown
from dataset.settled import settled
from robotd.errors import DatasetError, StateError

if TYPE_CHECKING:
    from daemon.recorder.source import Source
    from dataset.exporting.columns import Beside

FORMATS = ("lerobot", "rlds", "csv")
ONLY = ("success", "failure", "labelled", "usable", "clean", "whole")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", help="owner/name, or a folder")
    parser.add_argument("--out", required=True, metavar="NAME|FOLDER", help="what is made")
    parser.add_argument("--format", choices=FORMATS, default="lerobot", help="default: lerobot")
    parser.add_argument(
        "--labels",
        action="store_true",
        help="columns next.done, next.success, next.reward, subgoal, source, intervention, "
        "intervention_id (rlds always has them)",
    )
    parser.add_argument(
        "--evidence", action="store_true", help="what was noted of each frame, as evidence.…"
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=ONLY,
        default=[],
        help="episodes called a success or failure, without (bad) findings of the quality gate, "
        "or not cut off by a crash; may be repeated",
    )
    parser.add_argument("--episodes", metavar="INDEX[,a-b]", help="these alone: 3 or 3,7-9")
    parser.add_argument("--jpeg-quality", type=int, default=95, metavar="1-100", help="of rlds")
    parser.add_argument("--copy", action="store_true", help="copy videos instead of linking them")
    parser.add_argument("--dry-run", action="store_true", help="say which episodes it would take")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from daemon.recorder.source import read_source
    from dataset.exporting.choice import WORDS, chosen
    from dataset.exporting.columns import read_beside
    from dataset.numbers import numbers_in, words

    if not 1 <= args.jpeg_quality <= 100:
        raise StateError(
            f"--jpeg-quality {args.jpeg_quality} is none.",
            "It goes from 1 to 100.",
            "95 is the default.",
        )
    source = read_source(settled(dataset_at(args.dataset)))
    target = _target(args)
    every = [
        read_beside(source.root, episode, int(length), evidence=False)
        for episode, length in enumerate(source.column("length"))
    ]
    numbers = numbers_in(args.episodes) if args.episodes else None
    taken = [every[episode] for episode in chosen(every, args.only, numbers)]
    if args.labels or args.evidence or args.format == "rlds":
        taken = [read_beside(source.root, each.episode, each.rows) for each in taken]
    did = [f"{words({each.episode for each in taken})} of {len(every)}"]
    did += [f"only what is {WORDS[word]}" for word in args.only]
    notes = _notes(taken, labels=args.labels or args.format == "rlds")
    facts: dict[str, Any] = {"episodes": len(taken), "frames": sum(each.rows for each in taken)}
    if not args.dry_run:
        facts |= _write(args, source, target, taken, tuple(did), tuple(notes))
    _report(args, target, did, notes, facts)
    return 0


def _target(args: argparse.Namespace) -> Path:
    """A LeRobotDataset goes where LeRobot looks for it; other formats into a folder as named."""
    from dataset.building import check_absent

    if args.format == "lerobot":
        return new_dataset_at(args.out)
    target = Path(args.out).expanduser().absolute()
    check_absent(target)
    return target


def _write(
    args: argparse.Namespace,
    source: "Source",
    target: Path,
    taken: list["Beside"],
    did: tuple[str, ...],
    notes: tuple[str, ...],
) -> dict[str, Any]:
    from daemon.recorder.durable import folder_bytes
    from dataset.building import building, check_room
    from dataset.converting.source import read_source as read_facts

    known = read_facts(source.root)
    video_bytes = folder_bytes(source.root / "videos")
    own_bytes = sum(folder_bytes(source.root / each) for each in ("data", "meta", "robotd"))
    if args.format == "rlds" or args.copy:  # JPEGs: at the least
        own_bytes, video_bytes = own_bytes + video_bytes, 0
    linked_bytes = 0 if args.format == "csv" else video_bytes
    check_room(target, own_bytes, linked=source.root, linked_bytes=linked_bytes)
    progress = shown(args.json)
    with building(target) as folder:
        if args.format == "rlds":
            from dataset.exporting.rlds import write_rlds

            facts = write_rlds(
                source,
                folder,
                target.name,
                taken,
                known.convention,
                jpeg_quality=args.jpeg_quality,
                progress=progress,
            )
        elif args.format == "csv":
            from dataset.exporting.csv import write_csv

            facts = write_csv(source, folder, taken, _more(args, taken), progress)
        else:
            facts = _write_lerobot(args, source, folder, taken, progress)
        _note(args, source, folder, known, did, notes)
        known.check_unchanged()
    return facts


def _more(args: argparse.Namespace, taken: list["Beside"]) -> Any:
    from dataset.exporting.columns import evidence_columns, label_columns

    added = _added(args, taken)

    def more(beside: "Beside") -> dict[str, Any]:
        labels = label_columns(beside) if args.labels else {}
        columns = labels | evidence_columns(beside, added)
        return {name: columns[name] for name in added}

    return more


def _added(args: argparse.Namespace, taken: list["Beside"]) -> dict[str, Any]:
    """The features that the flags ask for."""
    from dataset.exporting.columns import evidence_features, label_features

    labels = label_features(taken) if args.labels else {}
    return labels | (evidence_features(taken) if args.evidence else {})


def _write_lerobot(
    args: argparse.Namespace,
    source: "Source",
    folder: Path,
    taken: list["Beside"],
    progress: Progress,
) -> dict[str, Any]:
    from daemon.recorder.film import Pick
    from daemon.recorder.sidecar import stage_sidecar
    from daemon.recorder.transaction import remove_tree
    from daemon.recorder.tree import write_tree
    from dataset.provenance import carry_sidecar
    from dataset.rewrite import Edit, rewrite

    features = dict(source.info["features"])
    added = _added(args, taken)
    if clash := [name for name in added if name in features]:
        raise DatasetError(
            f"{source.root} has a column {clash[0]} already.",
            "It was exported before, or another program made it.",
            "Export the dataset that this one was made from, or leave out --labels/--evidence.",
        )
    base = source.root
    if len(taken) < len(source.episodes):
        base = folder / ".picked"
        picks = [Pick(0, each.episode) for each in taken]
        progress("choosing episodes", 0, len(taken))
        write_tree(base, [source], picks, features)
        stage_sidecar(base, [source.root], picks, {})
    more = _more(args, taken)

    def change_rows(episode: int, rows: Any) -> Any:
        for name, values in more(taken[episode]).items():
            rows = rows.append_column(name, values)
        return rows

    edit = Edit(
        features=features | added,
        changed=tuple(added),
        change_rows=change_rows if added else None,
        link=not args.copy or base != source.root,
    )
    written = rewrite(base, folder, edit, progress)
    carry_sidecar(base, folder)
    if base != source.root:
        remove_tree(base)
    return {"episodes": written.episodes, "frames": written.frames}


def _note(
    args: argparse.Namespace,
    source: "Source",
    folder: Path,
    known: Any,
    did: tuple[str, ...],
    notes: tuple[str, ...],
) -> None:
    """Where it comes from and what its columns mean, beside it."""
    from daemon.recorder.convention import write_convention
    from dataset.exporting.columns import DESCRIPTIONS
    from dataset.provenance import COLUMNS, write_provenance

    columns = ["labels as columns"] * args.labels + ["evidence as columns"] * args.evidence
    write_provenance(
        source.root,
        folder,
        verb="export",
        info_sha256=known.info_sha256,
        did=(f"format: {args.format}", *did, *columns),
        warnings=notes,
        wall_ns=time.time_ns(),
    )
    if known.is_noted:
        write_convention(folder, known.convention)
    described = msgspec.json.format(msgspec.json.encode(DESCRIPTIONS), indent=2)
    (folder / COLUMNS).write_bytes(described)


def _notes(taken: list["Beside"], *, labels: bool) -> list[str]:
    unknown = sum(each.page is None for each in taken)
    unjudged = sum(each.page is not None and each.page.label.success is None for each in taken)
    notes = []
    if unknown and labels:
        notes.append(f"{unknown} episodes were not recorded by robotd: they have no labels.")
    if unjudged and labels:
        notes.append(
            f"{unjudged} episodes were called neither a success nor a failure: there is no "
            "next.success, and their reward is 0. robotd dataset relabel says it."
        )
    return notes


def _report(
    args: argparse.Namespace, target: Path, did: list[str], notes: list[str], facts: dict[str, Any]
) -> None:
    if args.json:
        content = {
            "target": str(target),
            "format": args.format,
            "dry_run": args.dry_run,
            "did": did,
            "warnings": notes,
            **facts,
        }
        print(msgspec.json.encode(content).decode())
        return
    for each in did:
        print(f"  {each}")
    for each in notes:
        print(f"  note: {each}")
    size = f"{facts['episodes']} episodes, {facts['frames']} frames"
    end = "Nothing was done." if args.dry_run else f"at {target}"
    print(f"{name_of(target)}: {size} as {args.format}. {end}")
