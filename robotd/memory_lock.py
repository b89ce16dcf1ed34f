"""Memory that stays where it is: a page that has to come back from a disk costs a loop tens of milliseconds.

The loop's process asks for it, and the plant, whose servos answer as quickly as real ones. A system
that takes pages back from the idle (or a full disk cache that does) silenced the simulated line for
ten replies in a row, which is a lost servo.
"""

import ctypes
import os

_CURRENT, _FUTURE, _ON_FAULT = 1, 2, 4  # MCL_* of <sys/mman.h>


def lock_memory() -> str:
    """Lock this process's pages as they are touched; returns why not, or nothing when it is done.

    MCL_ONFAULT: plain mlockall takes a numpy process from 35 to 150 MB. Linux only.
    """
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mlockall(_CURRENT | _FUTURE | _ON_FAULT) == 0:
            return ""
        return os.strerror(ctypes.get_errno())
    except (OSError, AttributeError) as error:
        return str(error)
