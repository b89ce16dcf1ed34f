"""What has to be done so that a repository holds exactly a snapshot: pure.

A repository may hold what somebody else put there. Nothing of theirs is written over or removed:
what we put there ourselves is remembered, and anything else that is in the way is a conflict.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from uploads.hub import Remote
from uploads.snapshot import OWNED, File

type Ledger = Mapping[str, Iterable[str]]
"""By path, the contents (SHA-256 or git's SHA-1) that we ever set out to put there."""

COMMIT_FILES = 400
"""Files a commit: the hub gets slow with many more in one."""


@dataclass(frozen=True, slots=True)
class Difference:
    """`added` and `deleted` make the repository hold the snapshot; `foreign` is in the way."""

    added: tuple[File, ...]
    deleted: tuple[str, ...]
    foreign: tuple[str, ...]

    @property
    def nothing(self) -> bool:
        return not self.added and not self.deleted


def same(file: File, remote: Remote | None) -> bool:
    """Whether the repository holds that very content."""
    if remote is None or remote.size_bytes != file.size_bytes:
        return False
    return remote.id == (file.sha256 if remote.large else file.git_sha1())


def difference(
    wanted: Mapping[str, File], listed: Mapping[str, Remote], ledger: Ledger
) -> Difference:
    """Compare what is wanted with what is listed."""
    added = tuple(file for path, file in wanted.items() if not same(file, listed.get(path)))
    extra = tuple(path for path in listed if path.startswith(OWNED) and path not in wanted)
    touched = [*(file.path for file in added if file.path in listed), *extra]
    foreign = tuple(path for path in touched if listed[path].id not in ledger.get(path, ()))
    return Difference(added, extra, foreign)


def commits(change: Difference) -> list[tuple[tuple[File, ...], tuple[str, ...]]]:
    """The change as commits, (added, deleted) each: one where it is not too large.

    Of a larger one the last has everything under meta/ and all deletions: until then the branch has
    more than its info.json counts, and the tag, by which LeRobot loads, is on an older commit.
    """
    if len(change.added) + len(change.deleted) <= COMMIT_FILES:
        return [(change.added, change.deleted)]
    last = tuple(file for file in change.added if not _early(file.path))
    early = sorted((file for file in change.added if _early(file.path)), key=_order)
    parts: list[tuple[tuple[File, ...], tuple[str, ...]]] = [
        (tuple(early[start : start + COMMIT_FILES]), ())
        for start in range(0, len(early), COMMIT_FILES)
    ]
    return [*parts, (last, change.deleted)]


def _early(path: str) -> bool:
    return path.startswith(("videos/", "data/", "robotd/episodes/"))


def _order(file: File) -> tuple[bool, str]:
    return file.path.startswith("data/"), file.path
