"""The whole product in three minutes, with its body in MuJoCo.

Starts a daemon, arms the virtual SO-101 over its serial line, lets the scripted operator pick and
place a block, records that into a LeRobot dataset, gives the arm to a trained policy, reads the
dataset back with LeRobot, and leaves demo.mp4. Without torch a recorded episode is replayed instead
of running the policy. --train makes the policy anew, from nothing.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

import msgspec

from daemon.cli.session import ARMING_TIMEOUT_S, print_checks, wait_for
from daemon.cli.start import start_daemon, stop_daemon
from learning.film import Film
from learning.judge import LiveJudge
from learning.loopwatch import LoopWatch
from robotd.client import Robot
from robotd.errors import RobotdError, StateError
from robotd.messages import (
    AnyRequest,
    Arm,
    Check,
    CloseSession,
    DiscardEpisode,
    Hold,
    Home,
    KeepEpisode,
    LoadPolicy,
    OpenSession,
    Replay,
    RunPolicy,
    StartEpisode,
    Status,
)
from sim import operator
from sim.tasks.outcome import Outcome
from sim.tasks.spec import TaskSpec, load_task

NAME = "demo"
SHIPPED_POLICY = Path(__file__).parent.parent / "policies" / "shipped" / "so101_block_in_bowl_act"
SAVE_TIMEOUT_S = 60.0
LOAD_TIMEOUT_S = 180.0
EPISODE_LIMIT_S = 30.0
_POLL_S = 0.02
_SETTLE_POLLS = 75  # the dwell that success asks for, after the last recorded action
_MOVED_RAD = 0.03


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--expert-episodes", type=int, default=2)
    parser.add_argument("--policy-episodes", type=int, default=2)
    parser.add_argument("--policy", type=Path, help="another checkpoint than the shipped one")
    parser.add_argument("--mp4", type=Path, default=Path("demo.mp4"))
    parser.add_argument("--no-picture", action="store_true", help="no picture in the terminal")
    parser.add_argument("--train", action="store_true", help="make the policy anew first (long)")


def run(args: argparse.Namespace) -> int:
    policy: Path = args.policy or SHIPPED_POLICY
    if args.train:
        from learning.train import train_from_nothing

        policy = train_from_nothing()
    started_s = time.monotonic()
    say(args, "starting the daemon with its body in MuJoCo")
    start_daemon(NAME, simulated=True)
    try:
        with Robot.connect(NAME) as robot:
            report = Demo(robot, args, policy, started_s).run()
    finally:
        say(args, "parking, letting the arm down, ending the daemon")
        stop_daemon(NAME)
    if has_lerobot():
        say(args, "reading the dataset back with LeRobot")
    report["lerobot_reads_back"] = reads_back(Path(str(report.pop("root"))), report["frames"])
    return finish(args, report)


class Demo:
    """One demonstration on a running daemon."""

    def __init__(
        self, robot: Robot, args: argparse.Namespace, policy: Path, started_s: float
    ) -> None:
        self.robot = robot
        self.args = args
        self.policy = policy
        self.started_s = started_s
        self.task: TaskSpec = load_task("block_in_bowl")
        self.judge = LiveJudge(robot.runtime, self.task, robot.instance.fps)
        self.loop = LoopWatch(robot.runtime, len(robot.instance.joints))
        self.film = Film(robot, args.mp4, to_terminal=not (args.no_picture or args.json))
        self.pose_rad: tuple[float, ...] = ()
        self.first_motion_s: float | None = None

    def run(self) -> dict[str, object]:
        """Everything between start and stop; returns the report's fields."""
        ready_s = time.monotonic() - self.started_s
        with self.film:
            self._arm()
            # Importing torch and LeRobot takes longer than an episode, so it happens meanwhile.
            loading = self._begin_loading() if has_lerobot() else None
            dataset, root, expert, frames = self._record()
            self.robot.request(CloseSession(), timeout_s=SAVE_TIMEOUT_S)
            policy = self._replay(dataset) if loading is None else self._policy(loading)
        if self.film.error is not None:
            say(self.args, f"no film: {self.film.error}")
        self.judge.close()
        lateness = self.loop.close()
        return {
            "ready_s": round(ready_s, 2),
            "first_motion_s": self.first_motion_s,
            "expert_success": sum(outcome is Outcome.SUCCESS for outcome in expert),
            "expert_episodes": len(expert),
            "dataset": dataset,
            "root": root,
            "episodes": len(expert),
            "frames": frames,
            **policy,
            **lateness,
        }

    def _arm(self) -> None:
        self._say("arming: looking first, then taking the arm where it stands")
        self.pose_rad = tuple(joint.position_rad for joint in self.robot.status().joints)
        data = self.robot.request(Arm(consent=True), timeout_s=ARMING_TIMEOUT_S)
        if not self.args.json and not self.film.on_screen:
            print_checks(msgspec.convert(data.get("checks", []), list[Check]))
        self.robot.request(Home())
        self._until(lambda status: status.state == "holding", 20.0, "the home pose")

    def _record(self) -> tuple[str, str, list[Outcome], int]:
        """Expert episodes into a new dataset: its name and folder, the outcomes, and the rows."""
        count = self.args.expert_episodes
        name = f"local/robotd_demo_{time.strftime('%Y%m%d_%H%M%S')}"
        opened = self.robot.request(
            OpenSession(dataset=name, task=self.task.instruction, episodes=count),
            timeout_s=SAVE_TIMEOUT_S,
        )
        outcomes: list[Outcome] = []
        frames = 0
        for episode in range(count):
            self._say(f"scripted operator, episode {episode + 1} of {count}, recording")
            self.judge.lay_out(seed=episode)
            self.robot.request(StartEpisode(), timeout_s=SAVE_TIMEOUT_S)
            try:
                self._operate()
            except RobotdError:
                self.robot.request(DiscardEpisode(), timeout_s=SAVE_TIMEOUT_S)
                raise
            outcome = self.judge.outcome()
            outcomes.append(outcome)
            kept = self.robot.request(
                KeepEpisode(success=outcome is Outcome.SUCCESS), timeout_s=SAVE_TIMEOUT_S
            )
            frames += int(kept["frames"])
            self._say(f"  {outcome}, {kept['frames']} frames saved")
        return name, str(opened["root"]), outcomes, frames

    def _operate(self) -> None:
        """Run the scripted operator like a person would: through a client of its own."""
        done, stop = Event(), Event()
        errors: list[RobotdError] = []

        def work() -> None:
            try:
                with Robot(self.robot.instance) as own:
                    operator.run(own, stop)
            except RobotdError as error:
                errors.append(error)
            finally:
                done.set()

        thread = Thread(target=work, name="scripted operator")
        thread.start()
        try:
            end_s = time.monotonic() + EPISODE_LIMIT_S
            while not done.is_set() and time.monotonic() < end_s:
                self._look()
        finally:
            stop.set()
            thread.join()
        if errors:
            raise errors[0]

    def _begin_loading(self) -> "LongRequest":
        self._say("loading the policy meanwhile (a small ACT, trained on such episodes)")
        request = LoadPolicy(path=str(self.policy), task=self.task.instruction)
        return LongRequest(self.robot, request, LOAD_TIMEOUT_S)

    def _policy(self, loading: "LongRequest") -> dict[str, object]:
        while not loading.answered:
            self._look()
        loaded = loading.answer()
        if loaded.get("told"):
            self._say(f"  it is told: {loaded['told']}")
        successes = 0
        for episode in range(self.args.policy_episodes):
            self._say(f"policy, episode {episode + 1} of {self.args.policy_episodes}")
            self.judge.lay_out(seed=1_000 + episode)
            self.robot.request(Home())
            self._until(lambda status: status.state == "holding", 20.0, "the home pose")
            self.judge.begin()
            self.robot.request(RunPolicy(), timeout_s=ARMING_TIMEOUT_S)
            end_s = time.monotonic() + EPISODE_LIMIT_S
            while time.monotonic() < end_s and not self._look():
                pass
            self.robot.request(Hold())
            outcome = self.judge.outcome()
            successes += outcome is Outcome.SUCCESS
            self._say(f"  {outcome}")
        self.robot.request(Home())
        self._until(lambda status: status.state == "holding", 20.0, "the home pose")
        return {"policy_success": successes, "policy_episodes": self.args.policy_episodes}

    def _replay(self, dataset: str) -> dict[str, object]:
        self._say("no torch here (light install): replaying the first episode instead")
        self.robot.request(Home())
        self._until(lambda status: status.state == "holding", 20.0, "the home pose")
        self.judge.lay_out(seed=0)
        began = self.robot.request(Replay(dataset=dataset, episode=0), timeout_s=ARMING_TIMEOUT_S)
        while (replay := self.robot.status().replay).phase in ("loading", "running"):
            self._look()
        if replay.number != began["replay"] or replay.phase != "finished":
            raise StateError(
                f"The replay did not come to its end: {replay.error or replay.phase}",
                replay.likely or "Something else took the arm.",
                replay.do or "Look: robotd logs --name demo.",
            )
        for _ in range(_SETTLE_POLLS):
            self._look()
        outcome = self.judge.outcome()
        self._say(f"  {outcome}")
        return {"policy_success": None, "policy_episodes": 0, "replay": str(outcome)}

    def _say(self, line: str) -> None:
        """Progress: under the picture while there is one, else a line of its own."""
        self.film.caption = line.strip()
        if not self.film.on_screen:
            say(self.args, line)

    # --- waiting ----------------------------------------------------------------------------------

    def _look(self) -> bool:
        """One glance at everything; True when the task is done."""
        time.sleep(_POLL_S)
        self.loop.follow()
        status = self.robot.watch(timeout_s=0.0)
        if status is not None:
            self._note_motion(status)
            if status.state in ("fault", "estop"):
                raise StateError(
                    f"The arm went to {status.state}: {status.fault}.",
                    status.message or "See robotd logs --name demo.",
                    status.fault_do or "Run the demo again.",
                )
        return self.judge.look()

    def _note_motion(self, status: Status) -> None:
        if self.first_motion_s is not None or not self.pose_rad:
            return
        moved = max(
            abs(joint.position_rad - before)
            for joint, before in zip(status.joints, self.pose_rad, strict=True)
        )
        if moved > _MOVED_RAD:
            self.first_motion_s = round(time.monotonic() - self.started_s, 2)

    def _until(self, reached: Callable[[Status], bool], timeout_s: float, what: str) -> None:
        def seen(status: Status) -> bool:
            self._note_motion(status)
            self.loop.follow()
            return reached(status)

        wait_for(self.robot, seen, timeout_s, what)


class LongRequest:
    """A request that takes a while, made from a thread and a connection of its own."""

    def __init__(self, robot: Robot, request: AnyRequest, timeout_s: float) -> None:
        self._instance = robot.instance
        self._request = request
        self._timeout_s = timeout_s
        self._answer: dict[str, object] = {}
        self._error: RobotdError | None = None
        self._thread = Thread(target=self._work, name="long request", daemon=True)
        self._thread.start()

    @property
    def answered(self) -> bool:
        """Whether `answer` would return at once."""
        return not self._thread.is_alive()

    def answer(self) -> dict[str, object]:
        """Wait for the reply's data. Raises what the request came to."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._answer

    def _work(self) -> None:
        try:
            with Robot(self._instance) as own:
                self._answer = own.request(self._request, timeout_s=self._timeout_s)
        except RobotdError as error:
            self._error = error


def has_lerobot() -> bool:
    """Whether this is the full install, with torch and LeRobot."""
    return importlib.util.find_spec("lerobot") is not None


def reads_back(root: Path, frames: object) -> bool | None:
    """Whether LeRobot's own reader sees what was recorded; None where LeRobot is not installed."""
    if not has_lerobot():
        return None
    command = [sys.executable, "-m", "learning.readback", str(root), "--frames", str(frames)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(done.stderr[-2000:], file=sys.stderr)
    return done.returncode == 0


def say(args: argparse.Namespace, line: str) -> None:
    """Progress: to stderr when the result is for a program."""
    print(line, file=sys.stderr if args.json else sys.stdout, flush=True)


def finish(args: argparse.Namespace, report: dict[str, object]) -> int:
    """Print the result; exit 0 only when the main job worked."""
    moved_again = report["policy_success"] or report.get("replay") == Outcome.SUCCESS
    worked = bool(
        report["expert_success"] and report["lerobot_reads_back"] is not False and moved_again
    )
    if args.json:
        print(json.dumps(report))
        return 0 if worked else 1
    second = f"policy {report['policy_success']}/{report['policy_episodes']}"
    if "replay" in report:
        second = f"replay of the first episode: {report['replay']}"
    print(
        f"\nexpert {report['expert_success']}/{report['expert_episodes']}, {second}, "
        f"{report['missed_ticks']} of {report['ticks']} ticks missed, "
        f"lateness p99 {report['tick_p99_us']} µs"
    )
    print(f"dataset {report['dataset']}, film {args.mp4}\n")
    # Under `uv run` the program is on no other shell's path.
    typed = "uv run robotd" if "UV" in os.environ else "robotd"
    print("Next:")
    print(f"  {typed} start --sim && {typed} tui    record episodes yourself, with keys")
    print(f"  {typed} dataset info {report['dataset']}")
    print(f"  {typed} view --help    watch a running arm; docs/hardware.md is the way to your own")
    return 0 if worked else 1
