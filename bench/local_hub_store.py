"""What a hub keeps: repositories of commits, tags and large files, in memory; no HTTP.

Made to be watched: `tagged` is called with every tag as it is set, and `stored` counts how often
each large file's content was taken in, so that a file sent twice is seen.
"""

import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

FIRST_FILE = ".gitattributes"
_RULES = (
    b"*.parquet filter=lfs diff=lfs merge=lfs -text\n*.mp4 filter=lfs diff=lfs merge=lfs -text\n"
)
_LARGE_SUFFIXES = (".parquet", ".mp4", ".bin")


@dataclass(frozen=True, slots=True)
class Blob:
    """A file as a commit holds it. `sha256` is "" for one that is no large file."""

    data: bytes
    sha256: str = ""

    @property
    def blob_id(self) -> str:
        """Git's name for it; of a large file's pointer, not of its content."""
        pointer = f"oid sha256:{self.sha256}\nsize {len(self.data)}\n".encode()
        content = pointer if self.sha256 else self.data
        return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


type Files = dict[str, Blob]
type Tagged = Callable[[str, str, Mapping[str, Blob]], None]
"""Called with the repository, the tag and the files of the commit it was set on."""


class MovedError(Exception):
    """The branch is no longer where the committer thought."""


class MissingError(Exception):
    """There is no such repository, revision, file or large object."""


@dataclass(slots=True)
class Repo:
    """One dataset repository with its only branch."""

    name: str
    private: bool
    head: str = ""
    commits: dict[str, Files] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)

    def commit_of(self, revision: str) -> str:
        """The commit that `revision` (branch, tag or commit) names. Raises MissingError."""
        oid = self.head if revision == "main" else self.tags.get(revision, revision)
        if oid not in self.commits:
            raise MissingError(revision)
        return oid

    def files(self, revision: str = "main") -> Files:
        """The files at `revision`, by path."""
        return self.commits[self.commit_of(revision)]


@dataclass(frozen=True, slots=True)
class Change:
    """What one commit does. `large` names contents that were stored before, by SHA-256."""

    summary: str
    parent: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict)
    large: Mapping[str, str] = field(default_factory=dict)
    deleted: tuple[str, ...] = ()


def is_large(path: str, size_bytes: int, text: bool) -> bool:
    """Whether the hub would keep a file as a large one: by its name, or binary and not small."""
    return path.endswith(_LARGE_SUFFIXES) or (not text and size_bytes > 10_000)


class Store:
    """All repositories of one hub. Every public method may be called from any thread."""

    def __init__(self, tagged: Tagged = lambda *_: None) -> None:
        self.repos: dict[str, Repo] = {}
        self.large: dict[str, bytes] = {}
        self.stored: Counter[str] = Counter()
        self._tagged = tagged
        self._lock = threading.RLock()

    def create(self, name: str, private: bool) -> Repo | None:
        """Make a repository; None when there is one of that name."""
        with self._lock:
            if name in self.repos:
                return None
            repo = self.repos[name] = Repo(name, private)
            self._commit(repo, {FIRST_FILE: Blob(_RULES)}, "initial commit")
            return repo

    def repo(self, name: str) -> Repo:
        """The repository called `name`. Raises MissingError."""
        with self._lock:
            if name not in self.repos:
                raise MissingError(name)
            return self.repos[name]

    def store_large(self, sha256: str, data: bytes) -> bool:
        """Take in a large file's content; False when it is not what its name says."""
        if hashlib.sha256(data).hexdigest() != sha256:
            return False
        with self._lock:
            self.stored[sha256] += 1
            self.large[sha256] = data
        return True

    def commit(self, name: str, change: Change) -> str:
        """Add a commit to the branch; returns its id.

        Raises MovedError when the branch is not at `change.parent`, MissingError for a large file
        that was never stored or a deleted file that is not there.
        """
        with self._lock:
            repo = self.repo(name)
            if change.parent and change.parent != repo.head:
                raise MovedError(repo.head)
            files = dict(repo.files())
            for path in change.deleted:
                if path not in files:
                    raise MissingError(f"A file with this name doesn't exist: {path}")
                del files[path]
            for path, data in change.files.items():
                files[path] = Blob(data)
            for path, sha256 in change.large.items():
                if sha256 not in self.large:
                    raise MissingError(f"large file {sha256} of {path} was not uploaded")
                files[path] = Blob(self.large[sha256], sha256)
            return self._commit(repo, files, change.summary)

    def set_tag(self, name: str, tag: str, revision: str) -> bool:
        """Set a tag; False when it is there already."""
        with self._lock:
            repo = self.repo(name)
            if tag in repo.tags:
                return False
            repo.tags[tag] = repo.commit_of(revision)
            self._tagged(name, tag, repo.files(tag))
            return True

    def delete_tag(self, name: str, tag: str) -> None:
        """Remove a tag. Raises MissingError when it is not there."""
        with self._lock:
            if self.repo(name).tags.pop(tag, None) is None:
                raise MissingError(tag)

    def _commit(self, repo: Repo, files: Files, summary: str) -> str:
        content = f"{repo.head}\0{summary}\0{len(repo.commits)}".encode()
        listing = "".join(f"{path}\0{blob.blob_id}\n" for path, blob in sorted(files.items()))
        oid = hashlib.sha1(content + listing.encode()).hexdigest()
        repo.commits[oid] = files
        repo.messages.append(summary)
        repo.head = oid
        return oid
