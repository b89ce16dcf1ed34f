"""When the guard acts, as rules: the first one of a state that holds says what comes next. Pure.

`python -m daemon.guard.table` prints them. The guard is late on purpose: a control that is only slow
must never be killed, so silence alone has to last twice as long as silence of a process that is
known to be stopped, and a process that is known to be dead needs no silence at all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class Guarding(Enum):
    """What the guard is at."""

    WATCHING = "watching"
    KILLING = "killing"
    TAKING = "taking"
    HOLDING = "holding"
    RELEASING = "releasing"
    DOWN = "down"
    CANNOT = "cannot"

    @property
    def at_work(self) -> bool:
        """Whether the arm is in the guard's hands, or about to be."""
        return self in (Guarding.KILLING, Guarding.TAKING, Guarding.HOLDING, Guarding.RELEASING)


class Life(Enum):
    """What is known of the control process whose ticks were seen last."""

    ABSENT = "no control has ticked yet"
    TICKING = "it ticks"
    SILENT = "no tick for a while, and it runs"
    FROZEN = "no tick for guard_silent_s, and it is stopped by a signal"
    LOST = "no tick for twice guard_silent_s"
    DEAD = "the process is gone"


@dataclass(frozen=True, slots=True)
class Facts:
    """The present moment, as the rules see it."""

    life: Life
    held: bool  # by its last tick the arm may be driven
    in_hand: bool  # an arm answers us and is driven
    missing: bool  # an arm neither answers nor was let down by us
    hurry: bool  # e-stop was pressed, or control was letting the arm down already
    time_up: bool  # the state's own time has passed


@dataclass(frozen=True, slots=True)
class Rule:
    """In a state: when this holds, go there."""

    when: str
    holds: Callable[[Facts], bool]
    then: Guarding


_G = Guarding
_BACK = Rule("a control ticks", lambda f: f.life is Life.TICKING, _G.WATCHING)

RULES: dict[Guarding, tuple[Rule, ...]] = {
    _G.WATCHING: (
        Rule(
            "control is dead, and its last tick did not say that torque is off",
            lambda f: f.held and f.life is Life.DEAD,
            _G.TAKING,
        ),
        Rule(
            "likewise, no tick for `guard_silent_s`, and the process is stopped (SIGSTOP, a debugger)",
            lambda f: f.held and f.life is Life.FROZEN,
            _G.KILLING,
        ),
        Rule(
            "likewise, no tick for twice `guard_silent_s`, whatever the process does",
            lambda f: f.held and f.life is Life.LOST,
            _G.KILLING,
        ),
    ),
    _G.KILLING: (
        Rule("control is dead", lambda f: f.life is Life.DEAD, _G.TAKING),
        _BACK,
        Rule("it has not died in 5 s", lambda f: f.time_up, _G.CANNOT),
    ),
    _G.TAKING: (
        Rule(
            "every arm answers, and none is driven",
            lambda f: not f.missing and not f.in_hand,
            _G.DOWN,
        ),
        Rule(
            "every arm answers, and e-stop was pressed or control was letting it down already",
            lambda f: not f.missing and f.hurry,
            _G.RELEASING,
        ),
        Rule("every arm answers", lambda f: not f.missing, _G.HOLDING),
        Rule(
            "a control ticks, and no arm is in hand",
            lambda f: f.life is Life.TICKING and not f.in_hand,
            _G.WATCHING,
        ),
        Rule(
            "one arm of two does not answer in 5 s",
            lambda f: f.time_up and f.in_hand,
            _G.HOLDING,
        ),
        Rule("no arm answers in 5 s", lambda f: f.time_up, _G.CANNOT),
    ),
    _G.HOLDING: (
        Rule("no arm is in hand any more", lambda f: not f.in_hand, _G.TAKING),
        Rule("e-stop is pressed", lambda f: f.hurry, _G.RELEASING),
        Rule("`guard_hold_s` is over", lambda f: f.time_up, _G.RELEASING),
    ),
    _G.RELEASING: (
        Rule(
            "every arm said that its torque is off",
            lambda f: not f.in_hand and not f.missing,
            _G.DOWN,
        ),
        Rule("no arm is in hand any more", lambda f: not f.in_hand, _G.TAKING),
        Rule("it is not down after 60 s", lambda f: f.time_up, _G.CANNOT),
    ),
    _G.DOWN: (_BACK,),
    _G.CANNOT: (
        _BACK,
        Rule(
            "5 s later, and control is dead",
            lambda f: f.time_up and f.life is Life.DEAD,
            _G.TAKING,
        ),
        Rule("5 s later", lambda f: f.time_up, _G.KILLING),
    ),
}

DOES: dict[Guarding, str] = {
    _G.WATCHING: "reads ticks; opens no device",
    _G.KILLING: "SIGKILL to control, by pid and start time",
    _G.TAKING: "takes the port (flock) and reads; writes nothing",
    _G.HOLDING: "reads; the servos keep their goal and torque",
    _G.RELEASING: "governed release; torque off, read back; register 48 as at power-on",
    _G.DOWN: "has given the port back",
    _G.CANNOT: "has given the port back, and says why in red",
}


def next_state(state: Guarding, facts: Facts) -> Guarding:
    """The state after one look; the same when no rule holds."""
    return next((rule.then for rule in RULES[state] if rule.holds(facts)), state)
