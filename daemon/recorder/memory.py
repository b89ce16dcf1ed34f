"""Memory that an episode took is given back when it has ended.

An encoder is some megabytes behind a few Python objects that refer to each other, so Python's
collector, which counts objects, comes late; and what it frees glibc keeps for a while, some of it in
the arenas of threads that have ended. Left alone the process swings by a hundred megabytes, and
nobody could see whether it grows.
"""

import contextlib
import ctypes
import gc
import sys


def keep_what_is_there() -> None:
    """Once everything is loaded: the collector need not look through it again."""
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """Collect what nobody refers to and give free memory back to the system. A few milliseconds,
    in whatever thread has time."""
    gc.collect()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another libc: it has its own ways
            ctypes.CDLL("libc.so.6").malloc_trim(0)
