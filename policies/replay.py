"""The replay process: `python -m policies.replay --runtime DIR --dataset D --episode N`.

A recorded episode played by the same executor as a policy, every bit of it as plans through the
twin. It waits until the tick ring says that it is a replay's turn, moves softly to the first
action, plays, says that it has finished, and ends. It imports no torch.
"""

import argparse
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from config.schema import Config
from policies.border import Border, load_calibrations, robot_features
from policies.executor import Executor, ExecutorSettings, Proposal
from policies.link import RuntimeLink
from policies.loaded import row_stride
from policies.observation import Observation
from policies.playback import APPLIED, Playback
from policies.process import PlanProcess, read_config
from policies.recording import RecordedActions, read_recorded_actions
from policies.runner import Answer, Runner
from robotd.clock import NS_PER_MS, NS_PER_S, Clock, MonotonicClock
from robotd.errors import RobotdError, StateError
from robotd.layouts import PLAN_WAYPOINTS
from robotd.policy_channel import REPLAY_SOCKET, Finished, Ready, Shutdown, Trouble
from robotd.states import Source, State, Verdict

_BUSY_WAIT_MS = 2
_IDLE_WAIT_MS = 20
_REPLAN_NS = NS_PER_S  # a window is two of these long: the second half covers a slow verdict
_MARGIN_NS = 50 * NS_PER_MS  # process wake-ups and one row, before any delay was measured


class ReplaySession:
    """One episode on its way to the arm, one `step` per tick or loop pass.

    `fps` None: the recording's own rate; another one is only ever what a person asked for. Used by
    the process below, and by lock-step with a virtual clock.
    """

    def __init__(
        self,
        recorded: RecordedActions,
        config: Config,
        border: Border,
        clock: Clock,
        *,
        fps: int | None = None,
        latency_ns: int | None = None,
    ) -> None:
        step_ns = round(NS_PER_S / (fps or recorded.fps))
        steps = math.ceil(_REPLAN_NS / step_ns)
        settings = ExecutorSettings(
            source=Source.REPLAY,
            joints=border.joints,
            n_action_steps=steps,
            row_ns=NS_PER_S * row_stride(config) // config.control.tick_hz,
            first_delay_ns=_MARGIN_NS + int(config.twin.verdict_budget_ms * NS_PER_MS),
            late_passes=config.twin.late_rule == "pass",
        )
        self._clock = clock
        self._began = False
        self.playback = Playback(
            border.actions_rad(recorded.actions),
            step_ns,
            window=min(PLAN_WAYPOINTS, 2 * steps),
            peak_speed_rad_s=math.radians(config.poses.move_speed_deg_s),
            lead_ns=settings.first_delay_ns,
        )
        self.runner = Runner(
            self.playback,
            Executor(settings),
            clock,
            State.REPLAY,
            first_chunk_id=max(1, clock.now_ns() // NS_PER_MS),
            latency_ns=latency_ns,
        )

    @property
    def finished(self) -> bool:
        """Whether the last action was due while an approved plan was followed."""
        return self.playback.finished

    def step(
        self, tick: Mapping[str, Any], row: Mapping[str, Any] | None, answer: Answer | None
    ) -> Proposal | None:
        """One pass; what is to be proposed. See `Runner.step`.

        Raises StateError when the replay was ended from outside, or the twin refused a part of it:
        the same recording would be refused again.
        """
        proposal = self.runner.step(tick, row, _observe_goal, answer)
        executor = self.runner.executor
        if tick["state"] == State.REPLAY:
            self._began = True
        elif self._began:
            raise StateError(
                "The replay was stopped before its end.",
                "Somebody took the arm, or control stopped on a fault.",
                "Look at robotd status, then start the replay again.",
            )
        if executor.last_verdict is Verdict.REJECT:
            raise StateError(
                f"The replay ends, the arm holds: {self.runner.trouble}.",
                "In the twin it hits something or leaves the joints' range: the arm starts "
                "from another pose, or things stand elsewhere than when it was recorded.",
                "Look at robotd view, clear the way, and replay again.",
            )
        if executor.approved_until_ns is not None:
            # Past the last waypoint of a plan the arm stands still, and so does the recording.
            self.playback.followed(min(self._clock.now_ns(), executor.approved_until_ns))
        return proposal


def _observe_goal(row: Mapping[str, Any]) -> Observation:
    deadline_ns = int(row["deadline_ns"])
    goal_rad = np.asarray(row["applied_rad"], np.float64)
    return Observation(deadline_ns, int(row["handover_version"]), deadline_ns, {APPLIED: goal_rad})


def _play(process: PlanProcess, link: RuntimeLink, session: ReplaySession) -> bool:
    """Play until the end (True) or until the supervisor wants it to end (False)."""
    clock = MonotonicClock()
    runner = session.runner
    told_trouble, reported, busy = "", 0, False
    link.report(clock.now_ns(), None, 0, ready=True, finished=False)
    while not process.ended:
        if isinstance(process.receive(_BUSY_WAIT_MS if busy else _IDLE_WAIT_MS), Shutdown):
            return False
        tick = link.latest()
        if tick is None:
            continue
        busy = tick["state"] == State.REPLAY
        proposal = session.step(tick, link.row() if busy else None, link.answer())
        if proposal is not None:
            link.propose(proposal)
        if runner.chunks != reported or session.finished:
            reported = runner.chunks
            link.report(
                clock.now_ns(),
                runner.inference,
                runner.chunks,
                ready=True,
                finished=session.finished,
            )
        if runner.trouble != told_trouble:
            told_trouble = runner.trouble
            process.send(Trouble(reason=told_trouble))
        if session.finished:
            return True
    return False


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m policies.replay")
    parser.add_argument("--runtime", type=Path, required=True)
    parser.add_argument("--config", type=Path, help="by default RUNTIME/config.json")
    parser.add_argument("--dataset", required=True, help="a folder, or a name in LeRobot's home")
    parser.add_argument("--episode", type=int, required=True)
    parser.add_argument("--units", default="", help="degrees or range_m100_100, if not known")
    parser.add_argument("--fps", type=int, help="play at another rate than recorded")
    arguments = parser.parse_args()
    runtime: Path = arguments.runtime
    process = PlanProcess(runtime / REPLAY_SOCKET)
    try:
        config = read_config(arguments.config or runtime / "config.json")
        joints = robot_features(config).joints
        recorded = read_recorded_actions(
            arguments.dataset, arguments.episode, joints, arguments.units
        )
        border = Border(config, load_calibrations(config), recorded.units)
        session = ReplaySession(recorded, config, border, MonotonicClock(), fps=arguments.fps)
        link = RuntimeLink(runtime, border.joints, row_stride(config))
        process.send(
            Ready(
                path=str(recorded.root),
                kind="replay",
                fps=float(arguments.fps or recorded.fps),
                fps_source="asked for" if arguments.fps else "dataset",
                units=recorded.units,
                units_source="asked for" if arguments.units else "dataset",
                chunk=len(recorded.actions),
                n_action_steps=session.runner.executor.settings.n_action_steps,
                sha256=recorded.sha256(),
            )
        )
        if _play(process, link, session):
            process.send(Finished())
        link.close()
    except RobotdError as error:
        process.fail(error)
        return error.exit_code
    finally:
        process.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
