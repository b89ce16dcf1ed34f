"""One pull from beginning to end: ask for size and revision, make room, fetch, verify, record."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from policies.pulling.fetch import Fetch, Progress
from policies.pulling.manifest import (
    Manifest,
    fetched_bytes,
    folder_of,
    manifest_of,
    read_manifest,
    store_root,
    write_manifest,
)
from policies.pulling.remote import Listing, Remote, check_paths, needed
from policies.pulling.room import check_room
from policies.pulling.source import Source
from robotd.errors import CheckpointError, StateError


@dataclass(frozen=True, slots=True)
class Plan:
    """What a pull would do, before it does it. `snapshot` is set where the hub's own cache has all
    of it: nothing is fetched then."""

    source: Source
    manifest: Manifest
    folder: Path
    here_bytes: int
    snapshot: Path | None = None

    @property
    def missing_bytes(self) -> int:
        """What is still to come."""
        return 0 if self.snapshot else self.manifest.size_bytes - self.here_bytes


@dataclass(frozen=True, slots=True)
class Pulled:
    """Where it is now. `fetched_bytes` is what this pull brought."""

    path: Path
    revision: str
    size_bytes: int
    fetched_bytes: int


def open_remote(source: Source) -> Remote:
    """The source, open. Raises CheckpointError."""
    if source.scheme == "hf":
        from policies.pulling.hub import HubRemote

        return HubRemote(source)
    from policies.pulling.object_store import StoreRemote

    return StoreRemote(source)


def plan(source: Source, remote: Remote, *, everything: bool = False) -> Plan:
    """Ask the source what there is. Writes nothing. Raises CheckpointError.

    A pull of the hub's newest that was interrupted is gone on with at the commit it was begun
    with only as long as that is still the newest; an older begun one stays until it is removed.
    """
    listing = remote.listing()
    files = listing.files if everything else needed(listing.files)
    check_paths(source.url, files)
    folder = folder_of(source.slug, listing.revision)
    manifest = Manifest(
        source=source.url,
        name=source.name,
        asked=source.revision,
        revision=listing.revision,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        files=files,
    )
    return Plan(
        source,
        manifest,
        folder,
        fetched_bytes(folder, manifest),
        _snapshot(source, Listing(revision=listing.revision, files=files)),
    )


def pull(
    planned: Plan,
    remote: Remote,
    *,
    progress: Progress = lambda _path, _done: None,
    sleep: Callable[[float], None] | None = None,
) -> Pulled:
    """Do it. Raises CheckpointError; whatever was fetched by then stays and is gone on with."""
    manifest, folder = planned.manifest, planned.folder
    if planned.snapshot is not None:
        return Pulled(planned.snapshot, manifest.revision, manifest.size_bytes, 0)
    check_room(store_root(), planned.missing_bytes)
    with _alone(folder):
        known = read_manifest(manifest_of(folder))
        if known is not None and known.complete and planned.missing_bytes == 0:
            return Pulled(folder, manifest.revision, manifest.size_bytes, 0)
        write_manifest(manifest_of(folder), manifest)
        fetch = Fetch(remote, manifest, folder, progress)
        if sleep is not None:
            fetch.sleep = sleep
        fetch.run()
        write_manifest(manifest_of(folder), msgspec.structs.replace(manifest, complete=True))
    return Pulled(folder, manifest.revision, manifest.size_bytes, planned.missing_bytes)


def _snapshot(source: Source, listing: Listing) -> Path | None:
    if source.scheme != "hf":
        return None
    from policies.pulling.hub import in_hub_cache

    return in_hub_cache(source, listing.revision, listing.files)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Only one process fills a folder. The lock goes with the process, however that ends."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = folder.with_name(f".{folder.name}.lock").open("ab")
    except OSError as error:
        raise CheckpointError(
            f"{folder} cannot be made: {error.strerror or error}.",
            "The cache folder belongs to somebody else, or the disk is read-only.",
            "Look: ls -ld on it. Another place for the cache: XDG_CACHE_HOME.",
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StateError(
                f"{folder.parent.name} is being pulled by another process.",
                "robotd ckpt pull runs in another terminal.",
                "Wait for it; it can be ended with Ctrl-C and gone on with here.",
            ) from error
        yield
