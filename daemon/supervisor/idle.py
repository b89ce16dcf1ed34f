"""An arm that is held for nobody: warned about, then parked and let down.

Nobody means that no client has asked for anything, and that whoever has the arm sends nothing: a
client that died leaves its source silent, a policy that starves holds, a fault waits for a person.
"""

from dataclasses import dataclass
from typing import Any

from robotd.clock import NS_PER_S, Clock
from robotd.states import LimitedBy, State, Torque

_WARN_S = 60.0
_SOURCES = (State.TELEOP, State.POLICY, State.REPLAY)
_SILENT = LimitedBy.STALE | LimitedBy.STARVED | LimitedBy.VERDICT


@dataclass(frozen=True, slots=True)
class IdleVerdict:
    """What to say, and whether it is time."""

    message: str = ""
    release: bool = False


def held_for_nobody(tick: dict[str, Any] | None) -> bool:
    """Whether the arm is stiff and nothing moves it, by its newest tick."""
    if tick is None:
        return False
    state = State(tick["state"])
    if state is State.FAULT:  # where torque is not known nothing could be let down
        return tick["torque"] in (Torque.ON, Torque.MIXED)
    if state in _SOURCES:
        nothing_came = tick["command_age_ns"] < 0 and tick["plan_id"] == 0
        return nothing_came or all(limited & _SILENT for limited in tick["limited_by"])
    return state is State.HOLDING


class IdleWatch:
    """Counts how long the arm has been held for nobody. `release_s` 0: for ever."""

    def __init__(self, release_s: float, clock: Clock) -> None:
        self._release_s = release_s
        self._clock = clock
        self._since_ns = clock.now_ns()

    def touch(self) -> None:
        """A client asked for something."""
        self._since_ns = self._clock.now_ns()

    def look(self, for_nobody: bool) -> IdleVerdict:
        """Judge the present moment; says `release` once per idle time."""
        if not for_nobody or self._release_s == 0:
            self.touch()
            return IdleVerdict()
        left_s = self._release_s - (self._clock.now_ns() - self._since_ns) / NS_PER_S
        if left_s <= 0:
            self.touch()
            return IdleVerdict("idle: letting the arm down", release=True)
        if left_s <= min(_WARN_S, self._release_s / 2):
            return IdleVerdict(
                f"idle: the arm goes down in {left_s:.0f} s unless somebody asks for something"
            )
        return IdleVerdict()
