"""What a disk still has after the power went: a model of everything written, and of what was synced.

Contents are on the disk once their file was synced, names once their folder was; whatever came later
may be there, in part or not at all. `survive` builds a tree that POSIX allows. Two kinds of disk are
played: a *journalled* one, which keeps changes of names in order and makes all earlier ones last with
any sync (ext4, xfs), and a *loose* one, which promises nothing beyond what was synced.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass(slots=True, eq=False)
class File:
    """A file's content: as programs see it, as it was when last synced, and the writes since."""

    content: bytearray = field(default_factory=bytearray)
    durable: bytes = b""
    writes: list[tuple[int, bytes] | int] = field(default_factory=list)
    """(offset, data), or the size the file was cut to."""


@dataclass(slots=True, eq=False)
class Folder:
    """Names as programs see them."""

    names: dict[str, "File | Folder"] = field(default_factory=dict)


type Node = File | Folder


@dataclass(slots=True)
class _Change:
    """Names that changed as one, of one folder or, in a rename, of two; None: the name went away."""

    names: list[tuple[Folder, str, Node | None]]
    synced: bool = False

    def touches(self, node: Node) -> bool:
        return any(folder is node for folder, _, _ in self.names)


class Platter:
    """The disk under `root`. Everything there at the beginning is on it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._top = Folder()
        self._changes: list[_Change] = []
        self._lasting = 0  # changes before the last sync of anything
        self._load(root, self._top)
        self._first = _copied(self._top)

    def node(self, path: str) -> Node | None:
        """What programs find at `path`, below the root."""
        at: Node | None = self._top
        for part in Path(path).relative_to(self._root).parts:
            at = at.names.get(part) if isinstance(at, Folder) else None
        return at

    def make(self, path: str, node: Node) -> None:
        """A new file or folder."""
        self._change(path, node)

    def remove(self, path: str) -> None:
        """A name goes away."""
        self._change(path, None)

    def rename(self, source: str, target: str) -> None:
        """As one, also between two folders: no file system that keeps a journal splits it."""
        node = self.node(source)
        gone = (self._folder(source), Path(source).name, None)
        self._apply(_Change([gone, (self._folder(target), Path(target).name, node)]))

    def write(self, file: File, offset: int, data: bytes) -> None:
        """Programs see `data` at `offset` from now on."""
        _put(file.content, offset, data)
        file.writes.append((offset, data))

    def cut(self, file: File, size: int) -> None:
        """The file is cut, or filled with zeros, to `size` bytes."""
        _cut(file.content, size)
        file.writes.append(size)

    def sync(self, node: Node) -> None:
        """What was written to a file, or the names in a folder, is on the disk."""
        self._lasting = len(self._changes)
        if isinstance(node, File):
            node.durable, node.writes = bytes(node.content), []
            return
        for change in self._changes:
            change.synced = change.synced or change.touches(node)

    def unseen(self) -> list[str]:
        """Where the real tree differs from what this model saw being done: paths, at most 5.

        A program that writes past the model would make every verdict about power loss worthless.
        """
        seen = {name: bytes(file.content) for name, file in _files(self._top)}
        real = {
            str(path.relative_to(self._root)): path.read_bytes()
            for path in self._root.rglob("*")
            if path.is_file()
        }
        return sorted(name for name in seen | real if seen.get(name) != real.get(name))[:5]

    def survive(self, target: Path, rng: np.random.Generator) -> str:
        """Write the tree that is left after a power loss to the new folder `target`.

        Returns which disk was played: "loose, nothing more", "loose", or "journalled".
        """
        how = str(rng.choice(["loose, nothing more", "loose", "journalled"], p=[0.4, 0.3, 0.3]))
        names = {id(folder): dict(entries) for folder, entries in self._first.items()}
        for change in self._chosen(how, rng):
            for folder, name, node in change.names:
                entries = names.setdefault(id(folder), {})
                if node is None:
                    entries.pop(name, None)
                else:
                    entries[name] = node
        nothing_more = how == "loose, nothing more"
        _write_out(
            self._top,
            target,
            names,
            lambda file: file.durable if nothing_more else _left(file, rng),
        )
        return how

    def _chosen(self, how: str, rng: np.random.Generator) -> Iterator[_Change]:
        if how == "journalled":
            yield from self._changes[: int(rng.integers(self._lasting, len(self._changes) + 1))]
            return
        more: dict[int, int] = {}  # by folder: how many changes after its last sync are there
        for change in self._changes:
            folder = id(change.names[-1][0])
            if not change.synced:
                if folder not in more:
                    more[folder] = 0 if how.endswith("more") else int(rng.geometric(0.4)) - 1
                if more[folder] == 0:
                    continue
                more[folder] -= 1
            yield change

    def _change(self, path: str, node: Node | None) -> None:
        self._apply(_Change([(self._folder(path), Path(path).name, node)]))

    def _apply(self, change: _Change) -> None:
        for folder, name, node in change.names:
            if node is None:
                folder.names.pop(name, None)
            else:
                folder.names[name] = node
        self._changes.append(change)

    def _folder(self, path: str) -> Folder:
        folder = self.node(str(Path(path).parent))
        if not isinstance(folder, Folder):
            raise AssertionError(f"{path} was changed, but nobody was seen making its folder")
        return folder

    def _load(self, path: Path, folder: Folder) -> None:
        for each in sorted(path.iterdir()):
            if each.is_dir():
                below = folder.names[each.name] = Folder()
                self._load(each, below)
            else:
                content = each.read_bytes()
                folder.names[each.name] = File(bytearray(content), content)


def _copied(folder: Folder) -> dict[Folder, dict[str, Node]]:
    found = {folder: dict(folder.names)}
    for node in folder.names.values():
        if isinstance(node, Folder):
            found |= _copied(node)
    return found


def _files(folder: Folder, prefix: str = "") -> Iterator[tuple[str, File]]:
    for name, node in folder.names.items():
        if isinstance(node, File):
            yield prefix + name, node
        else:
            yield from _files(node, f"{prefix}{name}/")


def _write_out(
    folder: Folder,
    path: Path,
    names: dict[int, dict[str, Node]],
    content: Callable[[File], bytes],
) -> None:
    path.mkdir()
    for name, node in names.get(id(folder), {}).items():
        if isinstance(node, Folder):
            _write_out(node, path / name, names, content)
        else:
            (path / name).write_bytes(content(node))


def _left(file: File, rng: np.random.Generator) -> bytes:
    """What may be left of a file: some of the writes since its last sync, the next one in part, or
    its length alone, filled with zeros."""
    if not file.writes:
        return file.durable
    if rng.random() < 0.25:
        grown = max(0, len(file.content) - len(file.durable))
        return file.durable + bytes(grown)
    whole = int(rng.integers(0, len(file.writes) + 1))
    content = bytearray(file.durable)
    for each in file.writes[:whole]:
        _again(content, each)
    torn = file.writes[whole] if whole < len(file.writes) else 0
    if isinstance(torn, tuple):
        offset, data = torn
        _put(content, offset, data[: int(rng.integers(0, len(data) + 1))])
    return bytes(content)


def _again(content: bytearray, write: tuple[int, bytes] | int) -> None:
    if isinstance(write, int):
        _cut(content, write)
    else:
        _put(content, *write)


def _put(content: bytearray, offset: int, data: bytes) -> None:
    if offset > len(content):
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def _cut(content: bytearray, size: int) -> None:
    del content[size:]
    content.extend(bytes(size - len(content)))
