"""What a person may name as a checkpoint's source, and what is meant by it. Pure.

`owner/name[@revision]` and `hf://owner/name[@revision]` are the hub; `gs://bucket/path` and every
other `scheme://…` that fsspec knows is an object store.
"""

import re
from dataclasses import dataclass

from robotd.errors import CheckpointError

_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_PAGES = ("https://huggingface.co/", "https://hf.co/")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a checkpoint comes from. `scheme` is `hf` for the hub; `place` a repository or a
    bucket with its path; `folder` the part of a repository that is meant, empty for all of it;
    `revision` a branch, tag or commit, empty for what is newest."""

    scheme: str
    place: str
    folder: str = ""
    revision: str = ""

    @property
    def url(self) -> str:
        """The source without its revision, written in one way."""
        if self.scheme == "hf":
            return "hf://" + self.place + ("/" + self.folder if self.folder else "")
        return f"{self.scheme}://{self.place}"

    @property
    def name(self) -> str:
        """As people write it: a hub's repository without its scheme."""
        return self.place if self.scheme == "hf" and not self.folder else self.url

    @property
    def text(self) -> str:
        """What pulls it again: its name with the revision, where one is meant."""
        if self.scheme != "hf" or not self.revision:
            return self.name
        if not self.folder:
            return f"{self.place}@{self.revision}"
        return f"hf://{self.place}@{self.revision}/{self.folder}"

    @property
    def slug(self) -> str:
        """A folder's name for it."""
        return re.sub(r"[^\w.-]+", "--", self.url.replace("://", "--")).strip("-")


def parse_source(text: str) -> Source:
    """What `text` names. Raises CheckpointError for what can be no source."""
    text = text.strip()
    for page in _PAGES:
        if text.startswith(page):
            repo = text.removeprefix(page).strip("/").replace("/tree/", "@", 1)
            text = "hf://" + repo
    scheme, mark, rest = text.partition("://")
    if not mark:
        if _REPO.fullmatch(text.partition("@")[0]):
            return _hub(text, text)
        raise _no_source(text, "It is not of the form owner/name, and has no scheme.")
    if scheme == "hf":
        return _hub(rest, text)
    if scheme in ("ws", "wss"):
        raise _no_source(text, "It is the address of a server, which is used where it is.")
    if not _SCHEME.fullmatch(scheme) or not rest.strip("/"):
        raise _no_source(text, "The scheme or the path is missing.")
    scheme = "gs" if scheme == "gcs" else scheme
    return Source(scheme, "/" + rest.strip("/") if rest.startswith("/") else rest.strip("/"))


def _hub(rest: str, text: str) -> Source:
    rest = rest.removeprefix("models/").strip("/")
    repo, mark, revision = rest.partition("@")
    folder = ""
    if mark:
        # hf://owner/name@revision/folder, as the hub's own file system writes it.
        if "/" in revision and not revision.startswith("refs/"):
            revision, _, folder = revision.partition("/")
    else:
        parts = repo.split("/", 2)
        repo, folder = "/".join(parts[:2]), "".join(parts[2:])
    if not _REPO.fullmatch(repo) or (mark and not revision):
        raise _no_source(text, "The hub's repositories are called owner/name.")
    return Source("hf", repo, folder.strip("/"), revision)


def _no_source(text: str, why: str) -> CheckpointError:
    return CheckpointError(
        f"{text!r} names no place that a checkpoint can be pulled from.",
        why,
        "Give owner/name (the hub), owner/name@revision, hf://owner/name, gs://bucket/path or "
        "another URL that fsspec knows.",
    )
