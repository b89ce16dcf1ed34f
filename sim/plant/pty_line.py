"""One arm's serial device: a pseudo-terminal with a `VirtualBus` behind it.

Behaves like the adapter people plug in. Bytes are taken no faster than the wire carries them, or
thousands of back-to-back writes would pile up in the kernel and every read behind them would time
out. Each reply is a write of its own when its last byte has crossed the wire. Bytes at another
baud rate are lost. Our own end of the slave stays open, so that a client may come and go; pulling
the cable closes both ends and the device vanishes.
"""

import fcntl
import os
import struct
import sys
import termios
import tty
from contextlib import suppress
from heapq import heappop, heappush
from pathlib import Path

from sim.plant.bus import VirtualBus

READ_AHEAD_NS = 400_000
"""How far the wire may be behind what was read: enough for one instruction, too little for a
queue."""
_READ_BYTES = 64
BAUD = 1_000_000
_LINUX = sys.platform.startswith("linux")
_TIOCGEXCL = 0x80045440
_TCGETS2 = 0x802C542A  # Linux on x86 and ARM; the old call cannot tell a rate outside its table
_TERMIOS2 = struct.Struct("=4I20B2I")  # four flag words, line discipline and characters, speeds
_ISPEED_INDEX = 4


class PtyLine:
    """A serial device at `link`. All calls come from one thread and none of them blocks."""

    def __init__(self, bus: VirtualBus, link: Path) -> None:
        self.bus = bus
        self.link = link
        self.lost_bytes = 0
        self._master = -1
        self._slave = -1
        self._outbox: list[tuple[int, int, bytes]] = []
        self._sequence = 0
        self.plug()

    @property
    def connected(self) -> bool:
        """Whether the cable is in."""
        return self._master >= 0

    def fileno(self) -> int:
        """The descriptor to poll for input; only while connected."""
        return self._master

    def plug(self, elsewhere: bool = False) -> None:
        """Make the device appear: raw before anyone can see it, or its echo would feed replies
        back. `elsewhere`: as another tty than it was, behind the same link."""
        if self.connected:
            return
        # The kernel gives the lowest free number, which is the one that the device had.
        in_the_way = os.openpty() if elsewhere else ()
        self._master, self._slave = os.openpty()
        for descriptor in in_the_way:
            os.close(descriptor)
        tty.setraw(self._slave)
        _set_baud(self._slave)
        os.set_blocking(self._master, False)
        self.link.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.link.with_name(f".{self.link.name}.{os.getpid()}")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(os.ttyname(self._slave))
        fresh.replace(self.link)

    def unplug(self) -> None:
        """Make the device vanish; clients get an I/O error. The servos keep their power."""
        if not self.connected:
            return
        self.link.unlink(missing_ok=True)
        os.close(self._slave)
        os.close(self._master)
        self._master = self._slave = -1
        self._outbox.clear()

    def wants_input(self, now_ns: int) -> bool:
        """Whether the wire has room for more."""
        return self.connected and self.bus.line_free_ns <= now_ns + READ_AHEAD_NS

    def resume_ns(self) -> int:
        """When the wire will have room again."""
        return self.bus.line_free_ns - READ_AHEAD_NS

    def receive(self, now_ns: int) -> None:
        """Take what the client wrote and let the servos act on it."""
        try:
            data = os.read(self._master, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            # EIO: on some systems the master says so while no client has the slave open.
            return
        if not data:
            return
        if _baud(self._master) not in (BAUD, None):
            self.lost_bytes += len(data)
            return
        for at_ns, reply in self.bus.feed(data, now_ns):
            self._sequence += 1
            heappush(self._outbox, (at_ns, self._sequence, reply))

    def next_emission_ns(self) -> int | None:
        """When the next reply is due."""
        return self._outbox[0][0] if self._outbox else None

    def emit(self, now_ns: int) -> list[int]:
        """Write every reply that is due; returns how late each was, ns."""
        late_ns = []
        while self._outbox and self._outbox[0][0] <= now_ns:
            at_ns, _, reply = heappop(self._outbox)
            late_ns.append(now_ns - at_ns)
            try:
                written = os.write(self._master, reply)
            except OSError:
                written = 0  # nobody reads: a UART has no one to tell either
            self.lost_bytes += len(reply) - written
        return late_ns

    def free_exclusive(self) -> None:
        """Undo a gone client's TIOCEXCL.

        A real device forgets it at the last close; this one has none, because our end stays open, and
        would refuse every later client. A client that still holds the device also holds its lock.
        """
        if not self.connected or not _LINUX:
            return
        exclusive = struct.unpack("i", fcntl.ioctl(self._slave, _TIOCGEXCL, bytes(4)))[0]
        if not exclusive:
            return
        try:
            fcntl.flock(self._slave, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        fcntl.ioctl(self._slave, termios.TIOCNXCL)
        fcntl.flock(self._slave, fcntl.LOCK_UN)

    def close(self) -> None:
        """Take the device away for good."""
        with suppress(OSError):
            self.unplug()


def _set_baud(descriptor: int) -> None:
    if not hasattr(termios, "B1000000"):
        return
    attributes = termios.tcgetattr(descriptor)
    attributes[_ISPEED_INDEX] = attributes[_ISPEED_INDEX + 1] = termios.B1000000
    termios.tcsetattr(descriptor, termios.TCSANOW, attributes)


def _baud(descriptor: int) -> int | None:
    """The rate the client set, or None where it cannot be told."""
    if not _LINUX:
        return None
    try:
        raw = fcntl.ioctl(descriptor, _TCGETS2, bytes(_TERMIOS2.size))
    except OSError:
        return None
    return int(_TERMIOS2.unpack(raw)[-2])
