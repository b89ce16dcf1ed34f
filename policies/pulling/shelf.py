"""What is in the caches: robotd's own, and the hub's, which is looked at where it lies.

A name is found by what a person pulled it as (`owner/name`, a URL), with `@revision` where there
are several, or by its folder. Nothing is copied from one cache to the other.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from policies.checkpoint.kinds import kind_from_keys
from policies.checkpoint.opening import find_and_open
from policies.checkpoint.tensors import WEIGHTS, read_safetensors_header
from policies.pulling.manifest import (
    Manifest,
    fetched_bytes,
    manifest_of,
    read_manifest,
    store_root,
)
from policies.pulling.source import Source, parse_source
from robotd.errors import CheckpointError, DaemonError, RobotdError

_DEPTH = 4
_STATUS_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Kept:
    """One checkpoint at one revision. `cache` is `robotd` or `hub`; `kind` is empty where the
    tensors do not tell it; `asked` are the branches and tags that it was pulled as, with commas
    between; `changed_at` is when the hub's cache got it, in seconds of the epoch; `used_by` names
    running robots that have it loaded."""

    name: str
    revision: str
    kind: str
    cache: str
    path: Path
    size_bytes: int
    here_bytes: int
    asked: str = ""
    pulled_at: str = ""
    changed_at: float = 0.0
    used_by: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether all of it is here."""
        return self.here_bytes >= self.size_bytes

    @property
    def refs(self) -> tuple[str, ...]:
        """The branches and tags of `asked`."""
        return tuple(self.asked.split(", ")) if self.asked else ()

    def meant_by(self, sources: tuple[Source, ...]) -> bool:
        """Whether one of them names it: the place, and the revision if it says one."""
        own = [source.url for source in _sources(self.name)[:1]]
        return any(
            source.url in own
            and (source.revision in self.refs or self.revision.startswith(source.revision))
            for source in sources
        )


def kept() -> list[Kept]:
    """Everything in both caches, robotd's first."""
    loaded = _loaded()
    return [*_own(loaded), *_hubs(loaded)]


def find(text: str) -> Kept:
    """The one that `text` names. Raises CheckpointError for none, or for more than one."""
    sources = _sources(text)
    folder = Path(text).expanduser().absolute()
    found = [each for each in kept() if each.path == folder or each.meant_by(sources)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise CheckpointError(
            f"Nothing called {text!r} was pulled.",
            "It was pulled under another name, or removed.",
            "See what is there: robotd ckpt list. Fetch it: robotd ckpt pull " + text,
        )
    raise _several(text, found)


def _several(text: str, found: list[Kept]) -> CheckpointError:
    listed = ", ".join(f"{each.name}@{each.revision[:12]} ({each.cache})" for each in found)
    return CheckpointError(
        f"{text!r} is here {len(found)} times: {listed}.",
        "Several revisions were pulled, or robotd and another program each fetched it.",
        "Name the one that is meant: NAME@REVISION, or its folder from robotd ckpt list --json.",
    )


def local_folder(text: str) -> Path:
    """The folder of a checkpoint that a person names where one is loaded: a folder as it is, else
    what was pulled under that name: robotd's newest pull, else the hub's `main`, else the branch or
    tag that came last.

    Raises CheckpointError when it is neither, or several commits of which nothing says more.
    """
    path = Path(text).expanduser()
    if path.exists():
        return path
    sources = _sources(text.removesuffix("/"))
    if not sources:
        return path  # a folder that is not there: whoever opens it says so
    here = [each for each in (*_own({}), *_hubs({})) if each.complete]
    found = [each for each in here if each.meant_by(sources)] or _within(here, sources[0])
    if not found:
        raise CheckpointError(
            f"There is no folder {text}, and nothing of that name was pulled.",
            "It is a name on the hub or a store's URL; robotd does not fetch while it loads.",
            f"robotd ckpt pull {text}",
        )
    return _meant(text, found).path


def _within(here: list[Kept], source: Source) -> list[Kept]:
    """A folder of a repository that is here as a whole."""
    if not source.folder:
        return []
    whole = (replace(source, folder=""),)
    return [
        replace(each, path=each.path / source.folder)
        for each in here
        if each.meant_by(whole) and (each.path / source.folder).is_dir()
    ]


def _meant(text: str, found: list[Kept]) -> Kept:
    """The one of several that a name without a commit stands for. Raises CheckpointError."""
    own = [each for each in found if each.cache == "robotd"]
    if own:
        return max(own, key=lambda each: each.pulled_at)
    named = [each for each in found if each.refs]
    if not named and len(found) > 1:
        raise _several(text, found)
    return max(named or found, key=lambda each: ("main" in each.refs, each.changed_at))


def remove(each: Kept) -> None:
    """Delete it. From the hub's cache through its own client, which knows what is shared."""
    if each.cache == "hub":
        from huggingface_hub import constants, scan_cache_dir

        scan_cache_dir(constants.HF_HUB_CACHE).delete_revisions(each.revision).execute()
        return
    # The manifest goes first: a folder without one is nobody's checkpoint.
    manifest_of(each.path).unlink(missing_ok=True)
    if each.path.exists():
        shutil.rmtree(each.path)
    if each.path.parent.is_dir() and not any(each.path.parent.glob("[!.]*")):
        shutil.rmtree(each.path.parent)


def _own(loaded: dict[str, Path]) -> Iterator[Kept]:
    for file in sorted(store_root().glob("*/*.json")):
        manifest = read_manifest(file)
        if manifest is None:
            continue
        folder = file.with_suffix("")
        yield Kept(
            name=manifest.name,
            revision=manifest.revision,
            kind=kind_in(folder) if manifest.complete else "",
            cache="robotd",
            path=folder,
            size_bytes=manifest.size_bytes,
            here_bytes=_here(folder, manifest),
            asked=manifest.asked,
            pulled_at=manifest.at,
            used_by=_users(loaded, folder),
        )


def _here(folder: Path, manifest: Manifest) -> int:
    here = fetched_bytes(folder, manifest)
    # All bytes may be here and the last file not verified yet.
    return here if manifest.complete else min(here, manifest.size_bytes - 1)


def _hubs(loaded: dict[str, Path]) -> Iterator[Kept]:
    """Checkpoints in the hub's own cache; nothing where there is no client or no cache."""
    try:
        from huggingface_hub import constants, scan_cache_dir
        from huggingface_hub.errors import CacheNotFound
    except ImportError:
        return
    try:
        repos = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except CacheNotFound:
        return
    for repo in sorted(repos, key=lambda each: each.repo_id):
        if repo.repo_type != "model":
            continue
        for revision in sorted(repo.revisions, key=lambda each: each.commit_hash):
            names = {str(file.file_path.name) for file in revision.files}
            if not names & {WEIGHTS, "_METADATA"}:
                continue
            folder = Path(revision.snapshot_path)
            yield Kept(
                name=repo.repo_id,
                revision=revision.commit_hash,
                kind=kind_in(folder),
                cache="hub",
                path=folder,
                size_bytes=revision.size_on_disk,
                here_bytes=revision.size_on_disk,
                asked=", ".join(sorted(revision.refs)),
                changed_at=revision.last_modified,
                used_by=_users(loaded, folder),
            )


def kind_in(folder: Path) -> str:
    """The kind of the checkpoint in a folder, by its tensors' names; empty where they do not tell
    (a tokenizer, say, or weights that are not whole: `robotd ckpt verify` says more)."""
    weights = _shallow(folder, WEIGHTS)
    try:
        if weights is not None:
            return kind_from_keys(read_safetensors_header(weights)) or ""
        if (params := _shallow(folder, "_METADATA")) is not None:
            return find_and_open(params.parent, lora_alpha=None, asset_id="").kind
    except RobotdError:
        return ""
    return ""


def _shallow(folder: Path, name: str) -> Path | None:
    """The least deep file of that name; a checkpoint may lie below what was pulled."""
    for depth in range(_DEPTH):
        found = sorted(folder.glob("*/" * depth + name))
        if found:
            return found[0]
    return None


def _sources(text: str) -> tuple[Source, ...]:
    """What a text may name that can be pulled; none for a folder's path and the like. A store has no
    revisions, but what was pulled of it has: `gs://bucket/path@1f3a` may mean one."""
    try:
        said = parse_source(text)
    except CheckpointError:
        return ()
    place, mark, revision = said.place.rpartition("@")
    if said.scheme == "hf" or not mark or "/" in revision:
        return (said,)
    return said, replace(said, place=place, revision=revision)


def _users(loaded: dict[str, Path], folder: Path) -> tuple[str, ...]:
    root = folder.resolve()
    return tuple(name for name, path in loaded.items() if path.resolve().is_relative_to(root))


def _loaded() -> dict[str, Path]:
    """What each running robot has loaded. One that does not answer in time is left out."""
    from robotd.client import Robot, running_instances

    found = {}
    for name in running_instances():
        try:
            with Robot.connect(name, timeout_s=_STATUS_TIMEOUT_S) as robot:
                path = robot.status().policy.path
        except DaemonError:
            continue
        if path:
            found[name] = Path(path)
    return found
