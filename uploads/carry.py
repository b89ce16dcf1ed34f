"""One upload from its beginning to its end: compare, send, commit, verify, tag.

It remembers nothing that the hub knows better: begun again after whatever happened, it compares
the dataset with the repository and does what is left. The tag, by which LeRobot loads a dataset, is
moved last, to a commit whose listing was found to be the whole snapshot and nothing else.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import msgspec

from daemon.recorder.convention import read_convention
from daemon.recorder.durable import make_folder, write_atomic
from uploads.card import CARD, make_card
from uploads.difference import Difference, commits, difference, same
from uploads.hub import Hub, Local, Remote, check_repo_name
from uploads.requests import Queue
from uploads.snapshot import OWNED, File, Snapshot, take_snapshot
from uploads.troubles import ChangedError, RefusedError, WaitError

PLACEHOLDER_OWNER = "local"
"""The owner that robotd gives to a dataset nobody named."""

_BATCH_BYTES, _BATCH_FILES = 64_000_000, 50
_SHOWN = 3
_HASHES, _LEDGER = "hashes.json", "ledger.json"


class Report(Protocol):
    """Told how far it is: any fields of `robotd.uploading.Upload`."""

    def __call__(self, **changes: Any) -> None: ...


@dataclass(frozen=True, slots=True)
class Carried:
    """What is on the hub now, verified and tagged."""

    repo: str
    commit: str
    snapshot: Snapshot


def repo_of(wanted: Queue, owner: Callable[[], str]) -> str:
    """The repository's full name; `owner` is asked only where the dataset's name has none."""
    if wanted.repo:
        return wanted.repo
    first, _, name = wanted.name.rpartition("/")
    return f"{owner()}/{name}" if first in ("", PLACEHOLDER_OWNER) else wanted.name


def carry(hub: Hub, wanted: Queue, folder: Path, report: Report) -> Carried:
    """Bring the dataset to the hub. `folder` keeps what is remembered of it between tries.

    Raises WaitError, RefusedError, ChangedError or StoppedError; whatever was reached stays.
    """
    make_folder(folder)
    report(state="looking")
    snapshot = take_snapshot(Path(wanted.root), folder / _HASHES)
    repo = repo_of(wanted, hub.owner)
    check_repo_name(repo)
    report(repo=repo, url=f"{hub.endpoint}/datasets/{repo}")
    hub.ensure_repo(repo, private=not wanted.public)
    head = hub.head(repo)
    listed = hub.listing(repo, head)
    ledger = _read_ledger(folder)
    files = snapshot.files | _card(repo, snapshot, wanted, listed.get(CARD), ledger)
    change = difference(files, listed, ledger)
    if not snapshot.files and CARD in listed and listed[CARD].id in ledger.get(CARD, ()):
        change = replace(change, deleted=(*change.deleted, CARD))
    if change.foreign and not wanted.replace:
        raise _foreign(repo, wanted.name, change)
    report(
        episodes=snapshot.info["total_episodes"],
        files=len(files),
        files_left=len(change.added),
        bytes_left=sum(file.size_bytes for file in change.added),
    )
    if not change.nothing:
        _note(folder, ledger, change.added)
        words = _words(snapshot)
        for added, deleted in commits(change):
            operations = _send(hub, repo, added, folder, report)
            report(state="committing")
            head = hub.commit(repo, operations, deleted, words, head)
    report(state="verifying", files_left=0, bytes_left=0)
    _verify(repo, snapshot, hub.listing(repo, head))
    report(state="tagging")
    tag = str(snapshot.info["codebase_version"])
    if snapshot.files:
        hub.move_tag(repo, tag, head)
    else:
        hub.remove_tag(repo, tag)  # there is nothing left to load by it
    return Carried(repo, head, snapshot)


def _send(hub: Hub, repo: str, files: Sequence[File], folder: Path, report: Report) -> list[Any]:
    """Bring the files to the hub's storage, batch by batch; returns what the commit takes."""
    done: list[Any] = []
    report(state="sending")
    left = len(files)
    left_bytes = sum(file.size_bytes for file in files)
    for batch in _batches(files):
        operations = hub.operations(Local(each.path, each.source, each.sha256) for each in batch)
        try:
            hub.send(repo, operations)
        except RefusedError:
            # What the hub does not take may be a file that was half of one content, half another.
            _check_unchanged(batch, [each.sha256_now() for each in batch], folder)
            raise
        sent = [operation.upload_info.sha256.hex() for operation in operations]
        _check_unchanged(batch, sent, folder)
        done += operations
        left -= len(batch)
        left_bytes -= sum(file.size_bytes for file in batch)
        report(files_left=left, bytes_left=left_bytes, attempt=0)
    return done


def _check_unchanged(files: Sequence[File], now: Sequence[str], folder: Path) -> None:
    """Raise ChangedError when a file is not what it was when the upload began."""
    for file, content in zip(files, now, strict=True):
        if content != file.sha256:
            (folder / _HASHES).unlink(missing_ok=True)
            raise ChangedError(
                f"{file.path} is not what it was when the upload began.",
                "Another program wrote to the dataset.",
                "Nothing: it begins anew with what is there now.",
            )


def _batches(files: Sequence[File]) -> Iterator[list[File]]:
    batch: list[File] = []
    size_bytes = 0
    for file in files:
        if batch and (size_bytes + file.size_bytes > _BATCH_BYTES or len(batch) == _BATCH_FILES):
            yield batch
            batch, size_bytes = [], 0
        batch.append(file)
        size_bytes += file.size_bytes
    if batch:
        yield batch


def _verify(repo: str, snapshot: Snapshot, listed: dict[str, Remote]) -> None:
    """Raise WaitError unless the listing is the snapshot: every file, and no other of a dataset."""
    missing = [path for path, file in snapshot.files.items() if not same(file, listed.get(path))]
    extra = [path for path in listed if path.startswith(OWNED) and path not in snapshot.files]
    if missing or extra:
        wrong = [f"{path} is missing or different" for path in missing]
        wrong += [f"{path} is too many" for path in extra]
        raise WaitError(
            f"{repo} does not hold the dataset yet: {_listed(wrong)}.",
            "Somebody else changed the repository, or a .gitignore there keeps files out.",
            "It is compared and completed again by itself; the tag stays where it was.",
        )


def _card(
    repo: str, snapshot: Snapshot, wanted: Queue, listed: Remote | None, ledger: dict[str, set[str]]
) -> dict[str, File]:
    """The card, unless a person wrote the one that is there, or nothing is left to speak of."""
    if not snapshot.files:
        return {}
    if listed is not None and listed.id not in ledger.get(CARD, ()):
        return {}
    numbers = read_convention(snapshot.root)
    data = make_card(
        repo,
        snapshot.info,
        snapshot.tasks,
        snapshot.about,
        wanted.licence,
        numbers="" if numbers is None else numbers.in_words(),
    )
    return {CARD: _in_memory(CARD, data)}


def _in_memory(path: str, data: bytes) -> File:
    return File(path, data, len(data), sha256(data).hexdigest())


def _read_ledger(folder: Path) -> dict[str, set[str]]:
    path = folder / _LEDGER
    if not path.exists():
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, set[str]])
    except (OSError, msgspec.DecodeError) as error:
        raise RefusedError(
            f"{path} cannot be read: {error}.",
            "The disk failed, or the file was edited.",
            "Remove it and queue the dataset again with --replace, if the repository is yours.",
        ) from error


def _note(folder: Path, ledger: dict[str, set[str]], added: Sequence[File]) -> None:
    """Remember what is about to be put there, before it is."""
    for file in added:
        names = {file.sha256}
        if file.size_bytes < 10_000_000:  # the hub keeps no larger file as a small one
            names.add(file.git_sha1())
        ledger.setdefault(file.path, set()).update(names)
    write_atomic(folder / _LEDGER, msgspec.json.encode(ledger))


def _foreign(repo: str, name: str, change: Difference) -> RefusedError:
    return RefusedError(
        f"{repo} holds files that this dataset did not put there: {_listed(change.foreign)}.",
        "It is another dataset's repository, or was uploaded from another machine or by LeRobot.",
        f"Choose another one (robotd upload {name} --repo owner/name), or let them make room: "
        f"robotd upload {name} --replace.",
    )


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _words(snapshot: Snapshot) -> str:
    return f"{snapshot.info['total_episodes']} episodes, {snapshot.info['total_frames']} frames"
