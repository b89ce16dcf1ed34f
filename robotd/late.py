"""Files of the runtime folder that another process makes: later, or anew when it is started again.

A reader must not wait for its writer and must not go on reading the file of a dead one. `LateFile`
opens what is there, and again when another file lies under the name.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol


class Closable(Protocol):
    """What `LateFile` needs of a reader."""

    def close(self) -> None:
        """Let go of the file."""
        ...


class LateFile[Reader: Closable]:
    """A reader of `path` once it is there. `reader` is None until then, and the last one after."""

    def __init__(self, path: Path, open_reader: Callable[[Path], Reader]) -> None:
        self.reader: Reader | None = None
        self._path = path
        self._open_reader = open_reader
        self._inode = -1

    def look(self) -> bool:
        """Open the file when it has appeared or was replaced; True when that was just now."""
        try:
            inode = self._path.stat().st_ino
            if inode == self._inode:
                return False
            reader = self._open_reader(self._path)
        except FileNotFoundError:
            return False
        self.close()
        self.reader, self._inode = reader, inode
        return True

    def get(self) -> Reader | None:
        """`look`, and the reader."""
        self.look()
        return self.reader

    def close(self) -> None:
        """Let go of the file."""
        if self.reader is not None:
            self.reader.close()
            self.reader, self._inode = None, -1
