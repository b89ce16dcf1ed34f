"""One look of the guard after the other: what is known, what follows, what is done about it.

Time, control's ticks and the serial ports are passed in; the rules are in `machine`. While it
watches it opens no device.
"""

import logging
import os
from typing import Protocol

from daemon.guard.hands import Hands
from daemon.guard.machine import Facts, Guarding, Life, next_state
from daemon.guard.report import GuardReport
from daemon.guard.watched import WatchedControl
from robotd.clock import NS_PER_MS, NS_PER_S
from robotd.states import State, Torque

log = logging.getLogger(__name__)

WATCH_NS = 50 * NS_PER_MS
WORK_NS = NS_PER_S // 120
_PLUG = "Support the arm and pull the plug of the servo supply."
_PATIENCE_S = {
    Guarding.KILLING: 5.0,
    Guarding.TAKING: 5.0,
    Guarding.RELEASING: 60.0,  # a release takes 2-3 s; then a servo does not answer
    Guarding.CANNOT: 5.0,
}
_DRIVEN = (Guarding.TAKING, Guarding.HOLDING, Guarding.RELEASING)
_GOING_DOWN = (State.RELEASING, State.ESTOP)


class Presses(Protocol):
    """The software e-stop's counter."""

    @property
    def presses(self) -> int: ...


class GuardCore:
    """The guard of one robot between looks. `hold_s`: how long it holds before it lets down."""

    def __init__(
        self,
        control: WatchedControl,
        hands: Hands,
        estop: Presses | None,
        hold_s: float,
        scheduler: str = "",
    ) -> None:
        self.state = Guarding.WATCHING
        self.control = control
        self._hands = hands
        self._estop = estop
        self._patience_s = {**_PATIENCE_S, Guarding.HOLDING: hold_s}
        self._scheduler = scheduler
        self._since_ns = 0
        self._pressed_before = 0
        self._killed = False
        self._cannot = ("", "")
        self._torque = Torque.UNKNOWN

    @property
    def period_ns(self) -> int:
        """How soon to look again."""
        return WORK_NS if self.state in _DRIVEN else WATCH_NS

    @property
    def idle(self) -> bool:
        """Whether nothing is left to do here: the arm is limp, or nobody can reach it, and no
        control holds it."""
        if self.state in (Guarding.DOWN, Guarding.CANNOT):
            return True
        if self.state is not Guarding.WATCHING:
            return False
        return not self.control.held or self.control.life is Life.ABSENT

    def step(self, now_ns: int) -> None:
        """One look and what follows from it. Raises nothing for what a cable or servo does."""
        self.control.look(now_ns)
        if self.state in _DRIVEN:
            self._hands.look()
        facts = self._facts(now_ns)
        after = next_state(self.state, facts)
        if after is not self.state:
            self._enter(after, now_ns)
        if self.state is Guarding.KILLING:
            self._kill()
        elif self.state is Guarding.RELEASING:
            self._lower()
        if self.state in _DRIVEN:
            self._torque = self._hands.torque

    def report(self, now_ns: int) -> GuardReport:
        """What to publish."""
        what, do = self._cannot
        return GuardReport(
            stamp_ns=now_ns,
            pid=os.getpid(),
            state=self.state,
            held=self.control.held,
            killed=self._killed,
            torque=self._torque,
            control_pid=self.control.pid,
            scheduler=self._scheduler,
            what=what,
            do=do,
        )

    def close(self) -> None:
        """Give everything back."""
        self._hands.close()
        self.control.close()

    def _facts(self, now_ns: int) -> Facts:
        patience_s = self._patience_s.get(self.state)
        return Facts(
            life=self.control.life,
            held=self.control.held,
            in_hand=self._hands.in_hand,
            missing=self._hands.missing,
            hurry=self._hurry(),
            time_up=patience_s is not None and now_ns - self._since_ns >= patience_s * NS_PER_S,
        )

    def _hurry(self) -> bool:
        tick = self.control.tick
        if tick is None:
            return False
        pressed = self._estop is not None and self._estop.presses > tick["estop_presses"]
        return pressed or State(tick["state"]) in _GOING_DOWN

    def _enter(self, after: Guarding, now_ns: int) -> None:
        control, before = self.control, self.state
        log.log(
            logging.INFO if after is Guarding.WATCHING else logging.WARNING,
            "%s -> %s: control %s (process %d), silent for %.2f s",
            before.value,
            after.value,
            control.life.name.lower(),
            control.pid,
            control.silent_for_ns / NS_PER_S,
        )
        if after is Guarding.CANNOT:
            if before is Guarding.KILLING:
                hangs = f"Control (process {control.pid}) does not die: it hangs in the kernel."
                what, do = self._cannot[0] or hangs, ""
            else:
                what, do = self._hands.why()
            self._cannot = (what, f"{do} {_PLUG}".strip())
            log.error("the guard cannot bring the arm down: %s %s", *self._cannot)
        elif after is not Guarding.TAKING:
            self._cannot = ("", "")
        self.state, self._since_ns = after, now_ns
        self._killed = after is Guarding.KILLING or (
            self._killed and after is not Guarding.WATCHING
        )
        if after is Guarding.TAKING:
            self._hands.begin()
        elif after is Guarding.WATCHING:
            self._hands.forget()
            self._torque = Torque.UNKNOWN
        elif after is Guarding.DOWN:
            self._hands.close()
            self._torque = self._hands.torque
            control.let_down()
            if mute := self._hands.mute():
                self._cannot = (f"Torque off is not confirmed by {', '.join(mute)}.", _PLUG)
        elif after is Guarding.CANNOT:
            self._hands.close()
        if after in (Guarding.HOLDING, Guarding.RELEASING) and before is Guarding.TAKING:
            self._pressed_before = 0 if self._estop is None else self._estop.presses

    def _kill(self) -> None:
        refused = self.control.kill()
        if refused and self._cannot[0] != refused:
            self._cannot = (refused, _PLUG)
            log.error("control cannot be killed: %s", refused)

    def _lower(self) -> None:
        # Only presses with the arm in our hands count as the second one: whoever pressed twice at a
        # frozen control asked for a stop, and has not seen one yet.
        presses = 0 if self._estop is None else self._estop.presses
        if presses - self._pressed_before >= 2:
            self._hands.limp_now()
        else:
            self._hands.lower()
