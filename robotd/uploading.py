"""Uploads as every program sees them: the uploader's published state, and how to wake it.

The uploader is a process of its own that no other room imports: it is started by its module's
name, lives on when whoever started it ends, and ends when nothing is left to do. What it does is
in one file, replaced as a whole about twice a second while it works.
"""

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

import msgspec

from robotd import paths
from robotd.errors import RobotdError, StateError

UploadState = Literal[
    "queued",  # its turn will come
    "looking",  # comparing the dataset with the hub
    "sending",
    "committing",
    "verifying",
    "tagging",
    "waiting",  # tried again by itself at next_try_wall_s
    "paused",  # by a person
    "refused",  # a person has to do something first
    "done",
    "cancelled",
]
FINAL: frozenset[UploadState] = frozenset(("refused", "done", "cancelled"))
"""The states that the uploader leaves only when somebody asks."""

_MODULE = "uploads"
_SCRIPT = 'log=$1; shift; "$@" </dev/null >>"$log" 2>&1 &'
_COMMITS = "robotd/commits.jsonl"


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """One dataset on its way to one repository. Wall times in seconds since 1970, 0 for never.

    `episodes` is what the upload under way (or the last one) holds. `what`, `likely` and `do` are
    the last trouble's three sentences. `asked` and `retried` are how many of a person's requests
    are in it; `commits_bytes` is how far the dataset's commit records were seen, so that a later
    change can be told without reading them.
    """

    id: str
    name: str
    root: str
    repo: str = ""
    url: str = ""
    state: UploadState = "queued"
    episodes: int = 0
    files: int = 0
    files_left: int = 0
    bytes_left: int = 0
    attempt: int = 0
    next_try_wall_s: float = 0.0
    finished_wall_s: float = 0.0
    commit: str = ""
    what: str = ""
    likely: str = ""
    do: str = ""
    asked: int = 0
    retried: int = 0
    commits_bytes: int = 0


class Uploads(msgspec.Struct, frozen=True, kw_only=True):
    """The whole queue. `requests_bytes` is how much of what people asked for is in it.

    `rate_bytes_s` is what went out over the last seconds, headers not counted.
    """

    version: int = 1
    pid: int = 0
    paused: bool = False
    arm_moves: bool = False
    rate_bytes_s: float = 0.0
    requests_bytes: int = 0
    uploads: tuple[Upload, ...] = ()


def uploads_dir() -> Path:
    """Where the queue is kept."""
    return paths.state_dir() / "uploads"


def status_file() -> Path:
    """The uploader's published state."""
    return uploads_dir() / "status.json"


def requests_file() -> Path:
    """What people asked for, one line of JSON each, only ever appended to."""
    return uploads_dir() / "requests.jsonl"


def lock_file() -> Path:
    """Held by the one uploader of this machine's user."""
    return uploads_dir() / "lock"


def read_uploads() -> Uploads:
    """The published state; an empty one before the first upload.

    Raises StateError when the file is of another version of robotd.
    """
    try:
        return msgspec.json.decode(status_file().read_bytes(), type=Uploads)
    except FileNotFoundError:
        return Uploads()
    except (OSError, msgspec.DecodeError) as error:
        raise StateError(
            f"{status_file()} cannot be read: {error}.",
            "Another version of robotd wrote it, or the disk failed.",
            "Remove that file; the queue itself is kept in other files.",
        ) from error


def uploader_runs() -> bool:
    """Whether an uploader holds the lock now."""
    try:
        descriptor = os.open(lock_file(), os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def has_work(state: Uploads) -> bool:
    """Whether an uploader would find something to do: cheap, reads no more than sizes of files."""
    if _size(requests_file()) != state.requests_bytes:
        return True
    return not state.paused and any(
        _size(Path(each.root) / _COMMITS) != each.commits_bytes
        if each.state == "done"
        else each.state not in FINAL
        for each in state.uploads
    )


def wake_uploader() -> bool:
    """Start the uploader if it has something to do and does not run; whether it runs afterwards.

    Called when something was queued, when a dataset changed and when a daemon starts. Costs two
    small reads where nothing was ever queued. Raises StateError as `read_uploads` does.
    """
    if not requests_file().exists():
        return False
    if uploader_runs():
        return True
    if not has_work(read_uploads()):
        return False
    # A shell in between: the uploader is nobody's child then, and outlives who asked for it.
    subprocess.run(
        ["/bin/sh", "-c", _SCRIPT, "sh", uploads_dir() / "log", sys.executable, "-m", _MODULE],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        check=True,
    )
    return True


def dataset_changed() -> str:
    """Wake the uploader if what changed concerns it. Never raises: returns why it could not be
    started, or "". For those who have something else to do than uploading."""
    try:
        wake_uploader()
    except (RobotdError, OSError, subprocess.SubprocessError) as error:
        return f"The uploader could not be started: {error}"
    return ""


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
