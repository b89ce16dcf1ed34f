"""A pty's bytes at the speed of a wire: the kernel's workers that carry them get a turn at once.

What is written to a pty is handed over by a kernel worker of ordinary priority. Beside an encoder
and a policy on two cores it comes late (0.14 ms p50, 2.4 ms p99), and then neither robotd's nor
LeRobot's goals are stamped when they were sent; a UART's bytes wait for no scheduler. So while a
benchmark measures, these workers run at real-time priority, where the machine allows it (root), and
the result says whether it did.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PROC = Path("/proc")
_UNBOUND = "kworker/u"  # the pools that any processor serves; ttys queue there
_LOOK_S = 0.5  # pools grow while the load does


class LineWorkers:
    """The workers that were given a priority, and what they had before."""

    def __init__(self, priority: int, proc: Path = _PROC) -> None:
        self._priority = priority
        self._proc = proc
        self._hurried: set[int] = set()
        self.why_not = ""

    @property
    def scheduler(self) -> str:
        """`fifo:<priority>`, or `other` and the reason."""
        return f"other ({self.why_not})" if self.why_not else f"fifo:{self._priority}"

    def hurry(self) -> None:
        """Give the priority to the ordinary workers that do not have it yet."""
        for worker in set(self._ordinary()) - self._hurried:
            try:
                os.sched_setscheduler(worker, os.SCHED_FIFO, os.sched_param(self._priority))
            except ProcessLookupError:
                continue
            except (OSError, AttributeError) as error:
                self.why_not = str(error)
                return
            self._hurried.add(worker)

    def restore(self) -> None:
        """Make them ordinary again."""
        for worker in self._hurried:
            with suppress(ProcessLookupError):
                os.sched_setscheduler(worker, os.SCHED_OTHER, os.sched_param(0))
        self._hurried.clear()

    def _ordinary(self) -> Iterator[int]:
        for folder in self._proc.glob("[0-9]*"):
            with suppress(OSError):  # it ended meanwhile
                worker = int(folder.name)
                name = (folder / "comm").read_text()
                if name.startswith(_UNBOUND) and os.sched_getscheduler(worker) == os.SCHED_OTHER:
                    yield worker


@contextmanager
def hurried(priority: int) -> Iterator[LineWorkers]:
    """The workers at real-time priority until the end, new ones included."""
    workers = LineWorkers(priority)
    over = threading.Event()

    def keep_up() -> None:
        while not over.wait(_LOOK_S) and not workers.why_not:
            workers.hurry()

    workers.hurry()
    thread = threading.Thread(target=keep_up, name="line-workers")
    thread.start()
    try:
        yield workers
    finally:
        over.set()
        thread.join()
        workers.restore()
