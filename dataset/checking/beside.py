"""Findings about what lies beside LeRobot's files: robotd's sidecar, and what a download says."""

import fcntl
import json
import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from daemon.recorder.convention import read_convention
from daemon.recorder.durable import sha256_of
from daemon.recorder.staging import is_ours
from daemon.recorder.transaction import SIDECAR, Commit, read_commits, standing, unsettled
from dataset.checking.contents import DAMAGED, Contents
from dataset.findings import Finding, error, note, warning
from dataset.place import is_download

_EPISODES = f"{SIDECAR}/episodes"
_DATA = ("data/", "videos/")


def noted_units(root: Path) -> str:
    """The units that robotd noted when it converted the dataset, or beside the first episode that
    it recorded; "" if none."""
    converted = read_convention(root)
    if converted is not None and converted.units:
        return converted.units
    for path in sorted((root / _EPISODES).glob("episode-*/episode.json"))[:1]:
        about = _about(path)
        return str(about.get("spec", {}).get("units", "")) if about else ""
    return ""


def check_sidecar(found: Contents, wanted: range | None = None) -> list[Finding]:
    """robotd's own folder against the dataset: unfinished changes, evidence, commit records."""
    root = found.root
    if not (root / SIDECAR).is_dir() or found.info is None:
        return []
    result = []
    if unsettled(root):
        if _is_written(root):
            return [
                note(
                    "busy",
                    "robotd is saving an episode into this dataset just now.",
                    "It is being recorded into.",
                    "Check again when it is done: what was found may be half of a change.",
                )
            ]
        result.append(
            error(
                "unfinished",
                "A change of this dataset was begun and not ended.",
                "The machine or robotd went down while an episode was being saved.",
                "robotd ends it when it records into this dataset again; --fix ends it in a copy.",
                mends=True,
            )
        )
    result += _evidence(found, wanted)
    if is_ours(root, found.info):
        lost = [
            commit.episode_index
            for commit in _recent(root)
            if any(n.startswith(_DATA) and not (root / n).exists() for n in commit.files)
        ]
        if lost:
            result.append(
                error(
                    "commit-files",
                    "Files of an episode that robotd saved are gone.",
                    "They were removed by hand, or the dataset was copied in part.",
                    "Restore them from the hub or a backup.",
                    episodes=tuple(lost),
                )
            )
    return result


def _recent(root: Path) -> list[Commit]:
    """The episodes that were saved since the last edit of the whole, whose files are as saved."""
    commits = read_commits(root)
    edits = [place for place, commit in enumerate(commits) if commit.kind == "edit"]
    return list(standing(commits[edits[-1] + 1 if edits else 0 :]).values())


def check_hashes(found: Contents, wanted: range | None = None) -> list[Finding]:
    """Data and videos against the SHA-256 that robotd noted when it saved them (`--deep`)."""
    if found.info is None or not is_ours(found.root, found.info):
        return []
    changed = [
        commit.episode_index
        for commit in _recent(found.root)
        if wanted is None or commit.episode_index in wanted
        if any(
            name.startswith(_DATA)
            and (found.root / name).exists()
            and sha256_of(found.root / name) != hashed
            for name, hashed in commit.files.items()
        )
    ]
    if not changed:
        return []
    return [
        error(
            "hash",
            "Files of an episode are not those that robotd saved.",
            "A disk lost data, or another program wrote into them.",
            "Restore them from the hub or a backup.",
            episodes=tuple(changed),
        )
    ]


def _evidence(found: Contents, wanted: range | None) -> list[Finding]:
    """Evidence and labels: of an episode that is there, with as many rows as it has."""
    lengths = {int(row["episode_index"]): int(row["length"]) for row in found.episodes}
    foreign, unreadable = [], []
    for folder in sorted((found.root / _EPISODES).glob("episode-*")):
        number = folder.name.removeprefix("episode-")
        if not number.isdigit() or (wanted is not None and int(number) not in wanted):
            continue
        episode = int(number)
        about, evidence = folder / "episode.json", folder / "evidence.parquet"
        if not about.exists() and not evidence.exists():
            continue  # what it replaced is kept there for undo
        said = _about(about)
        try:
            rows = pq.read_metadata(evidence).num_rows if evidence.exists() else None
        except DAMAGED:
            unreadable.append(episode)
            continue
        if said is None:
            unreadable.append(episode)
        elif (
            lengths.get(episode) != said.get("rows")
            or said.get("episode_index") != episode
            or (rows is not None and rows != said.get("rows"))
        ):
            foreign.append(episode)
    result = []
    if foreign:
        result.append(
            error(
                "evidence",
                "robotd's evidence and label beside an episode are those of another one.",
                "Episodes were removed or put in another order by a program that does not know "
                "robotd's folder.",
                "--fix leaves them out: what they say is not of these episodes.",
                episodes=tuple(foreign),
                mends=True,
            )
        )
    if unreadable:
        result.append(
            error(
                "evidence",
                "robotd's evidence or label beside an episode cannot be read.",
                "A file was damaged or copied in part.",
                "Restore the folder robotd/ from a backup; --fix leaves out what is damaged.",
                episodes=tuple(unreadable),
                mends=True,
            )
        )
    return result


def check_download(found: Contents) -> list[Finding]:
    """Revisions, as far as the files of a download tell: tag against branch, and mixed ones."""
    root = found.root
    result = []
    if is_download(root):
        refs = root.parent.parent / "refs"
        tag, main = _ref(refs / "v3.0"), _ref(refs / "main")
        if tag and main and tag != main:
            here = "the tag's" if root.name == tag else "main's" if root.name == main else "older"
            result.append(
                warning(
                    "tag",
                    f"The hub's tag v3.0 is at {tag[:8]}, its branch main at {main[:8]}; this "
                    f"copy is {here}.",
                    "Something was pushed after the tag was set. LeRobot loads the tag, so it does "
                    "not see that.",
                    "If main is what is meant, its owner moves the tag: `hf repos tag delete` and "
                    "`hf repos tag create`, both with --repo-type dataset.",
                )
            )
        gone = [p.relative_to(root).as_posix() for p in root.rglob("*") if not p.exists()]
        if gone:
            result.append(
                error(
                    "download",
                    f"Files of the download are gone: {', '.join(gone[:3])}.",
                    "The hub's cache was cleaned by hand.",
                    "Download it again.",
                )
            )
    commits: dict[str, list[str]] = {}
    marks = root / ".cache/huggingface/download"
    for path in sorted(marks.rglob("*.metadata")) if marks.is_dir() else []:
        lines = path.read_text(errors="replace").split()
        name = path.relative_to(marks).as_posix().removesuffix(".metadata")
        if lines and (root / name).exists() and not name.startswith("."):
            commits.setdefault(lines[0], []).append(name)
    if len(commits) > 1:
        fewest = min(commits.values(), key=len)
        result.append(
            note(
                "revisions",
                f"The files were downloaded at {len(commits)} revisions; {', '.join(fewest[:3])} "
                "at another one than the rest.",
                "The dataset was changed on the hub between two downloads into this folder.",
                "That is well if the others did not change. To be sure, download into a new folder.",
            )
        )
    return result


def _ref(path: Path) -> str:
    return path.read_text().strip() if path.is_file() else ""


def _about(path: Path) -> dict[str, Any] | None:
    try:
        about = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return about if isinstance(about, dict) else None


def _is_written(root: Path) -> bool:
    """Whether a robotd holds the dataset's lock now; looking takes nothing and leaves nothing."""
    return any(_is_held(path) for path in (root / SIDECAR).glob("*lock"))


def _is_held(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
