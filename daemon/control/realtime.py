"""What the machine grants the loop: locked memory, a real-time priority, no garbage collection.

Each is asked for and none is required. What was obtained is written to `realtime.json`, so that
`robotd status` says it instead of hoping.
"""

import ctypes
import gc
import os
from pathlib import Path

import msgspec

_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4


class Obtained(msgspec.Struct, frozen=True, kw_only=True):
    """What the loop runs with. `scheduler` is `fifo:<priority>` or `other` with the reason."""

    scheduler: str
    memory_locked: bool
    memory_why: str = ""
    cpus: tuple[int, ...] = ()


def take(priority: int) -> Obtained:
    """Ask for SCHED_FIFO (`priority` 0: not wanted) and locked memory; freeze the heap.

    MCL_ONFAULT locks pages as they are touched: plain mlockall takes a numpy process from 35 to
    150 MB.
    """
    scheduler = "other (not asked for)"
    if priority > 0:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
            scheduler = f"fifo:{priority}"
        except (PermissionError, AttributeError) as error:
            scheduler = f"other ({error}; allow it with LimitRTPRIO={priority})"
    locked, why = _lock_memory()
    cpus = tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()
    return Obtained(scheduler=scheduler, memory_locked=locked, memory_why=why, cpus=cpus)


def _lock_memory() -> tuple[bool, str]:
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) == 0:
            return True, ""
        why = os.strerror(ctypes.get_errno())
    except (OSError, AttributeError) as error:
        why = str(error)
    return False, f"{why}; allow it with LimitMEMLOCK=infinity"


def freeze_garbage_collector() -> None:
    """No collection from here on: the loop makes no reference cycles, and a full collection would
    stop it for milliseconds."""
    gc.collect()
    gc.freeze()
    gc.disable()


def resident_mb(pid: int) -> float:
    """Resident memory of a process in MB; 0 when it is gone or the platform does not say."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    for line in status.splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024.0
    return 0.0
