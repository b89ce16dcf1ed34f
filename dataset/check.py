"""`robotd dataset check NAME|FOLDER`: is it whole, is it what it says, would a policy learn from it?

Exit status: 0 clean (notes at most), 1 findings, 2 it cannot be read. With --fix a copy is made in
which everything is mended that can be, and the copy is checked; the dataset itself is never
changed. Without --deep no picture is decoded.
"""

import argparse
import re
import time
from pathlib import Path

import msgspec

from daemon.cli.main import add_json
from dataset.findings import CannotCheckError, Finding, Report, lines, ordered
from dataset.place import beside, dataset_at, name_of, new_dataset_at
from robotd.errors import DatasetError

_RANGE = re.compile(r"(\d+)(?:-(\d+))?")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", help="owner/name, or a folder")
    parser.add_argument("--fix", action="store_true", help="mend what can be mended, in a copy")
    parser.add_argument(
        "--out", metavar="FOLDER", help="with --fix: the copy (owner/name, or path)"
    )
    parser.add_argument("--episodes", metavar="A-B", help="only these (counted from 0)")
    parser.add_argument("--deep", action="store_true", help="decode every frame (minutes)")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Check, or mend a copy. Raises CannotCheckError (exit status 2)."""
    wanted = _wanted(args.episodes)
    if args.out and not args.fix:
        raise CannotCheckError(
            "--out says where to put a mended copy, and none is to be made.",
            "--fix was forgotten.",
            "Give both: robotd dataset check NAME --fix --out FOLDER.",
        )
    if args.fix and wanted is not None:
        raise CannotCheckError(
            "--fix mends a whole dataset; --episodes asks for a part of one.",
            "Both were given.",
            "Leave out one of them.",
        )
    try:
        root = dataset_at(args.dataset)
        report = examine(root, wanted=wanted, deep=args.deep)
        if not args.fix:
            print(msgspec.json.encode(_as_json(report)).decode() if args.json else _text(report))
            return 0 if report.clean else 1
        return _fix(root, report, args)
    except CannotCheckError:
        raise
    except DatasetError as error:
        raise CannotCheckError(error.what, error.likely, error.do) from error
    except OSError as error:
        raise CannotCheckError(
            f"{error.filename or args.dataset} cannot be read: {error.strerror or error}.",
            "It belongs to another user, or the disk failed or was unplugged.",
            "Look at its permissions (`ls -l`) and at the disk (`dmesg | tail`).",
        ) from error


def examine(root: Path, *, wanted: range | None = None, deep: bool = False) -> Report:
    """Everything that is found about the dataset under `root`; nothing there is changed.

    With `wanted` only those episodes are looked at one by one. Raises OSError where the disk
    refuses.
    """
    from daemon.recorder.convention import read_convention
    from dataset.checking import beside as check_beside
    from dataset.checking import files as check_files
    from dataset.checking import frames as check_frames
    from dataset.checking import gripper as check_gripper
    from dataset.checking import motion as check_motion
    from dataset.checking import rows as check_rows
    from dataset.checking import stats as statistics
    from dataset.checking import values
    from dataset.checking.contents import column, read_contents
    from dataset.checking.tasks import check_tasks

    started = time.monotonic()
    found = read_contents(root, wanted)
    findings: list[Finding] = check_files.check_version(found)
    facts: dict[str, str] = {}
    frames = 0
    if found.info is not None and not findings:
        rows = found.rows()
        where = check_rows.stretches(rows)
        empty = found.info["total_episodes"] == 0 and not found.data and not found.episodes
        if not empty:
            findings += check_files.check_files(found, wanted)
            findings += check_files.check_counts(found)
            findings += check_files.check_stats_file(found)
            findings += check_rows.check_columns(found, rows)
            findings += check_rows.check_numbering(found, rows, where)
            findings += check_rows.check_times(found, rows, where, wanted)
            findings += check_tasks(found, rows, where)
            findings += check_rows.check_finite(found, rows, where, wanted)
            findings += check_frames.check_frames(found, where, wanted)
            findings += check_frames.check_declared(found)
            if wanted is None:
                findings += check_frames.check_tails(found)
            findings += statistics.check_stats(found, rows, where)
            findings += values.check_names(found)
            if not any(each.code in ("columns", "not-finite") for each in findings):
                note = read_convention(root)
                if note is None or note.recordable:  # else it is meant to be otherwise
                    more, facts = values.check_units(found, rows, check_beside.noted_units(root))
                    findings += more
                    findings += check_motion.check_following(found, rows, where, wanted)
                    more, gripper = check_gripper.check_gripper(found, rows, where)
                    findings += more
                    facts |= gripper
                else:
                    facts["converted to"] = note.in_words()
                findings += check_motion.check_frozen(found, rows, where, wanted)
            if deep:
                from dataset.checking.pictures import check_pictures

                findings += check_pictures(found, wanted)
                findings += check_beside.check_hashes(found, wanted)
        findings += check_beside.check_sidecar(found, wanted)
        facts |= {"fps": f"{found.fps}", "robot": str(found.info.get("robot_type") or "not said")}
        frames = len(column(rows, "index"))
    findings += check_beside.check_download(found)
    return Report(
        dataset=name_of(root),
        root=str(root),
        episodes=len(found.episodes),
        frames=frames,
        deep=deep,
        findings=ordered(findings),
        facts=facts,
        seconds=time.monotonic() - started,
    )


def _fix(root: Path, report: Report, args: argparse.Namespace) -> int:
    """Mend a copy, and say what was done and what is left."""
    from dataset.repair import mend

    if not any(each.mends for each in report.findings):
        print(msgspec.json.encode(_as_json(report)).decode() if args.json else _text(report))
        if not args.json:
            print("Nothing that --fix could mend; no copy was made.")
        return 0 if report.clean else 1
    target = new_dataset_at(args.out) if args.out else beside(root, "fixed")
    mended = mend(root, target, lambda copy: examine(copy, deep=args.deep))
    after = msgspec.structs.replace(mended.report, root=str(target), dataset=name_of(target))
    if args.json:
        fixed = {
            "root": str(target),
            "saved": mended.saved,
            "frames": mended.frames,
            "lost": [{"episode": episode, "why": why} for episode, why in mended.lost],
            "renumbered": {str(old): new for old, new in mended.renumbered.items()},
            "done": mended.done,
            "report": _as_json(after),
        }
        print(msgspec.json.encode({**_as_json(report), "fixed": fixed}).decode())
        return 0 if after.clean else 1
    print(_text(report))
    print(f"\nMended copy: {target}")
    print(f"  {mended.saved} episodes saved ({mended.frames} frames), {len(mended.lost)} lost")
    for episode, why in mended.lost:
        print(f"  lost: episode {episode}: {why}")
    for old, new in mended.renumbered.items():
        print(f"  episode {old} is now episode {new}")
    for each in mended.done:
        print(f"  {each}")
    print("\nChecked again:")
    print(_text(after))
    return 0 if after.clean else 1


def _wanted(text: str | None) -> range | None:
    if text is None:
        return None
    match = _RANGE.fullmatch(text)
    if match is None or int(match[2] or match[1]) < int(match[1]):
        raise CannotCheckError(
            f"{text!r} is no range of episodes.",
            "It is A-B with A not above B, or one number, counted from 0.",
            "For example --episodes 10-19.",
        )
    return range(int(match[1]), int(match[2] or match[1]) + 1)


def _as_json(report: Report) -> dict[str, object]:
    return {"clean": report.clean, **msgspec.to_builtins(report)}


def _text(report: Report) -> str:
    return "\n".join(lines(report))
