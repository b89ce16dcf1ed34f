"""The wire recorder: stands between the servos' line and whoever moves them, and only stamps.

`python -m bench.wire --line DEVICE --link PATH --out FILE --priority N` opens the servos' device,
makes one of its own at `--link`, and passes every byte on. A SYNC_WRITE to the goal register is
stamped when it passes; of a SYNC_READ it is noted how long the line took to answer. It asks for a
priority above the control loop's, so that a stamp says when the bytes came and not when somebody
had time for them; robotd and LeRobot are judged by the same recorder. Prints READY with the scheduler it got, ends
on SIGTERM or with its parent, and leaves its stamps in `--out` (see `Recorded`).
"""

import argparse
import os
import select
import signal
import sys
import time
import tty
from array import array
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.figures import Stamps
from daemon.control import realtime
from drivers.registers import GOAL_POSITION
from drivers.serial_port import PySerialPort
from robotd.errors import BusError
from sim.plant.wire import Instruction, Packet, Parser

_POLL_S = 0.25
_BYTES = 4_096
_MAGIC = b"RBDWIRE1"


@dataclass(frozen=True, slots=True)
class Recorded:
    """What passed, in monotonic ns: each goal write; each sync read, and the last byte of its
    answer."""

    goals: Stamps
    asked: Stamps
    answered: Stamps

    @classmethod
    def read(cls, path: Path) -> "Recorded":
        """Read a recorder's file. Raises ValueError for another."""
        data = path.read_bytes()
        if data[:8] != _MAGIC:
            raise ValueError(f"{path} was not written by the wire recorder")
        counts = np.frombuffer(data, np.int64, 2, 8)
        body = np.frombuffer(data, np.int64, -1, 24)
        goals, rest = np.split(body, [counts[0]])
        asked, answered = np.split(rest, [counts[1]])
        return cls(goals, asked, answered)


class WireRecorder:
    """Both ends of the line and the stamps so far. `pass_on` moves what is there."""

    def __init__(self, line: PySerialPort, link: Path) -> None:
        self._line = line
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self._parser = Parser()
        self._goals = array("q")
        self._asked = array("q")
        self._answered = array("q")
        self._reading = False  # whether what comes back belongs to the newest sync read
        self._link = link
        link.unlink(missing_ok=True)
        link.symlink_to(os.ttyname(self._slave))

    def pass_on(self, timeout_s: float) -> None:
        """Wait for bytes on either side and hand them to the other. Raises BusError when the
        servos' device is gone."""
        fd = self._line.fileno()
        ready, _, _ = select.select([self._master, fd], [], [], timeout_s)
        if self._master in ready:
            data = os.read(self._master, _BYTES)
            now_ns = time.monotonic_ns()
            self._line.write(data)
            for packet in self._parser.feed(data):
                self._note(packet, now_ns)
        if fd in ready:
            data = self._line.read_available()
            with suppress(BlockingIOError):  # nobody reads: a UART has no one to tell either
                os.write(self._master, data)
            if self._reading:
                self._answered[-1] = time.monotonic_ns()

    def _note(self, packet: Packet, now_ns: int) -> None:
        self._reading = packet.code == Instruction.SYNC_READ
        if self._reading:
            self._asked.append(now_ns)
            self._answered.append(now_ns)
        elif packet.code == Instruction.SYNC_WRITE and _writes_goal(packet.parameters):
            self._goals.append(now_ns)

    def save(self, path: Path) -> None:
        """Write the stamps for `Recorded.read`."""
        counts = array("q", (len(self._goals), len(self._asked)))
        body = b"".join(each.tobytes() for each in (self._goals, self._asked, self._answered))
        partial = path.with_name(f".{path.name}")
        partial.write_bytes(_MAGIC + counts.tobytes() + body)
        partial.replace(path)

    def close(self) -> None:
        """Take the device away."""
        self._link.unlink(missing_ok=True)
        os.close(self._slave)
        os.close(self._master)
        self._line.close()


def _writes_goal(parameters: bytes) -> bool:
    """Whether a SYNC_WRITE's block (address, length, …) covers the goal register."""
    if len(parameters) < 2:
        return False
    address, length = parameters[0], parameters[1]
    return address <= GOAL_POSITION.address < address + length


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.wire", description=__doc__)
    parser.add_argument("--line", type=Path, required=True)
    parser.add_argument("--link", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--priority", type=int, default=0)
    arguments = parser.parse_args()
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopping.append(number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()
    line = _wait_for(arguments.line, stopping, parent)
    if line is None:
        return 0
    recorder = WireRecorder(line, arguments.link)
    obtained = realtime.take(arguments.priority, None)
    realtime.freeze_garbage_collector()
    sys.stdout.write(f"READY {obtained.scheduler}\n")
    sys.stdout.flush()
    try:
        while not stopping and os.getppid() == parent:
            recorder.pass_on(_POLL_S)
    except BusError as error:
        # The servos' process ended first; what was stamped until then is good.
        sys.stderr.write(f"{error}\n")
    recorder.save(arguments.out)
    recorder.close()
    return 0


def _wait_for(path: Path, stopping: list[int], parent: int) -> PySerialPort | None:
    """The servos' device, once it is there; None when told to stop first."""
    while not stopping and os.getppid() == parent:
        if path.exists():
            return PySerialPort(path)
        time.sleep(0.02)
    return None


if __name__ == "__main__":
    sys.exit(main())
