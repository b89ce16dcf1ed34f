"""What each action of the registry does: one method of the same name for each. No threads, no
drawing.

The methods read the newest `View` and speak to the robot and the person through a `Desk`, which
the app implements. The keyboard's turn at moving the arm stands in `tui.turn`.
"""

from collections.abc import Callable
from typing import Any, Protocol

import msgspec
from textual.screen import ModalScreen

from robotd import messages
from robotd.errors import RobotdError
from robotd.states import State
from tui import loading, recording
from tui.dialogs import ArmingList, Confirm, Form, FormField, Help
from tui.lanes import Outcome
from tui.look import parse_state
from tui.session import Session
from tui.turn import KeyboardTurn
from tui.view import SCRIPTED, View

CHECKS, CONSENT, LOADING = "running the checks", "arming", "loading the policy"
ARM_TIMEOUT_S = 60.0
LOAD_TIMEOUT_S = 300.0
"""A policy's first load compiles and warms up; a checkpoint on a slow disk takes minutes."""
SAVE_TIMEOUT_S = 60.0


class Desk(Protocol):
    """What the actions need of the app."""

    view: View

    def send(self, doing: str, request: messages.AnyRequest, timeout_s: float = 5.0) -> bool:
        """Send on the work lane; False when it is busy."""
        ...

    def send_stop(self, doing: str, request: messages.AnyRequest) -> bool:
        """Send on the lane that only stops use."""
        ...

    def send_load(self, doing: str, request: messages.AnyRequest, timeout_s: float) -> bool:
        """Send on the lane that only loads policies: minutes may pass, and nothing waits for it."""
        ...

    def press_estop(self) -> int:
        """Press the e-stop; returns the count."""
        ...

    def stream(self, goal: messages.Goal | None) -> None:
        """Keep sending this goal; None stops."""
        ...

    def note(self, text: str, level: str = "info", do: str = "", likely: str = "") -> None:
        """Say something to the person."""
        ...

    def refuse(self, error: RobotdError) -> None:
        """Say what was refused: what, why likely, and what to do."""
        ...

    def later(self, delay_s: float, run: Callable[[], None]) -> None:
        """Call `run` after a while, if the app is still there."""
        ...

    def change(self, **parts: Any) -> None:
        """Replace parts of the view and draw it."""
        ...

    def open[Result](
        self, dialog: ModalScreen[Result], answered: Callable[[Result | None], None] | None = None
    ) -> None:
        """Show a dialog."""
        ...

    def leave(self) -> None:
        """End the app."""
        ...

    def palette(self) -> None:
        """Show the command palette."""
        ...


class Acts:
    """The actions. `arming` is the open arming list, if there is one."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.turn = KeyboardTurn(desk)
        self.recording = Session(desk)
        self.arming: ArmingList | None = None
        self._unrehearsed = False  # a person said so when the policy was given the arm
        self._despite_probe = ""  # the failed probe that a person took a policy despite

    # --- stop -------------------------------------------------------------------------------------

    def estop(self) -> None:
        self.turn.end()
        try:
            presses = self.desk.press_estop()
        except RobotdError as error:
            self.desk.refuse(error)
            return
        if self.desk.view.lost:
            words = f"E-STOP pressed, number {presses}, but no daemon is heard: nobody confirms it"
            self.desk.note(words, "bad", "If the arm moves or is stiff, pull the plug.")
            return
        latched = self._state() is State.ESTOP
        again = "the second press: limp now" if latched else "again: limp now"
        self.desk.note(
            f"E-STOP pressed, number {presses} ({again})", "bad", "The plug is the emergency stop."
        )

    def escape(self) -> None:
        if not self.stop_if_moving():
            self.desk.note("nothing moves the arm")

    def stop_if_moving(self) -> bool:
        """Send a hold if anybody moves the arm or nobody knows; returns whether it was sent."""
        state = self._state()
        if state is not None and not state.moving and self.desk.view.jog is None:
            return False
        self.hold()
        return True

    def hold(self) -> None:
        self.turn.end()
        self.desk.send_stop("stopping", messages.Hold())

    def clear(self) -> None:
        self._send("clearing", messages.Clear())

    def _state(self) -> State | None:
        """The state that is known now; None when nobody knows."""
        view = self.desk.view
        return None if view.status is None or view.lost else parse_state(view.status.state)

    # --- recording --------------------------------------------------------------------------------

    def episode(self) -> None:
        self._record("episode")

    def keep(self) -> None:
        self._record("keep")

    def redo(self) -> None:
        self._record("redo")

    def undo(self) -> None:
        self._record("undo")

    def success(self) -> None:
        self._record("success")

    def fail(self) -> None:
        self._record("fail")

    def discard(self) -> None:
        self._record("discard")

    def keep_last(self) -> None:
        self._record("keep_last")

    def mark(self) -> None:
        self._record("mark")

    def note(self) -> None:
        self._record("note")

    def _record(self, key: str) -> None:
        view = self.desk.view
        if view.status is None or view.lost:
            self.desk.note(f"{key}: key dropped, the daemon does not answer", "warn")
            return
        now = view.status.recording
        match recording.decide(key, now, view.pending):
            case recording.Send() if key == "note":
                title = "note on this episode" if now.phase == "recording" else "note on the last"
                field = FormField("note", "Note", now.said)
                self.desk.open(Form(title, view.look, [field]), self._set_note)
            case recording.Send(request, doing):
                if self._send(doing, request, SAVE_TIMEOUT_S):
                    self.desk.change(pending=doing)
            case recording.Dropped(why):
                self.desk.note(f"{key}: key dropped, {why}", "warn")
            case recording.AskSession():
                self.session()

    def _set_note(self, answer: dict[str, str] | None) -> None:
        if answer:
            self._send("noting", messages.LabelEpisode(note=answer["note"]), SAVE_TIMEOUT_S)

    def task(self) -> None:
        view = self.desk.view
        now = view.status.recording.task if view.status else ""
        form = Form("task of the next episode", view.look, [FormField("task", "Task", now)])
        self.desk.open(form, self._set_task)

    def _set_task(self, answer: dict[str, str] | None) -> None:
        if answer and answer["task"]:
            self._send("changing the task", messages.SetTask(task=answer["task"]))

    def session(self) -> None:
        self.recording.ask()

    def close_session(self) -> None:
        self.recording.close()

    # --- the arm ----------------------------------------------------------------------------------

    def arm(self) -> None:
        if not self._check():
            return
        self.arming = ArmingList(self.desk.view.look, self._check)
        self.desk.open(self.arming, self._consent)

    def _check(self) -> bool:
        return self._send(CHECKS, messages.Arm(consent=False), ARM_TIMEOUT_S)

    def _consent(self, yes: bool | None) -> None:
        self.arming = None
        if yes:
            self._send(CONSENT, messages.Arm(consent=True), ARM_TIMEOUT_S)

    def disarm(self) -> None:
        self.turn.end()
        self._send("disarming", messages.Disarm(), ARM_TIMEOUT_S)

    def release(self) -> None:
        text = "Let the arm down slowly where it is, without parking? It sinks by its own weight."
        dialog = Confirm("let down here", self.desk.view.look, text, "lets it down")
        self.desk.open(dialog, self._release)

    def _release(self, yes: bool | None) -> None:
        if yes:
            self.turn.end()
            self._send("letting down", messages.Disarm(in_place=True), ARM_TIMEOUT_S)

    def home(self) -> None:
        self.turn.end()
        self._send("going home", messages.Home())

    # --- sources ----------------------------------------------------------------------------------

    def source(self) -> None:
        """The next of the sources that a person can be.

        A real leader comes first. A simulated one stands still until a program moves it, so in the
        simulation the keyboard does.
        """
        status = self.desk.view.status
        if status is None:
            return
        choices = ["leader", "keyboard"] if status.leader_ready else ["keyboard"]
        if status.simulated:
            choices.reverse()
        now = status.source.lower() if parse_state(status.state) is State.TELEOP else ""
        after = choices.index(now) + 1 if now in choices else 0
        following = choices[after % len(choices)]
        if following == now:
            self.desk.note("the keyboard is the only source here", do=f"Esc holds. {SCRIPTED}.")
            return
        self.turn.end()
        self._send(f"handing over to the {following}", messages.Teleop(source=following))

    def policy(self) -> None:
        status = self.desk.view.status
        if status is None:
            return
        if status.policy.phase == "running":
            self.desk.note("the policy is running", do="Esc stops it.")
        elif status.policy.phase == "ready":
            self._run_policy(status)
        elif status.policy.phase == "loading":
            self.desk.note("the policy is still loading", "warn", "p again when it is ready.")
        else:
            self.load_policy()

    def _run_policy(self, status: messages.Status) -> None:
        policy = status.policy
        if policy.probed == "fail" and self._despite_probe != policy.probe:
            text = f"Its probe {policy.probe}\n{policy.probe_do}\nLet it move the arm all the same?"
            dialog = Confirm("the probe failed", self.desk.view.look, text, "takes it as it is")
            self.desk.open(dialog, lambda yes: self._despite(status) if yes else None)
            return
        if policy.rehearsed or status.simulated:
            self._hand_to_policy()
            return
        text = (
            f"This policy on this arm: {policy.rehearsal}.\n{policy.rehearsal_do} shows what it "
            "would do and moves nothing. Let it move the arm unrehearsed?"
        )
        dialog = Confirm("not rehearsed", self.desk.view.look, text, "takes it as it is")
        self.desk.open(dialog, lambda yes: self._hand_to_policy(unrehearsed=True) if yes else None)

    def _despite(self, status: messages.Status) -> None:
        """A person takes a policy whose probe failed; what else is to be asked is asked."""
        self._despite_probe = status.policy.probe
        self._run_policy(status)

    def _hand_to_policy(self, unrehearsed: bool = False) -> None:
        self.turn.end()
        self._unrehearsed = unrehearsed
        status = self.desk.view.status
        policy = messages.PolicyStatus() if status is None else status.policy
        despite = policy.probed == "fail" and policy.probe == self._despite_probe
        run = messages.RunPolicy(unrehearsed=unrehearsed, despite_probe=despite)
        self._send("handing over to the policy", run)

    def intervene(self) -> None:
        """Take the arm from the policy, or give it back to the one that it was taken from."""
        status = self.desk.view.status
        if status is None:
            return
        state = parse_state(status.state)
        if state is State.POLICY:
            by_hand = status.simulated or not status.leader_ready
            who = "keyboard" if by_hand else "leader"
            self.turn.end()
            self._send(f"taking over with the {who}", messages.Teleop(source=who))
        elif state is not State.TELEOP or status.policy.phase != "ready":
            self.desk.note("no policy to take the arm from", do="p gives it to one.")
        elif self._unrehearsed:
            self._hand_to_policy(unrehearsed=True)
        else:
            self._run_policy(status)

    def load_policy(self) -> None:
        status = self.desk.view.status
        self._ask_policy({"task": status.recording.task if status else ""})

    def _ask_policy(self, answer: dict[str, str], complaint: str = "") -> None:
        title = "load a policy (moves nothing)"
        form = Form(title, self.desk.view.look, loading.fields(answer), complaint)
        self.desk.open(form, self._load)

    def _load(self, answer: dict[str, str] | None) -> None:
        if answer is None:
            return
        complaint = loading.complaint(answer)
        if complaint:
            self._ask_policy(answer, complaint)
        else:
            if self.desk.send_load(LOADING, loading.request(answer), LOAD_TIMEOUT_S):
                self.desk.note("loading the policy; this takes a while, every other key works")
            else:
                self.desk.note("the policy before is still loading", "warn")

    # --- keyboard jog -----------------------------------------------------------------------------

    def jog_up(self) -> None:
        self.turn.press(+1)

    def jog_down(self) -> None:
        self.turn.press(-1)

    def jog_next(self) -> None:
        self.turn.choose(+1)

    def jog_previous(self) -> None:
        self.turn.choose(-1)

    def jog_number(self, number: int) -> None:
        """Choose joint 1 to 6 of the arm being jogged."""
        self.turn.choose_number(number)

    def jog_bigger(self) -> None:
        self.turn.resize(+1)

    def jog_smaller(self) -> None:
        self.turn.resize(-1)

    # --- the screen -------------------------------------------------------------------------------

    def help(self) -> None:
        self.desk.open(Help(self.desk.view.look))

    def command_palette(self) -> None:
        self.desk.palette()

    def quit(self) -> None:
        self.recording.leave()

    # --- what comes back --------------------------------------------------------------------------

    def ended(self, outcome: Outcome) -> None:
        """A request was answered."""
        if outcome.tag == self.desk.view.pending:
            self.desk.change(pending="")
        error = outcome.error
        if outcome.tag == CHECKS and self.arming is not None:
            status = self.desk.view.status
            checks = checks_of(outcome) or (status.arming if status else ())
            self.arming.show(checks, running=False, refusal=str(error) if error else "")
            return
        if isinstance(outcome.request, messages.OpenSession | messages.CloseSession):
            self.recording.ended(outcome)
        if error is not None:
            self.desk.refuse(error)
            return
        if isinstance(outcome.request, messages.Teleop) and outcome.request.source == "keyboard":
            version = outcome.data.get("handover_version")
            self.turn.promised(version if isinstance(version, int) else None)
        words = recording.done_words(outcome.request, outcome.data)
        if words:
            self.desk.note(words)
        if outcome.tag in (LOADING, CONSENT):
            self.desk.note(f"{outcome.tag}: done")

    def seen(self, status: messages.Status) -> None:
        """A state came."""
        self.turn.seen(status)
        self.recording.seen(status.recording)
        if self.arming is not None and self.arming.checking and status.state == "arming":
            self.arming.show(status.arming, running=True)

    def _send(self, doing: str, request: messages.AnyRequest, timeout_s: float = 5.0) -> bool:
        sent = self.desk.send(doing, request, timeout_s)
        if not sent:
            self.desk.note(f"{doing}: key dropped, another request is still under way", "warn")
        return sent


def checks_of(outcome: Outcome) -> tuple[messages.Check, ...]:
    """The arming list in a reply; empty when it carries none."""
    return msgspec.convert(outcome.data.get("checks", ()), tuple[messages.Check, ...])
