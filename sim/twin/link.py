"""The twin's view of the runtime folder: files that may come later or be made anew, opened when they are there."""

from pathlib import Path
from typing import Any

from robotd.layouts import plan_layout, tick_layout
from robotd.shm import RingReader, SlotReader


class LateTicks:
    """Control's tick ring. `latest` looks for a new file when asked to `look`."""

    def __init__(self, path: Path, joints: int) -> None:
        self._path = path
        self._layout = tick_layout(joints)
        self._reader: RingReader | None = None
        self._inode = 0
        self._seen = -1

    def look(self) -> None:
        """Open the ring when it appears, again when control was restarted."""
        try:
            inode = self._path.stat().st_ino
            if inode == self._inode:
                return
            reader = RingReader(self._path, self._layout)
        except FileNotFoundError:
            return
        if self._reader is not None:
            self._reader.close()
        self._reader, self._inode, self._seen = reader, inode, -1

    def newest(self) -> dict[str, Any] | None:
        """The newest tick if it was not given before."""
        if self._reader is None or self._reader.count - 1 == self._seen:
            return None
        self._seen = self._reader.count - 1
        return self._reader.latest()


class LateProposals:
    """The `proposal` slot of whoever makes plans; each proposal is given once."""

    def __init__(self, path: Path, joints: int) -> None:
        self._path = path
        self._layout = plan_layout(joints)
        self._reader: SlotReader | None = None
        self._inode = 0
        self._sequence = 0

    def look(self) -> None:
        """Open the slot when it appears, again when another process made it anew."""
        try:
            inode = self._path.stat().st_ino
            if inode == self._inode:
                return
            reader = SlotReader(self._path, self._layout)
        except FileNotFoundError:
            return
        if self._reader is not None:
            self._reader.close()
        self._reader, self._inode, self._sequence = reader, inode, 0

    def newest(self) -> dict[str, Any] | None:
        """The newest proposal if it was not given before."""
        if self._reader is None or self._reader.sequence == self._sequence:
            return None
        self._sequence = self._reader.sequence
        return self._reader.read()
