"""The recorder in real time: rows as their ticks come, commands from the supervisor, publishing.

One loop that never waits for a disk longer than an encoder does; the rings of ticks (a minute) and
pictures (two seconds) are its spill. A row is made when each camera has shown a picture later than
the row, so that the newest one before it is known, or after a short wait without one.
"""

import logging
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from config.schema import Config
from daemon.recorder import channel
from daemon.recorder.catalog import dataset_root
from daemon.recorder.dataset import check_dataset
from daemon.recorder.follow import FrameFollower, RowTick, TickFollower, WorldFollower
from daemon.recorder.plan import Plan
from daemon.recorder.rows import JOINTS_PER_ARM, Body, make_row
from daemon.recorder.schema import Label, Manifest, check_task
from daemon.recorder.session import Published, Session
from daemon.recorder.worker import Worker
from robotd.clock import NS_PER_S, Clock
from robotd.errors import CameraError, DatasetError, RobotdError, StateError
from robotd.frames import PICTURE_WAIT_NS, Frame
from robotd.messages import RecordingStatus
from robotd.paths import lerobot_home

log = logging.getLogger(__name__)

_TICKS_STALE_NS = NS_PER_S
_ROW_BYTES_PER_PIXEL = 0.033  # two 640x480 cameras at 30 fps write about 0.6 MB/s

type Answer = Callable[[channel.FromRecorder], None]


class RecorderService:
    """The recorder of one robot. `step` is called in a loop; it never waits."""

    def __init__(
        self,
        config: Config,
        runtime: Path,
        open_session: Callable[[], Session],
        clock: Clock,
        answer: Answer,
    ) -> None:
        self._config = config
        self._body = Body.of(config)
        self._clock = clock
        self._answer = answer
        self._open_session = open_session
        self._worker = Worker()
        joints = JOINTS_PER_ARM * len(config.arms)
        self._ticks = TickFollower(runtime / "ticks", joints, self._body.ticks_per_row)
        self._cameras = {name: FrameFollower(runtime / f"frames-{name}") for name in config.cameras}
        self._world = WorldFollower(runtime / "plant" / "environment_state")
        self._waiting: deque[RowTick] = deque()
        self._plan: Plan | None = None
        self._last_capture_ns: dict[str, int] = {}
        self._pictures_before: dict[str, Frame] = {}
        self._gaps = 0
        self._repeated = 0
        self._error = ""
        self._closing = 0  # the id of a Close that waits for publishing
        self._session = open_session()
        self._recover()

    # --- commands ---------------------------------------------------------------------------------

    def handle(self, command: channel.ToRecorder) -> None:
        """Carry out one command; it is answered now or, for `Close` and `Undo`, when it is done."""
        try:
            data = self._do(command)
        except RobotdError as error:
            self._answer(_refused(command.id, error))
            return
        if data is not None:
            self._answer(channel.Done(id=command.id, data=data))

    def _do(self, command: channel.ToRecorder) -> dict[str, Any] | None:
        match command:
            case channel.Open():
                return self._open(command)
            case channel.Close():
                self._close(command.id)
                return None
            case channel.SetTask(task=task):
                check_task(task)
                self._session_plan().task = task
                return {}
            case channel.Start(policy_sha256=policy_sha256):
                return self._start(policy_sha256)
            case channel.Keep(success=success):
                return self._keep(Label(success=success))
            case channel.Discard():
                return self._discard()
            case channel.Undo():
                self._undo(command.id)
                return None

    def _open(self, command: channel.Open) -> dict[str, Any]:
        if self._plan is not None:
            raise StateError(
                f"A session is open: it records into {self._plan.spec.repo_id}.",
                "It was not closed.",
                "Close it first (robotd record ends it; q in the record screen).",
            )
        root = dataset_root(lerobot_home(), command.dataset)
        spec = self._body.episode_spec(str(root), command.dataset, command.task, "")
        check_task(command.task)
        check_dataset(root, spec)
        self._plan = Plan(spec, command.episodes, command.episode_limit_s)
        self._error = ""
        return {"dataset": command.dataset, "root": str(root)}

    def _start(self, policy_sha256: str) -> dict[str, Any]:
        plan = self._session_plan()
        if self._session.recording is not None:
            raise StateError(
                "An episode is already being recorded.",
                "It was neither kept nor discarded.",
                "Keep (→) or discard (←) it first.",
            )
        self._check_inputs()
        spec = self._body.episode_spec(
            plan.spec.dataset_root, plan.spec.repo_id, plan.task, policy_sha256
        )
        manifest = self._session.start(spec)
        self._ticks.begin()
        self._waiting.clear()
        self._last_capture_ns = {}
        self._pictures_before = {}
        self._gaps = self._repeated = 0
        self._error = ""
        return {"journal": manifest.journal_id}

    def _check_inputs(self) -> None:
        now_ns = self._clock.now_ns()
        tick = self._ticks.latest()
        if tick is None or now_ns - tick["deadline_ns"] > _TICKS_STALE_NS:
            raise StateError(
                "The control loop gives no ticks.",
                "It is starting, or it ended.",
                "Look: robotd status; robotd logs control.",
            )
        for name, camera in self._cameras.items():
            wanted = self._config.cameras[name]
            if camera.newest_at(now_ns) is None:
                raise CameraError(
                    f"Camera {name} has given no picture.",
                    "It is unplugged, or another program has it.",
                    f"Look: robotd logs camera-{name}. Recording needs every camera.",
                )
            if camera.size() != (wanted.width, wanted.height):
                raise CameraError(
                    f"Camera {name} gives {camera.size()} pixels, not "
                    f"{(wanted.width, wanted.height)}.",
                    "The device has no such mode.",
                    f"Set cameras.{name}.width and height to a mode that it has.",
                )

    def _keep(self, label: Label) -> dict[str, Any]:
        plan = self._session_plan()
        self._drain()
        rows = self._session.rows
        manifest = self._session.keep(label)
        outcome = {True: "success", False: "fail", None: "kept"}[label.success]
        self._line(rows, outcome if manifest.kept else "discarded", manifest.reason)
        if manifest.kept:
            plan.kept += 1
            plan.undo.append(manifest.journal_id)
            self._publish()
        return {"journal": manifest.journal_id, "frames": rows, "kept": manifest.kept}

    def _discard(self) -> dict[str, Any]:
        self._session_plan()
        rows = self._session.rows
        manifest = self._session.discard()
        self._line(rows, "discarded", "")
        return {"journal": manifest.journal_id, "frames": rows}

    def _undo(self, command_id: int) -> None:
        plan = self._session_plan()
        if self._session.recording is not None or not plan.undo:
            raise StateError(
                "There is nothing to undo.",
                "An episode is being recorded, or none was kept in this session.",
                "Keep or discard the running episode first.",
            )
        session, root = self._session, Path(plan.spec.dataset_root)

        def finished(journal_id: str | None, error: RobotdError | None) -> None:
            if error is not None:
                self._answer(_refused(command_id, error))
                return
            plan.take_back()
            self._answer(channel.Done(id=command_id, data={"journal": journal_id}))

        self._worker.post(lambda: session.undo(root), finished)

    def _close(self, command_id: int) -> None:
        self._session_plan()
        if self._closing:
            raise StateError(
                "The session is being closed already.", "It was asked for twice.", "Wait."
            )
        if self._session.recording is not None:
            self._drain()
            self._line(self._session.rows, "interrupted", "the session was closed")
        self._closing = command_id

    def _finish_close(self) -> None:
        """Every kept episode is where it belongs: end the core's session too, and begin a new one,
        which finds what was left undecided."""
        self._session.close()
        self._session = self._open_session()
        self._recover()
        plan, self._plan = self._session_plan(), None
        command_id, self._closing = self._closing, 0
        data = {"episodes": plan.kept, "root": plan.spec.dataset_root, "error": self._error}
        self._answer(channel.Done(id=command_id, data=data))

    def _session_plan(self) -> Plan:
        if self._plan is None:
            raise StateError(
                "No recording session is open.",
                "Nobody said yet which dataset the episodes go to.",
                'Open one: robotd record --dataset NAME --task "…"',
            )
        return self._plan

    # --- the loop ---------------------------------------------------------------------------------

    def step(self) -> None:
        """Take what is due: pictures, rows, finished publishing, the time limit."""
        self._worker.collect()
        if self._closing and self._worker.idle:
            self._finish_close()
        if self._config.recording.environment_state:
            self._world.sample()
        if self._session.recording is None or self._closing:
            return
        self._waiting.extend(self._ticks.rows())
        now_ns = self._clock.now_ns()
        while self._waiting and self._settled(self._waiting[0], now_ns):
            self._append(self._waiting.popleft())

    def _settled(self, row: RowTick, now_ns: int) -> bool:
        deadline_ns = int(row.tick["deadline_ns"])
        if now_ns - deadline_ns > PICTURE_WAIT_NS:
            return True
        return all(camera.passed(deadline_ns) for camera in self._cameras.values())

    def _drain(self) -> None:
        """Make the rows that are due now, with the pictures that are there."""
        self._waiting.extend(self._ticks.rows())
        while self._waiting:
            self._append(self._waiting.popleft())

    def _append(self, row_tick: RowTick) -> None:
        self._gaps += row_tick.rows_lost
        deadline_ns = int(row_tick.tick["deadline_ns"])
        pictures: dict[str, Frame] = {}
        for name, camera in self._cameras.items():
            frame = camera.newest_at(deadline_ns) or self._pictures_before.get(name)
            if frame is None:
                self._gaps += 1  # the camera was replaced in the middle and has not started again
                return
            pictures[name] = frame
        self._pictures_before = pictures
        episode = self._session.recording
        if episode is None or self._plan is None:
            return
        limit_s = self._plan.limit_s
        if limit_s is not None and self._session.rows >= limit_s * self._config.recording.fps:
            return  # the episode has its length; it waits for keep or discard
        world = None
        if self._config.recording.environment_state:
            world = self._world.newest_at(deadline_ns)
        task = episode.spec.task
        row, frames = make_row(
            self._body, row_tick.tick, task, pictures, self._last_capture_ns, world
        )
        self._last_capture_ns = dict(row.evidence.capture_ns)
        self._repeated += sum(row.evidence.repeated.values())
        rows = self._session.rows
        try:
            self._session.append(row, frames)
        except DatasetError as error:
            self._trouble(error)
            if self._session.rows == 0:  # it was ended
                self._line(rows, "interrupted", error.what)
            else:
                self._gaps += 1

    # --- publishing -------------------------------------------------------------------------------

    def _recover(self) -> None:
        found = self._session.recover()
        for manifest in found.offered:
            log.warning("episode %s is offered: %s", manifest.journal_id, manifest.reason)
        for name in found.unreadable:
            log.error("%s", name)
        if found.pending:
            self._publish()

    def _publish(self) -> None:
        self._worker.post(self._session.publish_pending, self._published)

    def _published(self, results: list[Published] | None, error: RobotdError | None) -> None:
        if error is not None:
            self._trouble(error)
        for result in results or ():
            if result.error is not None:
                self._trouble(result.error)
            elif result.commit is not None:
                log.info("episode %d saved", result.commit.episode_index)

    def _trouble(self, error: RobotdError) -> None:
        if error.what != self._error:
            log.error("%s", error)
        self._error = error.what

    # --- state ------------------------------------------------------------------------------------

    def _line(self, rows: int, outcome: str, note: str) -> None:
        if self._plan is not None:
            seconds = rows / self._config.recording.fps
            self._plan.note(rows, seconds, outcome, note, self._gaps, self._repeated)

    def status(self) -> RecordingStatus:
        """The state as clients see it."""
        plan = self._plan
        recording: Manifest | None = self._session.recording
        bytes_per_s = _ROW_BYTES_PER_PIXEL * sum(
            camera.width * camera.height * self._config.recording.fps
            for camera in self._config.cameras.values()
        )
        # Publishing beside an open session stops nobody from recording on.
        saving = self._closing or (plan is None and not self._worker.idle)
        return RecordingStatus(
            phase="recording"
            if recording is not None
            else "saving"
            if saving
            else "closed"
            if plan is None
            else "ready",
            dataset="" if plan is None else plan.spec.repo_id,
            root="" if plan is None else plan.spec.dataset_root,
            task="" if plan is None else plan.task,
            episodes_wanted=0 if plan is None else plan.episodes,
            episodes_kept=0 if plan is None else plan.kept,
            frames=self._session.rows,
            gaps=self._gaps,
            repeated=self._repeated,
            elapsed_s=self._session.rows / self._config.recording.fps,
            limit_s=None if plan is None else plan.limit_s,
            disk_left_s=self._session.minutes_left(max(bytes_per_s, 1e4)) * 60.0,
            last_error=self._error,
            episodes=() if plan is None else tuple(plan.lines),
        )

    def close(self) -> None:
        """End: an open episode is whole and will be offered; what was kept is published."""
        if self._session.recording is not None:
            self._drain()
        self._worker.close()
        self._worker.collect()
        self._session.close()


def _refused(command_id: int, error: RobotdError) -> channel.Refused:
    return channel.Refused(
        id=command_id,
        kind=type(error).__name__,
        what=error.what,
        likely=error.likely,
        do=error.do,
    )
