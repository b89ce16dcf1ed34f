"""The arming list while the loop ticks: one step of it a tick, every step reported to who asked."""

from collections.abc import Sequence
from typing import Protocol

from daemon.control.arm import FollowerArm
from daemon.control.exchange import Exchange
from daemon.control.leader import LeaderArm
from daemon.control.machine import Event
from daemon.control.settings import CoreSettings
from robotd.errors import BusError
from robotd.messages import Check


class ArmingSteps(Protocol):
    """The arming of all arms, one bounded transaction an iteration.

    Raises BusError, or StopIteration when finished.
    """

    checks: tuple[Check, ...]
    wrote_goal: bool
    passed: bool

    def __next__(self) -> None: ...


class Arming(Protocol):
    """Makes the arming sequence; passed in so that the core knows no register."""

    def begin(
        self,
        arms: Sequence[FollowerArm],
        leaders: Sequence[LeaderArm],
        settings: CoreSettings,
        consent: bool,
    ) -> ArmingSteps: ...


class ArmingRun:
    """The sequence under way, if any."""

    def __init__(
        self,
        arming: Arming,
        arms: Sequence[FollowerArm],
        leaders: Sequence[LeaderArm],
        settings: CoreSettings,
        exchange: Exchange,
    ) -> None:
        self.request = 0  # whose answer the reports are
        self._arming = arming
        self._arms = arms
        self._leaders = leaders
        self._settings = settings
        self._exchange = exchange
        self._steps: ArmingSteps | None = None

    @property
    def active(self) -> bool:
        """Whether steps are left."""
        return self._steps is not None

    @property
    def looking(self) -> bool:
        """Whether nothing has been driven yet: what is wrong with the arm is a line of the list."""
        return self._steps is not None and not self._steps.wrote_goal

    def begin(self, consent: bool) -> None:
        """Start anew; without consent only look."""
        self._steps = self._arming.begin(self._arms, self._leaders, self._settings, consent)

    def cancel(self) -> None:
        """Drop what is left."""
        self._steps = None

    def report(self, check: Check) -> None:
        """Answer with one line instead of the list."""
        self._exchange.report(self.request, (check,), done=True)

    def step(self) -> Event | None:
        """One transaction; how it ended, once it has."""
        steps = self._steps
        if steps is None:
            return None
        try:
            next(steps)
            self._exchange.report(self.request, steps.checks, done=False)
            return None
        except StopIteration:
            outcome = Event.ARMED if steps.passed else Event.ARMING_REFUSED
        except BusError as error:
            lines = (Check(name="bus", outcome="fail", detail=error.what, do=error.do),)
            steps.checks = (*steps.checks, *lines)
            outcome = Event.ARMING_REFUSED
        if outcome is Event.ARMING_REFUSED and steps.wrote_goal:
            outcome = Event.ARMING_ABORTED
        self._steps = None
        self._exchange.report(self.request, steps.checks, done=True)
        return outcome
