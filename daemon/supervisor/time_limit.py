"""The time limit of a policy's run, kept where the arm is: a client that dies keeps none.

It belongs to one hand-over; whatever takes the arm meanwhile ends it.
"""

import logging
import math
from collections.abc import Callable

from daemon.supervisor.observed import Observed
from daemon.supervisor.pending import Data, Pending
from robotd.clock import NS_PER_S
from robotd.errors import StateError
from robotd.states import State

log = logging.getLogger(__name__)


class TimeLimit:
    """Holds the arm when a run's time is over. `hold` asks control for that."""

    def __init__(
        self, observed: Observed, now_ns: Callable[[], int], hold: Callable[[], None]
    ) -> None:
        self._observed = observed
        self._now_ns = now_ns
        self._hold = hold
        self._handover = -1
        self._end_ns = 0

    def on(self, given: Callable[[], Pending], seconds: float | None) -> Pending:
        """`given` gives the arm to the policy; from its answer on it has `seconds`. None: no limit.

        Raises StateError for a limit that is none.
        """
        if seconds is None:
            return given()
        if not (math.isfinite(seconds) and seconds > 0):
            raise StateError(
                f"A run cannot last {seconds:g} s.",
                "A number was mistyped.",
                "Give a number of seconds above 0, or none for no limit.",
            )
        answer = given()

        def poll() -> Data | None:
            data = answer.poll()
            if data is not None:
                self._handover = data["handover_version"]
                self._end_ns = self._now_ns() + int(seconds * NS_PER_S)
            return data

        return Pending(poll, answer.limit_s, answer.whose)

    def step(self) -> None:
        """Hold when the time is over and the arm is still that run's."""
        if self._handover < 0 or self._now_ns() < self._end_ns:
            return
        tick = self._observed.tick()
        version, self._handover = self._handover, -1
        if tick is None or tick["handover_version"] != version or tick["state"] != State.POLICY:
            return
        log.info("the policy's time is over: holding")
        self._hold()
