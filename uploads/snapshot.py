"""A dataset as of one commit: which files it has, with their sizes and SHA-256, while others write.

Nothing is locked and nothing copied but a few small files, so that saving an episode never waits
for an upload. Every change of ours writes `intent.json` first and ends with a commit record: if
there is no intent before and after, and info.json and the records are the same, then what was read
in between belongs together. Files that episodes refer to are never changed in place; should one be
gone or different when it is sent, everything begins anew with what is committed then.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from daemon.recorder import layout
from daemon.recorder.convention import PATH as CONVENTION
from daemon.recorder.durable import sha256_of, write_atomic
from daemon.recorder.info import (
    DATA_PATH,
    INFO,
    STATS,
    TASKS,
    VERSION,
    VIDEO_PATH,
    Info,
    load_info,
)
from daemon.recorder.quality.files import read_verdict
from daemon.recorder.staging import BEFORE
from daemon.recorder.transaction import (
    COMMITS,
    INTENT,
    SIDECAR,
    finish,
    locked,
    read_commits,
    roll_back,
    standing,
)
from dataset.provenance import COLUMNS, PROVENANCE
from robotd.errors import DatasetError
from uploads.troubles import ChangedError, RefusedError, UploadError, disk_trouble

log = logging.getLogger(__name__)

EPISODES = f"{SIDECAR}/episodes"
ABOUT = "episode.json"
OWNED = ("data/", "meta/", "videos/", f"{SIDECAR}/")
"""The folders of a repository that belong to the dataset; whatever else is there is left alone."""

_NOTES = (COMMITS, CONVENTION, PROVENANCE, COLUMNS)
_IN_MEMORY = {INFO, STATS, TASKS, *_NOTES}
_NOTHING = {"codebase_version": VERSION, "total_episodes": 0, "total_frames": 0, "features": {}}
"""What is left of info.json when the last episode was taken out: there is none on the disk then."""

_TRIES = 40
_PAUSE_S = 0.25
_STALE_INTENT_S = 5.0


@dataclass(frozen=True, slots=True)
class File:
    """One file as it is to be on the hub. `source` is its place on the disk, or its content."""

    path: str
    source: Path | bytes
    size_bytes: int
    sha256: str

    def sha256_now(self) -> str:
        """The content's SHA-256 as it is now; "" when it is gone. Raises UploadError."""
        if isinstance(self.source, bytes):
            return self.sha256
        try:
            return sha256_of(self.source) if self.source.is_file() else ""
        except OSError as error:
            raise disk_trouble(error) from error

    def git_sha1(self) -> str:
        """What git calls it, as the hub lists small files. Reads it. Raises UploadError."""
        try:
            data = self.source if isinstance(self.source, bytes) else self.source.read_bytes()
        except OSError as error:
            raise disk_trouble(error) from error
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A dataset as of one commit. `about` are the sidecar's pages of its episodes, as they are on
    the disk, with the codes that the quality gate flagged as "findings"; `journals` the episodes
    that robotd recorded; `commits_bytes` the length of its records when it was taken. One whose
    last episode was taken out has no files.
    """

    root: Path
    files: dict[str, File]
    info: Info
    tasks: tuple[str, ...]
    about: tuple[dict[str, Any], ...]
    journals: tuple[str, ...]
    commits_bytes: int


def take_snapshot(
    root: Path, hashes: Path, *, sleep: Callable[[float], None] = time.sleep
) -> Snapshot:
    """The dataset under `root` as it is committed now. `hashes` remembers what was read before.

    Raises ChangedError when it never stands still, RefusedError when it is not whole or cannot be
    read.
    """
    for _ in range(_TRIES):
        before = _version(root)
        if before is None:
            _settle_stale(root)
        else:
            found = _read(root)
            if _version(root) == before:
                if isinstance(found, UploadError):
                    raise found
                return _hashed(root, found, hashes)
        sleep(_PAUSE_S)
    raise ChangedError(
        f"{root} kept changing while it was looked at.",
        "Episodes are being saved or edited into it all the time.",
        "Nothing: it is tried again by itself.",
    )


def standing_journals(root: Path) -> frozenset[str]:
    """The episodes recorded by robotd that are in the dataset now."""
    return frozenset(standing(read_commits(root)))


@dataclass(frozen=True, slots=True)
class _Found:
    paths: list[str]
    contents: dict[str, bytes]
    info: Info
    tasks: tuple[str, ...]
    about: tuple[dict[str, Any], ...]
    journals: tuple[str, ...]


def _version(root: Path) -> tuple[bytes, bytes] | None:
    """What changes with every commit; None while a change is under way."""
    try:
        commits = (root / COMMITS).read_bytes() if (root / COMMITS).exists() else b""
        emptied = commits and not (root / INFO).exists()
        info = b"" if emptied else (root / INFO).read_bytes()
    except OSError as error:
        if not root.exists():
            raise RefusedError(
                f"There is no dataset at {root} any more.",
                "It was moved or removed, or its disk is not mounted.",
                "Bring it back (robotd upload retry), or robotd upload cancel NAME.",
            ) from error
        raise disk_trouble(error) from error
    return None if (root / INTENT).exists() else (info, commits)


def _settle_stale(root: Path) -> None:
    """Finish a change that a crash left half done, as the recorder would at its next start."""
    try:
        age_s = time.time() - (root / INTENT).stat().st_mtime
    except FileNotFoundError:
        return
    if age_s < _STALE_INTENT_S:
        return
    try:
        with locked(root):
            finish(root)
            roll_back(root)
    except DatasetError as error:
        raise ChangedError(error.what, error.likely, error.do) from error
    except OSError as error:
        raise disk_trouble(error) from error


def _read(root: Path) -> _Found | UploadError:
    """What is there, or what is wrong with it: a change that is under way looks like damage."""
    try:
        return _read_all(root)
    except UploadError as error:
        return error
    except OSError as error:
        return disk_trouble(error)
    except DatasetError as error:
        return _not_whole(root, error.what)
    except Exception as error:
        log.debug("reading %s", root, exc_info=True)
        return _not_whole(root, f"{type(error).__name__}: {error}")


def _read_all(root: Path) -> _Found:
    info = load_info(root)
    if info is None and (root / COMMITS).exists() and not standing_journals(root):
        return _Found([], {COMMITS: (root / COMMITS).read_bytes()}, dict(_NOTHING), (), (), ())
    if info is None:
        raise ChangedError(
            f"{root / INFO} is gone.",
            "The last episode was taken out, or the folder is being replaced.",
            "Nothing: it is looked at again.",
        )
    about = _pages(root)
    paths = [*_referred(root, info), *_meta(root), *_sidecar(root)]
    contents = {name: (root / name).read_bytes() for name in paths if name in _IN_MEMORY}
    contents |= {name: _public(page) for name, page in about.items()}
    tasks = tuple(layout.read_tasks(root))
    journals = tuple(sorted(standing_journals(root)))
    pages = tuple({**page, "findings": _flagged(root / name)} for name, page in about.items())
    return _Found(paths, contents, info, tasks, pages, journals)


def _referred(root: Path, info: Info) -> Iterator[str]:
    """Data and videos of the episodes that info.json counts; a file nobody refers to stays here."""
    kinds = {"data": ("data", info.get("data_path") or DATA_PATH)}
    for key, feature in info["features"].items():
        if feature["dtype"] == "video":
            kinds[key] = (f"videos/{key}", info.get("video_path") or VIDEO_PATH)
    columns = [f"{at}/{part}" for at, _ in kinds.values() for part in ("chunk_index", "file_index")]
    rows = layout.read_episodes(root, ["episode_index", *columns])
    if [int(row["episode_index"]) for row in rows] != list(range(info["total_episodes"])):
        raise _not_whole(root, f"it counts {info['total_episodes']} episodes, lists {len(rows)}")
    found: dict[str, None] = {}
    for key, (at, template) in kinds.items():
        for row in rows:
            place = {
                "chunk_index": int(row[f"{at}/chunk_index"]),
                "file_index": int(row[f"{at}/file_index"]),
            }
            found[template.format(video_key=key, **place)] = None
    for name in found:
        if not (root / name).is_file():
            raise _not_whole(root, f"{name} is missing")
    yield from found


def _meta(root: Path) -> Iterator[str]:
    for path in sorted((root / "meta").rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            yield path.relative_to(root).as_posix()


def _sidecar(root: Path) -> Iterator[str]:
    """Records, notes, evidence and labels; not what is kept for undoing, nor what is under way."""
    yield from (name for name in _NOTES if (root / name).exists())
    for path in sorted((root / EPISODES).glob("*/**/*")):
        name = path.relative_to(root).as_posix()
        if path.is_file() and f"/{BEFORE}/" not in name and not path.name.startswith("."):
            yield name


def _pages(root: Path) -> dict[str, dict[str, Any]]:
    pages: dict[str, dict[str, Any]] = {}
    for path in sorted((root / EPISODES).glob(f"*/{ABOUT}")):
        try:
            page = json.loads(path.read_bytes())
            _ = page["spec"]["dataset_root"]
        except (ValueError, KeyError, TypeError) as error:
            raise _not_whole(root, f"{path.name} of {path.parent.name} is damaged") from error
        pages[path.relative_to(root).as_posix()] = page
    return pages


def _flagged(page: Path) -> list[str]:
    """What the quality gate would have a person act on."""
    verdict = read_verdict(page.parent)
    return sorted({each.code for each in verdict.flagged}) if verdict is not None else []


def _public(page: dict[str, Any]) -> bytes:
    """An episode's page without the folders of the machine that recorded it."""
    spec = {**page["spec"], "dataset_root": ""}
    return msgspec.json.format(msgspec.json.encode({**page, "spec": spec}), indent=2)


def _hashed(root: Path, found: _Found, hashes: Path) -> Snapshot:
    known = _known(hashes)
    fresh: dict[str, tuple[int, int, int, str]] = {}
    files: dict[str, File] = {}
    try:
        for name in found.paths:
            content = found.contents.get(name)
            if content is not None:
                sha256 = hashlib.sha256(content).hexdigest()
                files[name] = File(name, content, len(content), sha256)
                continue
            path = root / name
            at = path.stat()
            mark = (at.st_size, at.st_mtime_ns, at.st_ino)
            before = known.get(name)
            sha256 = before[3] if before and before[:3] == mark else sha256_of(path)
            fresh[name] = (*mark, sha256)
            files[name] = File(name, path, at.st_size, sha256)
    except OSError as error:
        raise disk_trouble(error) from error
    if fresh != known:
        write_atomic(hashes, msgspec.json.encode(fresh))
    commits_bytes = len(found.contents.get(COMMITS, b""))
    return Snapshot(
        root, files, found.info, found.tasks, found.about, found.journals, commits_bytes
    )


def _known(hashes: Path) -> dict[str, tuple[int, int, int, str]]:
    try:
        data = hashes.read_bytes()
        return msgspec.json.decode(data, type=dict[str, tuple[int, int, int, str]])
    except (OSError, msgspec.DecodeError):
        return {}


def _not_whole(root: Path, why: str) -> RefusedError:
    return RefusedError(
        f"{root} is not whole: {why}.",
        "LeRobot was killed while it recorded, or files were moved by hand.",
        f"Look: robotd dataset check {root}; then: robotd upload retry.",
    )
