"""Processes by identity: a pid alone may have been given to somebody else meanwhile.

A pid together with its start time (field 22 of /proc/<pid>/stat, clock ticks since boot) names one
process for good. Where there is no /proc the start time is 0 and the pid alone has to do.
"""

import os
import signal
import time
from pathlib import Path

import msgspec


class ProcessId(msgspec.Struct, frozen=True, kw_only=True):
    """One process of ours."""

    name: str
    pid: int
    started: int


def start_time(pid: int) -> int:
    """When a process started, in clock ticks since boot; 0 when it is gone or not known."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    # The second field is the name in brackets and may hold spaces; what follows does not.
    return int(stat.rpartition(")")[2].split()[19])


def identify(name: str, pid: int) -> ProcessId:
    """The identity of a process that runs now."""
    return ProcessId(name=name, pid=pid, started=start_time(pid))


def alive(process: ProcessId) -> bool:
    """Whether it still runs (a zombie does not)."""
    try:
        os.kill(process.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    if process.started == 0:
        return True
    if start_time(process.pid) != process.started:
        return False
    return letter(process.pid) != "Z"


def letter(pid: int) -> str:
    """What a process does, by proc(5): R runs, S sleeps, D waits in the kernel, T is stopped by a
    signal, t by a debugger, Z has ended; empty when it is gone or not known."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[0]


def kill(process: ProcessId) -> None:
    """SIGKILL to this very process and to no other that was given its pid meanwhile. Does nothing
    when it has ended. Raises PermissionError."""
    if not hasattr(os, "pidfd_open"):
        _signal(process, signal.SIGKILL)
        return
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        # The descriptor holds one process; who that is can be asked now without a race.
        if alive(process):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        os.close(descriptor)


def ask_to_end(process: ProcessId, patience_s: float) -> bool:
    """SIGTERM; returns whether it has ended within `patience_s`."""
    if not _signal(process, signal.SIGTERM):
        return True
    give_up_s = time.monotonic() + patience_s
    while time.monotonic() < give_up_s:
        if not alive(process):
            return True
        time.sleep(0.05)
    return False


def end(process: ProcessId, patience_s: float) -> bool:
    """Ask it to end, and kill it when it has not after `patience_s`. Returns whether it was asked
    nicely enough."""
    if ask_to_end(process, patience_s):
        return True
    _signal(process, signal.SIGKILL)
    return False


def _signal(process: ProcessId, number: signal.Signals) -> bool:
    if not alive(process):
        return False
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return False
    return True
