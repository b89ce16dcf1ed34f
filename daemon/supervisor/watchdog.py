"""What feeds systemd's watchdog: a completed tick of a living control, and nothing else while there
is one. Pure.

Control that is absent by rule (it died and waits for a person, or it has ended) gives no ticks, and
starting the supervisor again would start control without anybody having asked: then the supervisor
feeds for itself and says so in STATUS. Control that runs and does not tick is fed for no longer than
a start takes.
"""

from daemon.supervisor.children import Child
from robotd.clock import NS_PER_S

STARTING_NS = 15 * NS_PER_S
"""Interpreter, bus and first tick on a busy machine; the arm cannot hold anything for us yet."""


class Proof:
    """Whether there is something new to feed the watchdog with."""

    def __init__(self) -> None:
        self._seen: tuple[int, int] | None = None

    def look(self, control: Child | None, ticks: int, ticked_ns: int | None, now_ns: int) -> bool:
        """Take a look. `ticks` and `ticked_ns`: how many the newest ring has, and when the newest
        was due (None: none)."""
        if control is None or not control.running:
            return True
        if ticked_ns is None or ticked_ns < control.started_ns:  # the ring is another control's
            return now_ns - control.started_ns < STARTING_NS
        seen = (control.started_ns, ticks)
        news = seen != self._seen
        self._seen = seen
        return news
