"""Which processor cores control gets for itself, and which are left to everybody else. Pure.

Control ticks for 3 of every 8 ms and has to start on time; an encoder on the same core costs it
milliseconds whatever the priorities, because caches and frequencies do not know of them. On four
cores one of them is not missed; on two or three it would be, and `SCHED_FIFO` has to do alone.
"""

from collections.abc import Collection
from pathlib import Path

import msgspec

CORES_FILE = "cores.json"  # in the runtime folder: the supervisor decides, control takes
_SPARE_FROM = 4


class Cores(msgspec.Struct, frozen=True):
    """`control` None: no core of its own, and `why`. `others`: what every other process may use."""

    control: int | None
    others: tuple[int, ...]
    why: str = ""


def share(
    allowed: Collection[int], setting: int | str, taken: Collection[int], yields: bool
) -> Cores:
    """Share out the cores that this process may use (`allowed`), by `control.cpu`.

    `setting`: "auto", "none" or a core's number. `taken`: cores that other robots' controls have.
    `yields`: this one is a rehearsal beside a real arm; it takes none and keeps off all of those.
    """
    free = sorted(set(allowed) - set(taken)) or sorted(allowed)
    if yields:
        return Cores(None, tuple(free), "a rehearsal leaves the cores to the real arm")
    if setting == "none":
        return Cores(None, tuple(free), "control.cpu is none")
    if setting == "auto":
        if len(free) < _SPARE_FROM:
            return Cores(
                None, tuple(free), f"{len(free)} cores are too few to spare one: 4 or more"
            )
        return Cores(free[-1], tuple(free[:-1]))
    wanted = int(setting)
    if wanted not in allowed:
        span = ", ".join(map(str, sorted(allowed)))
        return Cores(None, tuple(free), f"control.cpu {wanted} is none of those it may use: {span}")
    others = tuple(core for core in free if core != wanted)
    if not others:
        return Cores(None, tuple(free), f"core {wanted} is the only one")
    return Cores(wanted, others)


def own_core(runtime: Path) -> tuple[int, ...]:
    """The core that the robot of that runtime folder has given its control, if it has."""
    try:
        cores = msgspec.json.decode((runtime / CORES_FILE).read_bytes(), type=Cores)
    except (OSError, msgspec.DecodeError):
        return ()  # it starts just now, or is of another version
    return () if cores.control is None else (cores.control,)
