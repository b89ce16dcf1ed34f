"""A mended copy of a dataset: everything that can be proven, numbered anew, checked again.

The dataset itself is never written to. The copy grows in a hidden folder beside its target: videos
and data files as hard links where the file system has them (LeRobot and robotd replace such files,
they do not write into them), everything else as files of its own. It is synced, checked, and
renamed into its place last.
"""

import glob
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from daemon.recorder.durable import (
    disk_error,
    link_or_copy,
    make_folder,
    sync_file,
    sync_folder,
)
from daemon.recorder.info import INFO, encode_info
from daemon.recorder.transaction import (
    SIDECAR,
    finish,
    remove_tree,
    roll_back,
    unsettled,
)
from dataset.checking.contents import POINTER, Contents, read_contents
from dataset.findings import CannotCheckError, Report
from dataset.repairing.declare import declare
from dataset.repairing.plan import Plan, make_plan
from dataset.repairing.write import fresh, write_mended
from robotd.errors import DatasetError

type Examine = Callable[[Path], Report]

_LINKED = {".mp4", ".parquet", ".png"}
_LEFT_OUT = (".cache",)
_OF_A_CHANGE = ("intent.json", "staging", "removed")
"""In robotd's folder: needed to end a change that was begun, and for nothing else in a copy."""

_NEVER = ("lock", "edit.lock", "rebuild")


@dataclass(frozen=True, slots=True)
class Mended:
    """What a repair did. `lost` are episodes that could not be saved: (number, why)."""

    root: Path
    saved: int
    frames: int
    lost: tuple[tuple[int, str], ...]
    done: tuple[str, ...]
    report: Report
    renumbered: dict[int, int] = field(default_factory=dict)


def mend(root: Path, target: Path, examine: Examine) -> Mended:
    """Make a mended copy of `root` at `target`, which may not exist.

    `examine` checks the copy before it gets its name. Raises CannotCheckError when nothing can be
    saved, DatasetError and DiskFullError when the copy cannot be written; nothing is left then.
    """
    if target.exists() or target.is_symlink():
        raise DatasetError(
            f"{target} exists.",
            "A mended copy is never written over something.",
            "Choose another place with --out, or move that away.",
        )
    if target.is_relative_to(root):
        raise DatasetError(
            f"{target} is inside the dataset that is to be mended.",
            "The copy would become a part of what it is a copy of.",
            "Choose a place outside of it with --out.",
        )
    staging = target.with_name(f".{target.name}.mending-{os.getpid()}")
    try:
        make_folder(staging.parent)
        _remove_abandoned(target)
        _clone(root, staging)
        if unsettled(staging):
            finish(staging)
            roll_back(staging)
        found = read_contents(staging)
        declared: tuple[str, ...] = ()
        if found.info is None:
            found, declared = _declared_again(staging, found)
        plan = make_plan(found)
        if not plan.saved:
            raise CannotCheckError(
                f"Nothing of {root} can be saved.",
                _why(plan),
                "Restore it from the hub or a backup.",
            )
        done = [*declared, *write_mended(found, plan)]
        report = examine(staging)
        _sync(staging)
        os.rename(staging, target)  # noqa: PTH104  Path.rename would replace an empty folder too
        sync_folder(target.parent)
    except OSError as error:
        raise disk_error(error, target) from error
    finally:
        remove_tree(staging)
    return Mended(
        root=target,
        saved=len(plan.saved),
        frames=sum(each.length for each in plan.saved),
        lost=tuple(plan.lost),
        done=tuple(done),
        report=report,
        renumbered={
            each.episode: number for number, each in enumerate(plan.saved) if each.episode != number
        },
    )


def _declared_again(staging: Path, found: Contents) -> tuple[Contents, tuple[str, ...]]:
    """The copy with an info.json made again of its other files, and what is to be said of that.

    Raises CannotCheckError where it cannot be, or is not to be: it is of another version.
    """
    if found.info_problem == POINTER:
        raise CannotCheckError(
            f"{INFO} cannot be read: {POINTER}.",
            "The repository was cloned without lfs.",
            "Fetch the files: git lfs pull, or download with `hf download`.",
        )
    declared = declare(staging)
    fresh(staging / INFO).write_bytes(encode_info(declared.info))
    return read_contents(staging), declared.done


def _remove_abandoned(target: Path) -> None:
    """Remove what a repair to the same place left that was killed."""
    for path in target.parent.glob(f".{glob.escape(target.name)}.mending-*"):
        number = path.name.rpartition("-")[2]
        if number.isdigit() and not _is_running(int(number)):
            remove_tree(path)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _why(plan: Plan) -> str:
    words = [f"Episode {episode}: {why}" for episode, why in plan.lost[:3]]
    return "; ".join(words) + "." if words else "No episode is on the disk."


def _clone(root: Path, staging: Path) -> None:
    """Copy the tree; what is being written to it now, downloads and leftovers stay behind."""
    staging.mkdir()
    for folder, folders, files in os.walk(root, followlinks=False):
        here = Path(folder)
        relative = here.relative_to(root)
        folders[:] = [name for name in sorted(folders) if not _is_left_out(relative / name, root)]
        for name in folders:
            (staging / relative / name).mkdir()
        for name in sorted(files):
            if not _is_left_out(relative / name, root) and (here / name).exists():
                link = Path(name).suffix in _LINKED  # files that are only ever replaced
                link_or_copy(here / name, staging / relative / name, link=link)


def _is_left_out(relative: Path, root: Path) -> bool:
    if relative.parent == Path(SIDECAR):
        return relative.name in _NEVER or (relative.name in _OF_A_CHANGE and not unsettled(root))
    return relative.as_posix() in _LEFT_OUT or relative.suffix == ".incomplete"


def _sync(folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            sync_folder(path)
        elif path.stat().st_nlink == 1:  # a link's content was on the disk already
            sync_file(path)
    sync_folder(folder)
