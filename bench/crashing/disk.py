"""Every change to the file system of one process, counted, so that a seeded one can go wrong.

`Disk.install` puts itself between Python and the system for all paths under one folder: what `os`,
`open` and pathlib change there goes through `_step`, which lets it pass, kills the process (before,
in the middle of a write, or after), or makes it fail as a full or broken disk does. With a platter
(`bench.crashing.platter`) it also keeps what a loss of power would leave.
"""

import builtins
import fcntl
import io
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
from pyarrow.parquet import core

from bench.crashing.files import ParquetWriter, RawFile
from bench.crashing.platter import File, Folder, Platter

WRITES = ("write", "create", "mkdir", "rename")
"""What a full disk refuses."""

EVERYTHING = (*WRITES, "sync", "cut", "remove")
"""All changes, and what makes them last."""


class Strike(msgspec.Struct, frozen=True):
    """What goes wrong: at the `at`-th change (of the kinds in `only`) after `arm` of step `step`.

    `how`: "before", "torn" (a write half done) or "after". `failures`: how many changes in a row
    fail with `errno`.
    """

    kind: str
    step: int
    at: int
    how: str = "before"
    only: tuple[str, ...] = EVERYTHING
    errno: int = 0
    failures: int = 1


class Gone(BaseException):
    """The process is as if killed: nothing of what it does reaches the disk any more."""


class Disk:
    """The file system under `root` as this process sees it. `say` is told of the strike."""

    def __init__(
        self,
        root: Path,
        strike: Strike,
        platter: Platter | None,
        say: Callable[..., None],
        power_off: Callable[[], None],
    ) -> None:
        self.struck = False
        self.gone = False
        self.changes = 0
        self._prefix = f"{root}/"
        self._root = str(root)
        self._strike = strike
        self._platter = platter
        self._say = say
        self._power_off = power_off
        self._armed = False
        self._failing = 0
        self._turn = threading.RLock()
        self._paths: dict[int, str] = {}
        self._nodes: dict[int, File | Folder | None] = {}
        self._real: dict[str, Callable[..., Any]] = {}

    def arm(self, step: int) -> None:
        """The step `step` begins: count its changes if it is the one to go wrong."""
        if not self._armed:
            self.changes = 0
            self._armed = step == self._strike.step and not self.struck

    def again(self, strike: Strike) -> None:
        """The next life on this disk has a strike of its own."""
        self._strike = strike
        self.struck = self._armed = False

    def strike_now(self) -> None:
        """The armed step has ended before its change came: if it is the process or the power that is
        to end, it ends now; a disk fails in a later step."""
        if self._armed and not self.struck and not self._strike.errno:
            self._fall("the end", "")
            self._armed = False

    @property
    def failing(self) -> bool:
        """Whether the next change fails too."""
        return self._failing > 0

    def calm(self) -> None:
        """The disk works from now on."""
        self._failing = 0
        self._armed = False

    def drop(self) -> None:
        """What the system does with the open files of a process that is killed: locks go."""
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in list(self._paths):
            os.dup2(nothing, descriptor)  # the number stays taken: its owner may yet close it
        self._paths.clear()
        self._nodes.clear()
        self._real["close"](nothing)
        self.gone = False

    # --- what goes wrong --------------------------------------------------------------------------

    def _step(self, kind: str, path: str) -> str:
        """Before a change. Returns "torn" or "after" where the change is to be struck there."""
        if self.gone:
            raise Gone
        if kind not in self._strike.only:
            return ""
        if self._failing > 0:
            self._failing -= 1
            raise self._error(path)
        if not self._armed:
            return ""
        self.changes += 1
        if self.changes != self._strike.at + 1:
            return ""
        how = self._strike.how
        if how == "before" or (how == "torn" and kind != "write"):
            self._fall(kind, path)
            return ""
        return how

    def _note(self, kind: str, path: str) -> None:
        self._armed, self.struck = False, True
        self._say("struck", kind, path.removeprefix(self._prefix), self._strike.how)

    def _fall(self, kind: str, path: str) -> None:
        self._note(kind, path)
        match self._strike.kind:
            case "sigkill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "sigterm":
                os.kill(os.getpid(), signal.SIGTERM)
            case "power":
                self._power_off()
            case "gone":
                self.gone = True
                raise Gone
            case "enospc" | "eio":
                self._failing = self._strike.failures - 1
                raise self._error(path)

    def _error(self, path: str) -> OSError:
        return OSError(self._strike.errno, os.strerror(self._strike.errno), path)

    @contextmanager
    def _change(self, kind: str, path: str) -> Iterator[None]:
        """One change that is done as a whole or not at all."""
        with self._turn:
            how = self._step(kind, path)
            yield
            if how:
                self._fall(kind, path)  # an error then comes though it was done

    # --- the system's calls -----------------------------------------------------------------------

    def install(self) -> None:
        """Stand between this process and the folder, for the rest of the process."""
        for name in _CALLS:
            self._real[name] = getattr(os, name)
            setattr(os, name, getattr(self, f"_{name}"))
        self._real["io_open"] = io.open
        io.open = builtins.open = self._io_open
        core.ParquetWriter = pq.ParquetWriter = ParquetWriter

    def _full(self, path: Any, folder: int | None = None) -> str:
        """The absolute path, or "" for what is not under the root."""
        if isinstance(path, int):
            return ""
        inside = Path(self._paths.get(folder, "/")) if folder is not None else Path.cwd()
        text = os.path.normpath(inside / os.fsdecode(path))
        return text if text.startswith(self._prefix) or text == self._root else ""

    def _open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        full, real = self._full(path, dir_fd), self._real["open"]
        if not full:
            return int(real(path, flags, mode, dir_fd=dir_fd))
        new = bool(flags & os.O_CREAT) and not os.path.lexists(full)
        with self._turn:
            if new:
                with self._change("create", full):
                    descriptor = real(path, flags, mode, dir_fd=dir_fd)
                    if self._platter is not None:
                        self._platter.make(full, File())
            else:
                if self.gone:
                    raise Gone
                descriptor = real(path, flags, mode, dir_fd=dir_fd)
            self._paths[descriptor] = full
            if self._platter is not None:
                node = self._nodes[descriptor] = self._platter.node(full)
                if flags & os.O_TRUNC and not new and isinstance(node, File):
                    self._platter.cut(node, 0)
        return int(descriptor)

    def _forget(self, descriptor: int) -> None:
        self._paths.pop(descriptor, None)
        self._nodes.pop(descriptor, None)

    def _close(self, descriptor: int) -> None:
        self._forget(descriptor)
        self._real["close"](descriptor)

    def _write(self, descriptor: int, data: Any) -> int:
        path = self._paths.get(descriptor)
        if path is None:
            return int(self._real["write"](descriptor, data))
        with self._turn:
            how = self._step("write", path)
            view = memoryview(data).cast("B")
            part = view[: (len(view) + 1) // 2] if how == "torn" else view
            node = self._nodes.get(descriptor)
            offset = self._offset(descriptor, node)
            count = int(self._real["write"](descriptor, part))
            if self._platter is not None and isinstance(node, File):
                self._platter.write(node, offset, bytes(part[:count]))
            if how and self._strike.errno:
                self._note("write", path)
                self._failing = self._strike.failures  # the rest of this write is refused
            elif how:
                self._fall("write", path)
            return count

    def _offset(self, descriptor: int, node: File | Folder | None) -> int:
        if isinstance(node, File) and _appends(descriptor):
            return len(node.content)
        return os.lseek(descriptor, 0, os.SEEK_CUR)

    def _ftruncate(self, descriptor: int, size: int) -> None:
        path = self._paths.get(descriptor)
        if path is None:
            self._real["ftruncate"](descriptor, size)
            return
        with self._change("cut", path):
            self._real["ftruncate"](descriptor, size)
            node = self._nodes.get(descriptor)
            if self._platter is not None and isinstance(node, File):
                self._platter.cut(node, size)

    def _fsync(self, descriptor: int) -> None:
        self._sync("fsync", descriptor)

    def _fdatasync(self, descriptor: int) -> None:
        self._sync("fdatasync", descriptor)

    def _sync(self, name: str, descriptor: int) -> None:
        path = self._paths.get(descriptor)
        if path is None:
            self._real[name](descriptor)
            return
        with self._change("sync", path):
            self._real[name](descriptor)
            node = self._nodes.get(descriptor)
            if self._platter is not None and node is not None:
                self._platter.sync(node)

    def _replace(self, source: Any, target: Any, **folders: Any) -> None:
        before = self._full(source, folders.get("src_dir_fd"))
        after = self._full(target, folders.get("dst_dir_fd"))
        if not before or not after:
            self._real["replace"](source, target, **folders)
            return
        with self._change("rename", after):
            self._real["replace"](source, target, **folders)
            if self._platter is not None:
                self._platter.rename(before, after)

    _rename = _replace

    def _link(self, source: Any, target: Any, **options: Any) -> None:
        before = self._full(source, options.get("src_dir_fd"))
        after = self._full(target, options.get("dst_dir_fd"))
        if not before or not after or os.path.lexists(after):
            self._real["link"](source, target, **options)
            return
        with self._change("create", after):
            self._real["link"](source, target, **options)
            node = self._platter.node(before) if self._platter is not None else None
            if self._platter is not None and node is not None:
                self._platter.make(after, node)

    def _mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        full = self._full(path, dir_fd)
        if not full or os.path.lexists(full) or not Path(full).parent.exists():
            self._real["mkdir"](path, mode, dir_fd=dir_fd)
            return
        with self._change("mkdir", full):
            self._real["mkdir"](path, mode, dir_fd=dir_fd)
            if self._platter is not None:
                self._platter.make(full, Folder())

    def _unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        self._away("unlink", path, dir_fd)

    _remove = _unlink

    def _rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        self._away("rmdir", path, dir_fd)

    def _away(self, name: str, path: Any, dir_fd: int | None) -> None:
        full = self._full(path, dir_fd)
        if not full or not os.path.lexists(full):
            self._real[name](path, dir_fd=dir_fd)
            return
        with self._change("remove", full):
            self._real[name](path, dir_fd=dir_fd)
            if self._platter is not None:
                self._platter.remove(full)

    def _io_open(
        self, file: Any, mode: str = "r", buffering: int = -1, *args: Any, **kw: Any
    ) -> Any:
        if not set(mode) & set("wax+") or not self._full(file):
            return self._real["io_open"](file, mode, buffering, *args, **kw)
        raw = RawFile(file, mode.replace("b", "").replace("t", ""), self._forget)
        if "b" in mode and buffering == 0:
            return raw
        binary = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return binary if "b" in mode else io.TextIOWrapper(binary, *args, **kw)


_CALLS = (
    *("open", "close", "write", "ftruncate", "fsync", "fdatasync"),
    *("replace", "rename", "mkdir", "link", "unlink", "remove", "rmdir"),
)


def _appends(descriptor: int) -> bool:
    return bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND)
