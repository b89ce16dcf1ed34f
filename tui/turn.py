"""The keyboard's turn at moving the arm: from the daemon's hand-over until somebody else has it.

A turn begins with the first state that carries the promised hand-over, from the goals that held
the arm in that state, so that taking over moves nothing. It ends with Esc, or when a state shows
another source or another hand-over, or when a goal is refused.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from robotd import messages
from robotd.errors import RobotdError
from robotd.states import State
from tui import jog
from tui.look import parse_state

if TYPE_CHECKING:
    from tui.acts import Desk


class KeyboardTurn:
    """The keyboard as a source of goals."""

    def __init__(self, desk: "Desk") -> None:
        self._desk = desk
        self._waiting = False
        self._version: int | None = None

    @property
    def waiting(self) -> bool:
        """Whether a hand-over was promised and has not been seen yet."""
        return self._waiting

    def promised(self, handover_version: int | None) -> None:
        """The daemon gave the arm to the keyboard; None where the reply named no version."""
        self._waiting = True
        self._version = handover_version

    def seen(self, status: messages.Status) -> None:
        """Begin or end the turn by what the daemon says."""
        ours = parse_state(status.state) is State.TELEOP and status.source.lower() == "keyboard"
        now = self._desk.view.jog
        if self._waiting:
            if ours and status.joints and self._version in (None, status.handover_version):
                self._waiting = False
                self._set(jog.start(status.joints, status.handover_version))
        elif now is not None and (not ours or status.handover_version != now.handover_version):
            self.end()
            state = parse_state(status.state)
            free = state is State.HOLDING or (state is not None and state.moving)
            again = "Tab takes it again." if free else ""
            self._desk.note("the keyboard no longer has the arm", do=again)

    def refused(self, error: RobotdError) -> None:
        """The daemon took no more of the keyboard's goals."""
        self.end()
        self._desk.note(f"the keyboard lost the arm: {error.what}", "warn", error.do, error.likely)

    def end(self) -> None:
        """Stop sending goals."""
        self._waiting = False
        self._desk.stream(None)
        if self._desk.view.jog is not None:
            self._desk.change(jog=None)

    def press(self, direction: int) -> None:
        """One step of the chosen joint."""
        view = self._desk.view
        if view.status is None or view.lost or not view.status.joints:
            return
        here = [joint.position_rad for joint in view.status.joints]
        self._change(lambda now: jog.press(now, direction, here))

    def choose(self, by: int) -> None:
        """Another joint."""
        self._change(lambda now: jog.choose(now, by))

    def choose_number(self, number: int) -> None:
        """Joint 1 to 6 of the arm being jogged."""
        self._change(lambda now: jog.choose_number(now, number))

    def resize(self, by: int) -> None:
        """A bigger or smaller step."""
        self._change(lambda now: jog.resize(now, by))

    def _change(self, change: Callable[[jog.Jog], jog.Jog]) -> None:
        now = self._desk.view.jog
        if now is None:
            self._desk.note("jog keys work once Tab gave the arm to the keyboard")
            return
        self._set(change(now))

    def _set(self, now: jog.Jog) -> None:
        self._desk.change(jog=now)
        self._desk.stream(
            messages.Goal(
                source="keyboard", handover_version=now.handover_version, goal_rad=now.goal_rad
            )
        )
