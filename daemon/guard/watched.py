"""What the guard knows of control: its ticks, who makes them, and whether that process lives.

The tick ring says who made it (`writer_pid`), the supervisor's list says when that process was
started. Only where both name the same process is it one that may be killed.
"""

import logging
import os
from pathlib import Path

import msgspec

from daemon.guard.machine import Life
from daemon.guard.silence import Silence
from daemon.supervisor import process
from daemon.supervisor.process import ProcessId
from robotd.late import LateFile
from robotd.layouts import tick_layout
from robotd.shm import RingReader
from robotd.states import State, Torque

log = logging.getLogger(__name__)

CHILDREN_FILE = "children.json"
CONTROL = "control"
_FIELDS = {"state": 1, "torque": 1, "estop_presses": 8}  # of the tick, with their bytes
_STOPPED = "Tt"


def may_hold(tick: dict[str, int], before: bool) -> bool:
    """Whether by this tick the arm may be driven. Pure.

    Off is off, except in ARMING: there the next write is torque on. Where the servos have not said
    (a line that was opened anew), an armed state counts, and elsewhere what was known before.
    """
    torque, state = Torque(tick["torque"]), State(tick["state"])
    if torque is Torque.OFF:
        return state is State.ARMING
    if torque is Torque.UNKNOWN:
        return before if state in (State.DISARMED, State.ESTOP) else True
    return True


class WatchedControl:
    """The control of one runtime folder; follows it when it is started anew."""

    def __init__(self, runtime: Path, joints: int, silent_ns: int) -> None:
        self.life = Life.ABSENT
        self.held = False
        self.pid = 0
        self.tick: dict[str, int] | None = None  # state, torque and presses of the newest
        self.silent_for_ns = 0
        self._children = runtime / CHILDREN_FILE
        self._silent_ns = silent_ns
        self._silence = Silence()
        self._identity: ProcessId | None = None
        self._rings = 0
        self._asked_for = 0
        layout = tick_layout(joints)
        self._fields = [(name, layout.offset(name), width) for name, width in _FIELDS.items()]
        self._file = LateFile(runtime / "ticks", lambda path: RingReader(path, layout))

    def look(self, now_ns: int) -> None:
        """Look again. Cheap while control ticks: a few bytes of memory and a file's inode, because
        control may be on this very core; /proc is read once it does not."""
        if self._file.look():
            self._rings += 1
            self._identity = None
        ring = self._file.reader
        if ring is None:
            return
        count = ring.count
        self.silent_for_ns = self._silence.look(now_ns, (self._rings, count))
        news = self.silent_for_ns == 0
        if news or self.tick is None:
            tick = self._newest(ring, count)
            if tick is not None:
                self.tick, self.pid = tick, ring.writer_pid
                self.held = may_hold(tick, self.held)
        if count == 0:
            # It was started and has not ticked yet: what is known is of the one before, which is
            # dead, or this one would not have been started.
            self.life = Life.ABSENT if self.tick is None else Life.DEAD
            return
        if self._asked_for != self._rings:
            # At once, and not when it is needed: a folder may be emptied under a living daemon.
            self._asked_for = self._rings
            self._identity = self._identify(ring.writer_pid)
        if news:
            self.life = Life.TICKING  # or dead since: the next look sees that
            return
        if self._identity is None:
            self._identity = self._identify(ring.writer_pid)
        self.life = self._judge(ring.writer_pid)

    def let_down(self) -> None:
        """The arm was let down by us: nothing is held until a control ticks again."""
        self.held = False

    def kill(self) -> str:
        """SIGKILL to the control whose ticks these are; returns why not, empty when it was sent."""
        if self._identity is None:
            return f"whether process {self.pid} is control is not known"
        try:
            process.kill(self._identity)
        except PermissionError:
            return f"control (process {self.pid}) belongs to another user"
        return ""

    def close(self) -> None:
        self._file.close()

    def _newest(self, ring: RingReader, count: int) -> dict[str, int] | None:
        tick: dict[str, int] = {}
        for name, offset, width in self._fields:
            data = ring.read_packed(count - 1, offset, width)
            if data is None:
                return None  # written over meanwhile: the next look takes a newer one
            tick[name] = int.from_bytes(data, "little")
        return tick

    def _judge(self, pid: int) -> Life:
        gone = _gone(pid) if self._identity is None else not process.alive(self._identity)
        if gone:
            return Life.DEAD
        if self.silent_for_ns >= 2 * self._silent_ns:
            return Life.LOST
        if self.silent_for_ns >= self._silent_ns and process.letter(pid) in _STOPPED:
            return Life.FROZEN
        return Life.SILENT

    def _identify(self, pid: int) -> ProcessId | None:
        try:
            listed = msgspec.json.decode(self._children.read_bytes(), type=list[ProcessId])
        except (OSError, msgspec.DecodeError):
            return None
        return next((each for each in listed if (each.name, each.pid) == (CONTROL, pid)), None)


def _gone(pid: int) -> bool:
    """Whether no process has this pid, or only one that has ended and was not collected."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return process.letter(pid) == "Z"
