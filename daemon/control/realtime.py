"""What the machine grants the loop: a priority, locked memory, a core, no garbage collection.

Each is asked for and none is required. What was obtained is written to `realtime.json`, so that
`robotd health` says it, and what would allow the rest, instead of hoping.
"""

import gc
import os
from pathlib import Path

import msgspec

from robotd.memory_lock import lock_memory

_ALLOWED = "docs/hardware.md, Health, says how to allow it"


class Obtained(msgspec.Struct, frozen=True, kw_only=True):
    """What the loop runs with. `scheduler` is `fifo:<priority>` or `other`; `cpu` the core that it
    has to itself. Each `…_why` says what refused it or would allow it; empty when it was obtained.
    """

    scheduler: str
    memory_locked: bool
    scheduler_why: str = ""
    memory_why: str = ""
    cpu: int | None = None
    cpu_why: str = ""
    cpus: tuple[int, ...] = ()


def take(priority: int, cpu: int | None, no_cpu: str = "") -> Obtained:
    """Ask for SCHED_FIFO (`priority` 0: not wanted), locked memory and the core `cpu` (None: share
    them, and `no_cpu` says why)."""
    scheduler, why = _take_priority(priority)
    refused = lock_memory()
    cpu_why = no_cpu if cpu is None else _take_core(cpu)
    cpus = tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()
    return Obtained(
        scheduler=scheduler,
        scheduler_why=why,
        memory_locked=not refused,
        memory_why=f"{refused}; {_ALLOWED}" if refused else "",
        cpu=None if cpu_why else cpu,
        cpu_why=cpu_why,
        cpus=cpus,
    )


def _take_priority(priority: int) -> tuple[str, str]:
    if priority == 0:
        return "other", "not asked for"
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except (PermissionError, AttributeError) as error:
        return "other", f"{error}; {_ALLOWED}"
    return f"fifo:{priority}", ""


def _take_core(cpu: int) -> str:
    """Move to that core; returns why not, or nothing."""
    try:
        os.sched_setaffinity(0, {cpu})
    except (OSError, AttributeError) as error:
        return f"core {cpu}: {error}"
    return ""


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
