"""What people asked the queue for: a log that only grows, and what follows from it. Pure but for
the two functions that touch the log.

The CLI appends, the uploader reads: neither ever writes what the other writes. Asking again for
the same dataset and repository is the same job with newer options.
"""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from daemon.recorder.durable import append_line, disk_error, make_folder


class Queue(msgspec.Struct, frozen=True, kw_only=True, tag="queue"):
    """Upload a dataset. `repo` "" is the dataset's own name, under the token's owner where that is
    robotd's placeholder. `rate_mb_s` 0 is no limit (1 MB is 10⁶ bytes). `licence` "" states none.

    `follow`: episodes kept later go up as well. `replace`: the repository may hold other files of
    a dataset, which make room.
    """

    root: str
    name: str
    repo: str = ""
    public: bool = False
    licence: str = ""
    rate_mb_s: float = 0.0
    pause_while_moving: bool = False
    follow: bool = False
    replace: bool = False
    wall_s: float = 0.0


class Cancel(msgspec.Struct, frozen=True, tag="cancel"):
    """Take a job out of the queue. What is on the hub stays there."""

    job: str


class Retry(msgspec.Struct, frozen=True, tag="retry"):
    """Try again now, whatever was waited for or refused. `job` "": all of them."""

    job: str = ""


class Pause(msgspec.Struct, frozen=True, tag="pause"):
    """Send nothing until `Resume`."""


class Resume(msgspec.Struct, frozen=True, tag="resume"):
    """Go on."""


type Request = Queue | Cancel | Retry | Pause | Resume


@dataclass(frozen=True, slots=True)
class Job:
    """One dataset for one repository. `asked` and `retried` count how often somebody did so."""

    id: str
    wanted: Queue
    asked: int = 1
    retried: int = 0
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class Orders:
    """Everything that was asked for, as it stands now; jobs in the order they were first asked."""

    paused: bool = False
    jobs: dict[str, Job] = field(default_factory=dict)


def job_id(root: str, repo: str) -> str:
    """The job's name: the same for the same dataset and repository, whoever asks."""
    return hashlib.sha256(f"{root}\0{repo}".encode()).hexdigest()[:12]


def fold(requests: Sequence[Request]) -> Orders:
    """What follows from the requests, in order."""
    paused = False
    jobs: dict[str, Job] = {}
    for request in requests:
        match request:
            case Queue():
                name = job_id(request.root, request.repo)
                known = jobs.get(name)
                asked, retried = (0, 0) if known is None else (known.asked, known.retried)
                jobs[name] = Job(name, request, asked + 1, retried)
            case Cancel(job=name):
                if name in jobs:
                    jobs[name] = replace(jobs[name], cancelled=True)
            case Retry(job=name):
                for each in list(jobs.values()):
                    if name in ("", each.id):
                        jobs[each.id] = replace(each, retried=each.retried + 1)
            case Pause() | Resume():
                paused = isinstance(request, Pause)
    return Orders(paused, jobs)


def ask(path: Path, request: Request) -> None:
    """Append a request to the log, durably. Raises DatasetError when the disk does not take it."""
    if isinstance(request, Queue):
        request = msgspec.structs.replace(request, wall_s=round(time.time(), 3))
    try:
        make_folder(path.parent)
        append_line(path, msgspec.json.encode(request))
    except OSError as error:
        raise disk_error(error, path) from error


def read_requests(path: Path) -> tuple[list[Request], int]:
    """Every request and the bytes they take. A line torn by a crash never was a request."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return [], 0
    requests: list[Request] = []
    for line in data.splitlines():
        try:
            requests.append(msgspec.json.decode(line, type=Request))
        except msgspec.DecodeError:
            continue
    return requests, len(data)
