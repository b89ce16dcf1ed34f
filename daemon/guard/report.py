"""What the guard says of itself: the `guard` slot of the runtime folder, and its lock.

Written at every look, so that a reader asks for its age first: a guard that is stopped says nothing.
"""

import fcntl
import os
from pathlib import Path

import msgspec

from daemon.guard.machine import Guarding
from robotd import layouts
from robotd.clock import NS_PER_S
from robotd.late import LateFile
from robotd.shm import LayoutError, SlotReader, SlotWriter
from robotd.states import Torque

GUARD_FILE = "guard"
STALE_NS = 2 * NS_PER_S
"""Twenty looks, or a release's ticks on a machine that stands still for a moment."""
_TEXT_BYTES = 400


class GuardReport(msgspec.Struct, frozen=True, kw_only=True):
    """The guard, at `stamp_ns`. `held`: by control's last tick, or by the servos, the arm may be
    driven. `killed`: control was silent, and the guard ended it. `what` and `do` say why it cannot."""

    stamp_ns: int
    pid: int
    state: Guarding
    held: bool
    killed: bool = False
    torque: Torque = Torque.UNKNOWN
    control_pid: int = 0
    scheduler: str = ""
    what: str = ""
    do: str = ""


_decode = msgspec.json.Decoder(GuardReport).decode


class ReportWriter:
    """The guard's own side of the slot."""

    def __init__(self, runtime: Path) -> None:
        self._slot = SlotWriter(runtime / GUARD_FILE, layouts.GUARD)

    def write(self, report: GuardReport) -> None:
        short = msgspec.structs.replace(
            report, what=report.what[:_TEXT_BYTES], do=report.do[:_TEXT_BYTES]
        )
        body = msgspec.json.encode(short)
        # Packed by hand: two thousand bytes one by one take longer than all the rest of a look.
        length = len(body).to_bytes(4, "little")
        self._slot.write_packed(length + body.ljust(layouts.GUARD_BYTES, b"\0"))

    def close(self) -> None:
        self._slot.close()


class ReportReader:
    """Everybody else's side. Follows a guard that was started anew."""

    def __init__(self, runtime: Path) -> None:
        self._file = LateFile(runtime / GUARD_FILE, lambda path: SlotReader(path, layouts.GUARD))

    def read(self, now_ns: int) -> GuardReport | None:
        """The newest report; None when there is no guard, or none that lives."""
        try:
            reader = self._file.get()
            record = None if reader is None else reader.read()
            if record is None:
                return None
            report = _decode(bytes(record["json"][: record["length"]]))
        except (LayoutError, msgspec.DecodeError):
            return None  # of another version: it is being replaced
        return report if now_ns - report.stamp_ns < STALE_NS else None

    def close(self) -> None:
        self._file.close()


class GuardLock:
    """One guard to a runtime folder: a flock on the folder itself, which is never replaced.

    The kernel gives it back with its owner, however that ends.
    """

    def __init__(self, runtime: Path) -> None:
        self._descriptor = os.open(runtime, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def take(self) -> bool:
        """Try to be the one guard."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Give it back."""
        os.close(self._descriptor)


def guarded(runtime: Path) -> bool:
    """Whether a guard, alive or stopped, has this folder."""
    lock = GuardLock(runtime)
    try:
        return not lock.take()
    finally:
        lock.close()
