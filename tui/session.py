"""The recording session from this screen's side: opening, closing, and what becomes of it when the
person leaves.

A session that this screen opened is this screen's to close: leaving closes it while it is idle.
One that somebody else opened (robotd record) is left alone.
"""

from typing import TYPE_CHECKING

from robotd import messages
from robotd.messages import RecordingStatus
from tui import pace
from tui.dialogs import Confirm, Form, FormField
from tui.lanes import Outcome

if TYPE_CHECKING:
    from tui.acts import Desk

OPENING, CLOSING = "opening the dataset", "closing the dataset"
OPEN_TIMEOUT_S = 60.0
CLOSE_TIMEOUT_S = 125.0
"""Closing waits until every kept episode is in the dataset; the daemon allows it two minutes."""

LEAVE_WAIT_S = 1.5
"""How long leaving waits for the answer to a close. The daemon goes on with it anyway."""


DECIDE = "robotd dataset recover lists them and decides."


class Session:
    """Opens and closes the session, and knows whose it is."""

    def __init__(self, desk: "Desk") -> None:
        self._desk = desk
        self._ours = ""
        self._pace = ""
        self._open_next: messages.OpenSession | None = None
        self._leaving = False
        self._before = RecordingStatus()
        self._asked_to_close = False

    # --- opening ----------------------------------------------------------------------------------

    def ask(self) -> None:
        """Ask for dataset, task and count; an idle session is closed for it first."""
        view = self._desk.view
        now = self._now()
        busy = self._busy(now)
        if busy:
            self._desk.note(f"open dataset: key dropped, {busy}", "warn")
            return
        known = now if now.dataset else self._before
        title = "open a dataset"
        if now.phase == "ready":
            title = f"open another dataset (closes {now.dataset})"
        fields = [
            FormField("dataset", "Dataset", known.dataset or "local/pick-place"),
            FormField("task", "Task", known.task or "pick up the block and place it in the bowl"),
            FormField("episodes", "Episodes", str(known.episodes_wanted or 50)),
            FormField("pace", pace.LABEL, self._pace, pace.HINT),
        ]
        self._desk.open(Form(title, view.look, fields), self._answered)

    def _answered(self, answer: dict[str, str] | None) -> None:
        if answer is None:
            return
        count = answer["episodes"]
        if not answer["dataset"] or not answer["task"] or not count.isdecimal():
            self._desk.note("a dataset needs a name, a task and a count", "warn", "o asks again.")
            return
        chosen = pace.parse(answer["pace"])
        if chosen is None:
            self._desk.note(f"{answer['pace']} {pace.COMPLAINT}", "warn", "o asks again.")
            return
        self._pace = answer["pace"]
        request = messages.OpenSession(
            dataset=answer["dataset"],
            task=answer["task"],
            episodes=int(count),
            episode_limit_s=chosen.episode_s,
            reset_s=chosen.reset_s,
            auto=chosen.auto,
            keep_last_s=chosen.keep_last_s,
        )
        if self._now().phase == "closed":
            self._send(OPENING, request, OPEN_TIMEOUT_S)
        elif self.close():
            self._open_next = request

    # --- closing ----------------------------------------------------------------------------------

    def close(self) -> bool:
        """Close the session if it is idle, or say why not; returns whether that was sent."""
        now = self._now()
        why = "no dataset is open" if now.phase == "closed" else self._busy(now)
        if why:
            self._desk.note(f"close dataset: key dropped, {why}", "warn")
            return False
        self._asked_to_close = self._send(CLOSING, messages.CloseSession(), CLOSE_TIMEOUT_S)
        return self._asked_to_close

    def leave(self) -> None:
        """Leave the screen: an idle session of ours is closed, an unfinished one is asked about."""
        view = self._desk.view
        if self._leaving or view.status is None or view.lost:
            self._desk.leave()
            return
        now = self._now()
        question = ""
        if now.phase == "recording":
            question = (
                "An episode is being recorded. Leaving changes nothing on the robot: the daemon "
                "goes on recording until somebody stops it."
            )
        elif now.phase == "saving" or view.pending:
            question = (
                f"Not finished: {view.pending or 'saving'}. The daemon finishes it without this "
                "screen; a dataset that is open stays open."
            )
        if question:
            self._desk.open(Confirm("leave?", view.look, question, "leaves"), self._leave)
        elif now.phase == "ready" and self._ours == now.dataset and self.close():
            self._leaving = True
            self._desk.note(f"closing {now.dataset}, then leaving (q leaves now)")
            self._desk.later(LEAVE_WAIT_S, self._desk.leave)
        else:
            self._desk.leave()

    def _leave(self, yes: bool | None) -> None:
        if yes:
            self._desk.leave()

    # --- what comes back --------------------------------------------------------------------------

    def ended(self, outcome: Outcome) -> None:
        """A request to open or close was answered."""
        if outcome.error is not None:
            self._open_next = None
            self._leaving = False
            self._asked_to_close = False
            return
        if isinstance(outcome.request, messages.OpenSession):
            self._ours = outcome.request.dataset
            root, waiting = outcome.data.get("root", ""), outcome.data.get("interrupted", 0)
            if waiting:
                words = f"{self._ours} is open; {waiting} interrupted or unsaved episodes wait"
                self._desk.note(words, "warn", DECIDE)
            else:
                self._desk.note(f"{self._ours} is open", do=f"It lies in {root}" if root else "")
        elif isinstance(outcome.request, messages.CloseSession):
            self._closed(outcome)

    def _closed(self, outcome: Outcome) -> None:
        self._ours = ""
        data = outcome.data
        kept, saved = data.get("kept", 0), data.get("published", 0)
        if data.get("error"):
            words = f"dataset closed, {saved} of {kept} kept episodes are in it: {data['error']}"
            likely, do = data.get("error_likely", ""), data.get("error_do", "")
            self._desk.note(words, "bad", do, likely)
        else:
            words = f"dataset closed, {kept} episode{'' if kept == 1 else 's'} added"
            root = data.get("root", "")
            self._desk.note(words, do=f"It lies in {root}" if root else "")
        if self._leaving:
            self._desk.leave()
        elif self._open_next is not None:
            request, self._open_next = self._open_next, None
            self._send(OPENING, request, OPEN_TIMEOUT_S)

    def seen(self, now: RecordingStatus) -> None:
        """A state came. A session that ends without anybody here asking for it is said aloud."""
        before = self._before
        if now.phase != "closed":
            self._before = now
            return
        if before.phase != "closed" and before.dataset and not self._asked_to_close:
            self._lost(before, now)
        self._asked_to_close = False
        # What was open last is offered again when the next one is asked for.
        self._before = RecordingStatus(
            dataset=before.dataset, task=before.task, episodes_wanted=before.episodes_wanted
        )

    def _lost(self, before: RecordingStatus, now: RecordingStatus) -> None:
        self._ours = ""
        if now.last_error:
            cut = before.phase == "recording"
            episode = f"episode {before.episodes_kept + 1} was cut off: " if cut else ""
            kept = "What was recorded is on the disk: robotd dataset recover. " if cut else ""
            do = f"{kept}o opens the dataset again."
            self._desk.note(f"{episode}{now.last_error}", "bad", do, now.last_error_likely)
        else:
            self._desk.note(f"{before.dataset} was closed from elsewhere", "warn", "o opens one.")

    def _now(self) -> RecordingStatus:
        status = self._desk.view.status
        return RecordingStatus() if status is None else status.recording

    def _busy(self, now: RecordingStatus) -> str:
        """Why the session cannot be closed or changed now; empty when it can."""
        if self._desk.view.lost or self._desk.view.status is None:
            return "the daemon does not answer"
        if now.phase == "recording":
            return "an episode is open (keep or redo it first)"
        if now.phase == "saving":
            return "an episode is being saved"
        return f"still {self._desk.view.pending}" if self._desk.view.pending else ""

    def _send(self, doing: str, request: messages.AnyRequest, timeout_s: float) -> bool:
        sent = self._desk.send(doing, request, timeout_s)
        if sent:
            self._desk.change(pending=doing)
        else:
            self._desk.note(f"{doing}: key dropped, another request is still under way", "warn")
        return sent
