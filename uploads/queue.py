"""The queue's rules: what people asked for, put beside how far each upload came. Pure."""

from collections.abc import Iterable, Sequence
from pathlib import PurePath

import msgspec

from robotd.uploading import FINAL, Upload
from uploads.patience import RETRY_AFTER_LIMIT_S
from uploads.requests import Job, Orders


def reconciled(uploads: Iterable[Upload], orders: Orders) -> tuple[Upload, ...]:
    """Every job with how far it came: new ones queued, asked-again ones queued anew, cancelled ones
    marked. What is under way goes on."""
    known = {each.id: each for each in uploads}
    return tuple(_with(known.get(job.id), job) for job in orders.jobs.values())


def due(uploads: Sequence[Upload], wall_s: float) -> Upload | None:
    """Whose turn it is now; None when all have to wait or nothing is left."""
    ready = (each for each in uploads if each.state not in FINAL)
    return next((each for each in ready if wait_s(each, wall_s) <= 0), None)


def wait_s(upload: Upload, wall_s: float) -> float:
    """Seconds until its next try. A clock that was set back makes nothing wait for days."""
    if upload.state != "waiting":
        return 0.0
    return min(upload.next_try_wall_s - wall_s, RETRY_AFTER_LIMIT_S)


def without_trouble(upload: Upload) -> Upload:
    """The same, with nothing wrong any more."""
    return msgspec.structs.replace(upload, what="", likely="", do="", next_try_wall_s=0.0)


def _with(known: Upload | None, job: Job) -> Upload:
    fresh = Upload(
        id=job.id,
        name=job.wanted.name or PurePath(job.wanted.root).name,
        root=job.wanted.root,
        repo=job.wanted.repo if known is None else known.repo,
        asked=job.asked,
        retried=job.retried,
        commit="" if known is None else known.commit,
    )
    if job.cancelled:
        stays = known if known is not None else fresh
        return msgspec.structs.replace(stays, state="cancelled", asked=job.asked)
    if known is None or known.asked != job.asked:
        return fresh
    if known.retried != job.retried:
        known = msgspec.structs.replace(known, retried=job.retried)
        if known.state != "done":
            return msgspec.structs.replace(without_trouble(known), state="queued", attempt=0)
    return known
