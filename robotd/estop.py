"""The software e-stop: a counter in a mapped file that control polls before all else each tick.

It goes past every broker, so that it works while the supervisor hangs. Anybody may press; a press
only ever adds one. The first press freezes and then lowers the arm, a second one is limp now.

This is not an emergency stop. The plug is.
"""

import mmap
import os
import struct
from pathlib import Path

_COUNT = struct.Struct("<Q")
FILE_NAME = "estop"


def create(runtime: Path) -> None:
    """Make the counter at zero. Called once by the supervisor before control starts."""
    path = runtime / FILE_NAME
    partial = path.with_name(f".{FILE_NAME}.{os.getpid()}")
    partial.write_bytes(_COUNT.pack(0))
    partial.replace(path)


class EstopCounter:
    """The mapped counter. Raises FileNotFoundError when no daemon has made it."""

    def __init__(self, runtime: Path) -> None:
        descriptor = os.open(runtime / FILE_NAME, os.O_RDWR | os.O_CLOEXEC)
        try:
            self._memory = mmap.mmap(descriptor, _COUNT.size)
        finally:
            os.close(descriptor)

    @property
    def presses(self) -> int:
        return int(_COUNT.unpack_from(self._memory)[0])

    def press(self) -> int:
        """Press once; returns the count. Two people pressing in the same microsecond may count as
        one press, which is still a stop."""
        presses = self.presses + 1
        _COUNT.pack_into(self._memory, 0, presses)
        return presses

    def close(self) -> None:
        self._memory.close()
