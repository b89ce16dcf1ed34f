"""Upload datasets to the hub: queued, in the background, resumed after whatever happens.

  robotd upload NAME            queue a dataset (owner/name, or its folder) and return at once
  robotd upload NAME --follow   and whatever is kept into it later
  robotd upload status          how far everything is (so does robotd upload alone)
  robotd upload pause|resume    stop sending, go on
  robotd upload retry [NAME]    try again now, whatever is waited for or was refused
  robotd upload cancel NAME     take it out of the queue; what is on the hub stays
  robotd upload work            work on the queue here until nothing is left (for systemd)

Committed episodes only, private unless you say --public. An episode that you take out of a dataset
after its upload is taken off the hub's branch too. The uploader runs by itself, without a daemon,
and ends when nothing is left; robotd start and every robotd upload start it again where something
is. A dataset called like one of these words is named by its folder.
"""

import argparse
import re
import sys

import msgspec

from daemon.cli.main import add_json
from daemon.cli.numbers import positive_number
from robotd.errors import StateError
from robotd.uploading import (
    read_uploads,
    requests_file,
    uploader_runs,
    wake_uploader,
)
from uploads.cli.words import lines
from uploads.installed import check_installed
from uploads.queue import reconciled
from uploads.requests import (
    Cancel,
    Job,
    Pause,
    Queue,
    Request,
    Resume,
    Retry,
    ask,
    fold,
    job_id,
    read_requests,
)

_WORDS = ("status", "pause", "resume", "retry", "cancel", "work")
_HARMLESS = ("status", "pause", "cancel")
_LICENCE = re.compile(r"[a-z0-9][a-z0-9.-]*")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="?", default="status", metavar="NAME|" + "|".join(_WORDS))
    parser.add_argument("name", nargs="?", help="for retry and cancel: which dataset")
    parser.add_argument("--repo", default="", metavar="OWNER/NAME", help="default: the dataset's")
    parser.add_argument("--public", action="store_true", help="everybody may read it")
    parser.add_argument("--licence", default="", help="the hub's word for it, e.g. apache-2.0")
    parser.add_argument("--rate-mb-s", type=positive_number, default=0.0, help="limit, in 10⁶ B/s")
    parser.add_argument(
        "--pause-while-moving", action="store_true", help="hold it while an arm here moves"
    )
    parser.add_argument("--follow", action="store_true", help="later episodes too, as they come")
    parser.add_argument(
        "--replace",
        action="store_true",
        help="another dataset's files in that repository make room",
    )
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Queue, or do what the word says. Status: exit status 1 when something waits for a person."""
    if args.what not in _HARMLESS:
        check_installed()
    if args.what in _WORDS:
        if args.name and args.what not in ("retry", "cancel"):
            raise StateError(
                f"{args.what} is about the whole queue; it takes no name.",
                f"robotd upload {args.what} was meant, or robotd upload cancel {args.name}.",
                "See robotd upload --help.",
            )
        if args.what == "work":
            from uploads.__main__ import main as work

            return work(["--waits"])
        request = _request(args.what, args.name)
        running = uploader_runs() if request is None else _ask(request)
    else:
        running = _ask(_queue(args))
    return _show(args.json, running)


def _queue(args: argparse.Namespace) -> Queue:
    """The request to upload a dataset. Raises RobotdError for what could not be carried out."""
    from dataset.place import dataset_at, name_of
    from uploads.hub import check_repo_name, check_token

    root = dataset_at(args.what).resolve()
    if args.repo:
        check_repo_name(args.repo)
    check_token()
    licence = args.licence or _asked_licence(str(root), args)
    if licence and not _LICENCE.fullmatch(licence):
        raise StateError(
            f"{licence!r} is none of the hub's words for licences.",
            "It was mistyped: they are small letters, digits, points and dashes.",
            "Say, for example, --licence apache-2.0 or --licence cc-by-4.0.",
        )
    return Queue(
        root=str(root),
        name=name_of(root),
        repo=args.repo,
        public=args.public,
        licence=licence,
        rate_mb_s=args.rate_mb_s,
        pause_while_moving=args.pause_while_moving,
        follow=args.follow,
        replace=args.replace,
    )


def _asked_licence(root: str, args: argparse.Namespace) -> str:
    """The licence said before for this upload; else a person at a terminal is asked once."""
    known = fold(read_requests(requests_file())[0]).jobs.get(job_id(root, args.repo))
    if known is not None:
        return known.wanted.licence
    if args.json or not sys.stdin.isatty():
        return ""
    try:
        return input("Licence, e.g. apache-2.0 or cc-by-4.0 (Enter: state none): ").strip()
    except EOFError:
        return ""


def _request(word: str, name: str | None) -> Request | None:
    match word:
        case "pause":
            return Pause()
        case "resume":
            return Resume()
        case "retry":
            return Retry(_job(name).id if name else "")
        case "cancel" if name:
            return Cancel(_job(name).id)
        case "cancel":
            raise StateError(
                "Nothing was said that could be cancelled.",
                "The dataset's name is missing.",
                "robotd upload status shows the queue; then: robotd upload cancel NAME.",
            )
    return None


def _job(name: str) -> Job:
    """The job that a person means: by the dataset's name, its repository, its folder or its id."""
    jobs = fold(read_requests(requests_file())[0]).jobs
    known = {each.id: each.repo for each in read_uploads().uploads}
    found = [
        job
        for job in jobs.values()
        if name in (job.id, job.wanted.name, job.wanted.repo, job.wanted.root, known.get(job.id))
    ]
    found = [job for job in found if not job.cancelled] or found
    if len(found) == 1:
        return found[0]
    raise StateError(
        f"{name} is not in the queue."
        if not found
        else f"{name} is in the queue {len(found)} times.",
        "It was mistyped, or never queued." if not found else "It goes to several repositories.",
        "robotd upload status shows the queue"
        + (f"; say which: {', '.join(job.id for job in found)}." if found else "."),
    )


def _ask(request: Request) -> bool:
    """Put it into the log and see to it that somebody reads it; whether somebody will."""
    ask(requests_file(), request)
    return wake_uploader()


def _show(as_json: bool, running: bool) -> int:
    requests, size = read_requests(requests_file())
    state, orders = read_uploads(), fold(requests)
    # What was asked a moment ago is in the log; the uploader may not have seen it yet.
    now = msgspec.structs.replace(
        state,
        paused=orders.paused,
        requests_bytes=size,
        uploads=reconciled(state.uploads, orders),
    )
    if as_json:
        print(msgspec.json.encode({"running": running, **msgspec.to_builtins(now)}).decode())
    else:
        for line in lines(now, running):
            print(line)
    return 1 if any(each.state == "refused" for each in now.uploads) else 0
