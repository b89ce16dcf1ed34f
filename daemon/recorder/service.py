"""The recorder in real time: commands from the supervisor, rows as their ticks come, publishing.

One loop that waits neither for a disk nor for an encoder: those have threads of their own, and the
rings of ticks (a minute) and pictures (two seconds) carry it over a moment without the processor.
"""

import logging
from collections import deque
from pathlib import Path
from typing import Any

from config.schema import Config
from daemon.recorder import channel
from daemon.recorder.afterwards import Afterwards, Answer
from daemon.recorder.ending import Ending
from daemon.recorder.gathered import Offer
from daemon.recorder.intake import Intake
from daemon.recorder.labels import said
from daemon.recorder.left import entries
from daemon.recorder.pacing import Pace
from daemon.recorder.past import Past
from daemon.recorder.plan import Plan
from daemon.recorder.remarks import put_mark
from daemon.recorder.running import Running
from daemon.recorder.saving import Saving, three_parts
from daemon.recorder.schema import Manifest, check_task
from daemon.recorder.session import Session
from daemon.recorder.shelf import Published
from daemon.recorder.shown import Shown
from daemon.recorder.specs import Specs
from robotd.clock import Clock
from robotd.errors import EncoderError, RobotdError, StateError
from robotd.messages import RecordingStatus

log = logging.getLogger(__name__)

_AFTER_ENDING = (channel.Undo, channel.SetLabel, channel.Close, channel.Decide, channel.Open)
"""Commands about kept episodes: they wait for those that are still being closed."""
_RESTARTED = "control was started again while it recorded"


class RecorderService:
    """The recorder of one robot. `step` is called in a loop; it never waits."""

    def __init__(
        self,
        config: Config,
        runtime: Path,
        session: Session,
        clock: Clock,
        answer: Answer,
    ) -> None:
        self._config = config
        self.specs = Specs(config, runtime)
        self._answer = answer
        self._intake = Intake(config, self.specs.body, runtime, clock)
        self._clock = clock
        self._plan: Plan | None = None
        self._policy_sha256 = ""  # of the loaded policy, for episodes that begin by themselves
        self._closings: list[tuple[int, Plan]] = []  # asked to close; answered when all is saved
        self._trouble: RobotdError | None = None  # with the rows of the newest episode
        self._offer = Offer()
        self._session = session
        self._ending = Ending(session)
        self._later: deque[channel.ToRecorder] = deque()
        self._past = Past(session, self._intake, 0.0)
        self._running = Running(session, self._intake, config.recording.fps, self._note, self._line)
        self._shown = Shown(config, session, self._intake, clock)
        self._saving = Saving(self._session, self._saved)
        self._afterwards = Afterwards(session, self._saving, answer)
        self._saving.recover()

    # --- commands ---------------------------------------------------------------------------------

    def handle(self, command: channel.ToRecorder) -> None:
        """Carry out one command; it is answered now or, where it has to be saved first, then."""
        if not self._nothing_ends and isinstance(command, _AFTER_ENDING):
            self._later.append(command)
            return
        try:
            data = self._do(command)
        except RobotdError as error:
            self._answer(channel.refused(command.id, error))
            return
        if data is not None:
            self._answer(channel.Done(id=command.id, data=data))

    def _do(self, command: channel.ToRecorder) -> dict[str, Any] | None:
        match command:
            case channel.Open():
                return self._open(command)
            case channel.Close():
                self._close(command.id)
            case channel.SetTask(task=task):
                check_task(task)
                self._session_plan().task = task
                return {}
            case channel.Start(policy_sha256=policy_sha256):
                return self._start(policy_sha256)
            case channel.Keep(success=success):
                self._keep(command.id, success)
            case channel.Discard(again=again):
                return self._discard(again)
            case channel.Mark(name=name):
                return put_mark(self._session, self._intake, name)
            case channel.SetLabel():
                self._afterwards.label(self._session_plan(), command)
            case channel.KeepLast():
                self._keep_last(command)
            case channel.SetPolicy(sha256=sha256):
                self._policy_sha256 = sha256
            case channel.Undo():
                self._afterwards.undo(self._session_plan(), command.id)
            case channel.ListInterrupted():
                return {"interrupted": entries(self._session, self._saving.unsaved)}
            case channel.Decide():
                self._afterwards.decide(command, lambda: self._plan)
        return None

    def _open(self, command: channel.Open) -> dict[str, Any]:
        if self._plan is not None and self._session.recording is not None:
            raise StateError(
                f"An episode is being recorded into {self._plan.spec.repo_id}.",
                "Another client began it, and it was neither kept nor discarded.",
                "End it where it was begun, or in robotd tui: → keeps it, Backspace throws it away.",
            )
        spec = self.specs.wished(command.dataset, command.task, command.units)
        self._session.check(spec)
        self.specs.check_cameras(spec)
        # A session that was left open ends here; what it kept is published in its turn.
        pace = Pace(command.reset_s, command.auto)
        self._plan = Plan(spec, command.episodes, command.episode_limit_s, pace)
        self._past.close()
        self._past = Past(self._session, self._intake, command.keep_last_s)
        self._trouble = None
        waiting = entries(self._session, self._saving.unsaved)
        root = spec.dataset_root
        return {"dataset": command.dataset, "root": root, "interrupted": len(waiting)}

    def _start(self, policy_sha256: str) -> dict[str, Any]:
        plan = self._session_plan()
        if self._session.recording is not None:
            raise StateError(
                "An episode is already being recorded.",
                "It was neither kept nor discarded.",
                "Keep (→) or discard (←) it first.",
            )
        self._intake.check()
        spec = self.specs.begun(plan, policy_sha256)
        self.specs.check_cameras(spec)
        self._ending.check()
        manifest = self._session.start(spec, plan.limit_s)
        self._past.episode_begins()
        self._intake.begin()
        plan.pace.started()
        self._trouble = None
        return {"journal": manifest.journal_id}

    def _keep(self, command_id: int, success: bool | None) -> None:
        plan = self._session_plan()
        self._running.drain(plan.limit_s)
        rows, before = self._session.rows, self._session.recording
        label = None if before is None else said(before, success, None).label

        def ended(manifest: Manifest) -> None:
            if manifest.kept:
                self._saving.publish()
            data = {"journal": manifest.journal_id, "frames": rows, "kept": manifest.kept}
            self._answer(channel.Done(id=command_id, data=data))

        def failed(error: RobotdError) -> None:
            if before is not None and rows:
                plan.take_back(before.journal_id)
                self._line(before.journal_id, rows, "interrupted", error.what)
            self._note(error)
            self._answer(channel.refused(command_id, error))

        self._ending.keep(label, ended, failed)
        if before is None or label is None:
            return
        outcome = {True: "success", False: "fail", None: "kept"}[label.success]
        if rows:
            plan.kept.append(before.journal_id)
        plan.pace.kept(self._clock.now_ns(), plan.more)
        note, marks = "" if rows else "no rows", len(before.marks)
        self._line(before.journal_id, rows, outcome if rows else "discarded", note, marks)

    def _keep_last(self, command: channel.KeepLast) -> None:
        plan = self._session_plan()

        def kept(manifest: Manifest) -> None:
            plan.kept.append(manifest.journal_id)
            outcome = {True: "success", False: "fail", None: "kept"}[manifest.label.success]
            seconds = manifest.rows / manifest.spec.fps
            plan.note(manifest.journal_id, manifest.rows, seconds, outcome, "", 0, 0)
            self._saving.publish()
            data = {"journal": manifest.journal_id, "frames": manifest.rows}
            self._answer(channel.Done(id=command.id, data=data))

        def failed(error: RobotdError) -> None:
            self._note(error)
            self._answer(channel.refused(command.id, error))

        self._past.keep(command.seconds, command.success, plan.task, kept, failed)

    def _discard(self, again: bool) -> dict[str, Any]:
        plan = self._session_plan()
        rows = self._session.rows
        manifest = self._session.discard()
        self._line(manifest.journal_id, rows, "discarded", "")
        data: dict[str, Any] = {"journal": manifest.journal_id, "frames": rows, "next": ""}
        now_ns = self._clock.now_ns()
        if not again:
            plan.pace.discarded(now_ns)
        elif plan.pace.auto:
            plan.pace.redone(now_ns)
        else:
            data["next"] = self._begin_by_itself()
        return data

    def _begin_by_itself(self) -> str:
        """Begin an episode without a key; its journal, or none where it waits for one after all."""
        try:
            return str(self._start(self._policy_sha256)["journal"])
        except RobotdError as error:
            self._session_plan().pace.wait_for_a_key()
            self._note(error)
            return ""

    def _close(self, command_id: int) -> None:
        plan = self._session_plan()
        if self._session.recording is not None:
            self._running.drain(plan.limit_s)
            self._running.interrupt("the session was closed while it recorded")
        self._saving.publish()  # what failed may work by now: the disk was full, the folder away
        self._closings.append((command_id, plan))
        self._past.close()
        self._plan = None

    def _answer_closings(self) -> None:
        """Everything kept is where it belongs, or it is known why not."""
        for command_id, plan in self._closings:
            unsaved = self._saving.unsaved
            failure = next((unsaved[each] for each in plan.kept if each in unsaved), None)
            data = {
                "root": plan.spec.dataset_root,
                "kept": len(plan.kept),
                "published": len(plan.published),
                "flagged": plan.flagged,
            }
            self._answer(channel.Done(id=command_id, data=data | three_parts(failure)))
        self._closings.clear()

    def _session_plan(self) -> Plan:
        if self._plan is None:
            raise StateError(
                "No recording session is open.",
                "Nobody said yet which dataset the episodes go to, or it was closed.",
                'Open one: robotd record --dataset NAME --task "…"',
            )
        return self._plan

    # --- the loop ---------------------------------------------------------------------------------

    def step(self) -> None:
        """Take what is due: pictures, rows, finished publishing, the time limit."""
        self._ending.collect()
        self._past.collect()
        while self._later and self._nothing_ends:
            self.handle(self._later.popleft())
        self._saving.collect()
        if self._closings and self._saving.idle:
            self._answer_closings()
        self._intake.sample_world()
        if self._session.recording is None:
            self._go_on()
        if self._session.recording is None:
            self._follow_past()
            return
        limit_s = None if self._plan is None else self._plan.limit_s
        self._running.take(limit_s)
        if self._intake.broken and self._session.recording is not None:
            self._running.drain(limit_s)
            self._running.interrupt(_RESTARTED)

    def _follow_past(self) -> None:
        plan = self._plan
        if plan is not None:
            error = self._past.follow(
                lambda: self.specs.begun(plan, self._policy_sha256), plan.task
            )
            if error is not None:
                self._note(error)

    def _go_on(self) -> None:
        """Begin the next episode when its countdown is over and somebody has the arm."""
        plan = self._plan
        if plan is None or not plan.pace.due(self._clock.now_ns()):
            return
        if self._intake.moving() and not self._ending.busy:
            self._begin_by_itself()

    def _saved(self, result: Published) -> None:
        if result.gathered is not None:
            self._offer.saved(result.gathered)
        for plan in (self._plan, *(plan for _, plan in self._closings)):
            if plan is not None and result.commit is not None:
                plan.saved(result.journal_id, result.commit.episode_index, result.verdict)
            elif plan is not None:
                plan.held_back(result.journal_id, result.verdict)

    def _note(self, error: RobotdError) -> None:
        if isinstance(error, EncoderError):
            self.specs.encoder_failed(error)
        if self._trouble is None or error.what != self._trouble.what:
            log.error("%s", error)
        self._trouble = error

    # --- state ------------------------------------------------------------------------------------

    def _line(self, journal_id: str, rows: int, outcome: str, note: str, marks: int = 0) -> None:
        self._saving.tidy()
        if self._plan is not None:
            seconds, intake = rows / self._config.recording.fps, self._intake
            self._plan.note(
                journal_id,
                rows,
                seconds,
                outcome,
                note,
                intake.gaps,
                intake.repeated + self._session.lagged,
                marks,
                intake.takeovers,
            )

    def status(self) -> RecordingStatus:
        """The state as clients see it."""
        # While a closed session is being saved, what it became is still shown.
        plan = self._plan or (self._closings[-1][1] if self._closings else None)
        error = self._trouble or next(iter(self._saving.unsaved.values()), None)
        offer = "" if self._session.recording is not None else self._offer.sentence()
        return self._shown.status(self._phase(), plan, error, self.specs, self._past.rows, offer)

    @property
    def idle(self) -> bool:
        """Whether nothing is being saved and every answer was given."""
        return self._saving.idle and self._nothing_ends and not self._closings

    @property
    def _nothing_ends(self) -> bool:
        """Whether every kept episode is closed and whole, or has failed to be."""
        return self._ending.idle and self._past.idle

    def _phase(self) -> str:
        if self._session.recording is not None:
            return "recording"
        if self._plan is not None:
            return "ready"  # publishing beside an open session stops nobody from recording on
        return "closed" if self.idle else "saving"

    def close(self) -> None:
        """End: an open episode is whole and will be offered; what was kept is published."""
        if self._session.recording is not None:
            self._running.drain(None if self._plan is None else self._plan.limit_s)
        self._ending.close()
        self._past.close()
        self._saving.close()
        self._answer_closings()
        self._session.close()
