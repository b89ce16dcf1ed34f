"""The twin's view of the runtime folder: files that may come later or be made anew, opened when they are there."""

from pathlib import Path
from typing import Any

from robotd.late import LateFile
from robotd.layouts import plan_layout, tick_layout
from robotd.shm import RingReader, SlotReader


class LateTicks:
    """Control's tick ring. `latest` looks for a new file when asked to `look`."""

    def __init__(self, path: Path, joints: int) -> None:
        layout = tick_layout(joints)
        self._file = LateFile(path, lambda path: RingReader(path, layout))
        self._seen = -1

    def look(self) -> None:
        """Open the ring when it appears, again when control was restarted."""
        if self._file.look():
            self._seen = -1

    def newest(self) -> dict[str, Any] | None:
        """The newest tick if it was not given before."""
        reader = self._file.reader
        if reader is None or reader.count - 1 == self._seen:
            return None
        self._seen = reader.count - 1
        return reader.latest()


class LateProposals:
    """The `proposal` slot of whoever makes plans; each proposal is given once."""

    def __init__(self, path: Path, joints: int) -> None:
        layout = plan_layout(joints)
        self._file = LateFile(path, lambda path: SlotReader(path, layout))
        self._sequence = 0

    def look(self) -> None:
        """Open the slot when it appears, again when another process made it anew."""
        if self._file.look():
            self._sequence = 0

    def newest(self) -> dict[str, Any] | None:
        """The newest proposal if it was not given before."""
        reader = self._file.reader
        if reader is None or reader.sequence == self._sequence:
            return None
        self._sequence = reader.sequence
        return reader.read()
