"""An arm that is held for nobody: warned about, then parked and let down."""

from dataclasses import dataclass

from robotd.clock import NS_PER_S, Clock
from robotd.states import State

_WARN_S = 60.0


@dataclass(frozen=True, slots=True)
class IdleVerdict:
    """What to say, and whether it is time."""

    message: str = ""
    release: bool = False


class IdleWatch:
    """Counts how long the arm has been holding without any request. `release_s` 0: for ever."""

    def __init__(self, release_s: float, clock: Clock) -> None:
        self._release_s = release_s
        self._clock = clock
        self._since_ns = clock.now_ns()

    def touch(self) -> None:
        """A client asked for something."""
        self._since_ns = self._clock.now_ns()

    def look(self, state: State) -> IdleVerdict:
        """Judge the present moment; says `release` once per idle time."""
        if state is not State.HOLDING or self._release_s == 0:
            self.touch()
            return IdleVerdict()
        left_s = self._release_s - (self._clock.now_ns() - self._since_ns) / NS_PER_S
        if left_s <= 0:
            self.touch()
            return IdleVerdict("idle: parking", release=True)
        if left_s <= min(_WARN_S, self._release_s / 2):
            return IdleVerdict(f"idle: parks in {left_s:.0f} s unless somebody asks for something")
        return IdleVerdict()
