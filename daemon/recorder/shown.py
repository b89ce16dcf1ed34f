"""What clients are told of a recording session: phase, counts, what is left of the disk, warnings."""

from pathlib import Path

from config.schema import Config
from daemon.recorder.cautions import cautions
from daemon.recorder.disk import guessed_bytes_per_s
from daemon.recorder.intake import Intake
from daemon.recorder.plan import Plan
from daemon.recorder.session import Session
from daemon.recorder.specs import Specs
from robotd.clock import Clock
from robotd.errors import RobotdError
from robotd.messages import RecordingStatus
from robotd.paths import lerobot_home


class Shown:
    """Makes the status of one recorder from what its parts say. Changes nothing."""

    def __init__(self, config: Config, session: Session, intake: Intake, clock: Clock) -> None:
        self._config = config
        self._session = session
        self._intake = intake
        self._clock = clock

    def status(
        self,
        phase: str,
        plan: Plan | None,
        error: RobotdError | None,
        specs: Specs,
        held_rows: int | None,
        offer: str,
    ) -> RecordingStatus:
        """The state now. `plan` is the open session, or the closed one that is being saved;
        `error` the newest trouble; `held_rows` what could be kept of the past, None without;
        `offer` what could be done while nothing is recorded."""
        session, intake, fps = self._session, self._intake, self._config.recording.fps
        left_s = self._left_s(plan)
        low = left_s is not None and left_s < self._config.recording.warn_left_min * 60.0
        behind_s, lagged = session.behind_s, session.lagged
        encoders = specs.encoders
        said = cautions(self._config.recording, encoders, low, behind_s, lagged)
        episode, pace = session.recording, None if plan is None else plan.pace
        return RecordingStatus(
            phase=phase,
            dataset="" if plan is None else plan.spec.repo_id,
            root="" if plan is None else plan.spec.dataset_root,
            task="" if plan is None else plan.task,
            episodes_wanted=0 if plan is None else plan.episodes,
            episodes_kept=0 if plan is None else len(plan.kept),
            episodes_published=0 if plan is None else len(plan.published),
            frames=session.rows,
            gaps=intake.gaps,
            repeated=intake.repeated + lagged,
            elapsed_s=session.rows / fps,
            limit_s=None if plan is None else plan.limit_s,
            disk_left_s=left_s,
            disk_low=low,
            encoder=encoders.encoder.name,
            encoder_note=encoders.note,
            encoder_behind_s=round(behind_s, 1),
            lagged=lagged,
            last_error="" if error is None else error.what,
            last_error_likely="" if error is None else error.likely,
            last_error_do="" if error is None else error.do,
            episodes=() if plan is None else plan.lines,
            auto=pace is not None and pace.auto,
            goes_on=pace is not None and pace.goes_on,
            reset_left_s=None if pace is None else pace.left_s(self._clock.now_ns()),
            held_s=None if held_rows is None else held_rows / fps,
            marks=0 if episode is None else len(episode.marks),
            takeovers=0 if episode is None else intake.takeovers,
            said="" if episode is None else episode.label.note,
            warnings=() if plan is None else (*specs.warnings, *said),
            offer=offer,
        )

    def _left_s(self, plan: Plan | None) -> float | None:
        cameras = self._config.cameras.values()
        pixels = sum(camera.width * camera.height for camera in cameras)
        root = lerobot_home() if plan is None else Path(plan.spec.dataset_root)
        guess = guessed_bytes_per_s(pixels, self._config.recording.fps)
        return self._session.left_s(root, guess)
