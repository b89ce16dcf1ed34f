"""One part of the loop that fails must not end the others, nor the arm that control holds.

What the supervisor does in a pass are parts that do not need each other: a full disk that stops the
logs from being trimmed says nothing about requests. Each is run through here. A mistake is logged
with its traceback the first time, and then once a minute with a count.
"""

import logging
from collections.abc import Callable

from robotd.clock import NS_PER_S

log = logging.getLogger(__name__)

_QUIET_NS = 60 * NS_PER_S


class Guarded:
    """Runs parts by name and keeps count of what went wrong in each."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._said: dict[tuple[str, type[Exception]], tuple[int, int]] = {}  # when, how many since

    def run(self, part: str, work: Callable[[], None]) -> None:
        """Do `work`; an exception of any kind is logged and goes no further."""
        try:
            work()
        except Exception as error:  # noqa: BLE001 - complain logs it with its traceback
            self.complain(part, error)

    def complain(self, part: str, error: Exception) -> None:
        """Log an exception that was caught in `part`, once for each kind."""
        now_ns = self._now_ns()
        kind = (part, type(error))
        if kind not in self._said:
            self._said[kind] = (now_ns, 0)
            log.error("%s failed; the rest goes on", part, exc_info=error)
            return
        said_ns, since = self._said[kind]
        if now_ns - said_ns < _QUIET_NS:
            self._said[kind] = (said_ns, since + 1)
            return
        self._said[kind] = (now_ns, 0)
        log.error("%s failed %d times more: %r", part, since + 1, error)
