"""Record episodes into a LeRobot dataset.

With a leader, keys say what happens: Space start/stop, → (n) keep, ← (r) redo, u undo the last kept
one, s/f keep as success/fail, Esc (q) end, x software stop. The TUI is the same with pictures. The
scripted source and a policy record by themselves. An episode is on disk from its first frame; kept
ones go into the dataset while the next one runs, and this ends well only when all of them are in it.
"""

import argparse
import contextlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from daemon.cli.between import add_reset_seconds, set_the_scene
from daemon.cli.checkpoint import (
    add_policy_options,
    add_unrehearsed,
    consent_unrehearsed,
    load_policy,
)
from daemon.cli.keys import Keys
from daemon.cli.main import add_json, add_name, add_yes
from daemon.cli.numbers import positive_count, positive_number
from daemon.cli.operator import SOURCES, source
from daemon.cli.session import arm_with_consent, printable
from robotd.client import Robot
from robotd.errors import DatasetError, RobotdError, StateError
from robotd.messages import (
    CloseSession,
    DiscardEpisode,
    KeepEpisode,
    OpenSession,
    StartEpisode,
    UndoEpisode,
)

SAVE_TIMEOUT_S = 60.0
_CLOSE_TIMEOUT_S = 150.0  # what was kept goes into the dataset first
_FINISH_S = 1.0
_LOST = "the arm was lost"
_STATE_OF = {"leader": "teleop", "keyboard": "teleop", "scripted": "teleop", "policy": "policy"}


def configure(parser: argparse.ArgumentParser) -> None:
    add_name(parser)
    add_yes(parser)
    add_json(parser)
    parser.add_argument("--task", required=True, help="what the arm does, in words")
    parser.add_argument("--episodes", type=positive_count, default=50)
    parser.add_argument("--source", choices=SOURCES, default="leader")
    parser.add_argument("--dataset", help="owner/name, or a name; default: from the task")
    add_policy_options(parser, required=False)
    add_unrehearsed(parser)
    add_reset_seconds(parser)
    parser.add_argument(
        "--episode-seconds", type=positive_number, default=60.0, help="longest episode"
    )


def run(args: argparse.Namespace) -> int:
    # A program that asked for JSON gets that on stdout and nothing else.
    with contextlib.redirect_stdout(sys.stderr if args.json else sys.stdout):
        summary = _run(args)
    print(printable(summary) if args.json else f"Kept {summary['kept']} in {summary['root']}.")
    if summary["ended_by"]:
        print(f"The session ended early: {summary['ended_by']}.", file=sys.stderr)
        return 1
    return 0


def _run(args: argparse.Namespace) -> dict[str, object]:
    with Robot.connect(args.name) as robot:
        if args.policy:
            policy = load_policy(robot, args)
            args.unrehearsed = consent_unrehearsed(robot, policy, args)
        arm_with_consent(robot, args.yes)
        who = "policy" if args.policy else args.source
        opened = robot.request(
            OpenSession(
                dataset=args.dataset or dataset_name(args.task),
                task=args.task,
                episodes=args.episodes,
                episode_limit_s=args.episode_seconds,
                units=args.units,
            ),
            timeout_s=SAVE_TIMEOUT_S,
        )
        if opened.get("interrupted"):
            print(f"{opened['interrupted']} interrupted episodes wait: robotd dataset recover")
        try:
            ended_by = _record(robot, args, who)
        finally:
            closed = robot.request(CloseSession(), timeout_s=_CLOSE_TIMEOUT_S)
    kept, published = int(closed["kept"]), int(closed["published"])
    if published < kept:
        raise DatasetError(
            f"{kept - published} of {kept} kept episodes are not in the dataset: "
            f"{closed['error'] or 'they are still being saved'}",
            closed["error_likely"] or "The disk is slow.",
            f"{closed['error_do']} They are whole: robotd dataset recover.".strip(),
        )
    return {
        "dataset": opened["dataset"],
        "root": opened["root"],
        "kept": kept,
        "published": published,
        "ended_by": ended_by,
    }


def dataset_name(task: str) -> str:
    """A dataset name from the task's words: `local/pick_up_the_block`."""
    words = "".join(c if c.isascii() and c.isalnum() else " " for c in task.lower()).split()
    return "local/" + ("_".join(words)[:60] or "episodes")


def _record(robot: Robot, args: argparse.Namespace, who: str) -> str:
    """The whole session. Returns what took the arm from it before its time; empty for nothing."""
    kept = tried = 0
    with Keys() as keys:
        if who == "leader" and not keys.present:
            raise StateError(
                "Recording with a leader needs a terminal.",
                "Keys say when an episode starts and whether it is kept, and stdin is none.",
                "Run it in a terminal (ssh -t), use robotd tui, or another --source.",
            )
        while kept < args.episodes:
            anew = who == "policy" and (tried > 0 or robot.instance.simulated)
            if anew and not set_the_scene(robot, keys, args.reset_seconds):
                break
            tried += 1
            print(f"episode {kept + 1} of {args.episodes}", flush=True)
            if who == "leader" and not _wait_for_start(robot, keys):
                break
            outcome = _episode(robot, keys, who, args.episode_seconds, args.unrehearsed)
            kept += outcome.kept
            print(f"  {outcome.said}", flush=True)
            if outcome.ends:
                return outcome.lost
    return ""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How one episode ended: whether it is kept, in words, whether the session ends with it."""

    kept: bool
    said: str
    ends: bool = False
    lost: str = ""  # why the arm was lost, where that ended it


def _wait_for_start(robot: Robot, keys: Keys) -> bool:
    """Wait for Space between two episodes; False when the person wants no more."""
    print("  Space starts, u undoes the last, q ends, x software stop", flush=True)
    while True:
        key = keys.read(timeout_s=0.5)
        if key == "toggle":
            return True
        if key == "stop":
            return False
        if key == "estop":
            robot.estop()
            return False
        if key == "undo":
            try:
                robot.request(UndoEpisode(), timeout_s=SAVE_TIMEOUT_S)
                print("  the last kept episode is out again", flush=True)
            except RobotdError as error:
                print(error, flush=True)


def _episode(robot: Robot, keys: Keys, who: str, limit_s: float, unrehearsed: bool) -> _Outcome:
    """One episode. A finished script keeps by itself; one that lost the arm is set aside."""
    with source(robot, who, limit_s + SAVE_TIMEOUT_S, unrehearsed=unrehearsed) as finished:
        robot.request(StartEpisode(), timeout_s=SAVE_TIMEOUT_S)
        verdict = _wait_for_verdict(robot, keys, finished, limit_s, _STATE_OF[who])
    if verdict in ("redo", "estop") or verdict.startswith(_LOST):
        robot.request(DiscardEpisode(), timeout_s=SAVE_TIMEOUT_S)
        why = {"redo": "once more", "estop": "software stop"}.get(verdict, verdict)
        said = f"{why}: set aside (kept until space is needed)"
        lost = "" if verdict == "redo" else why
        return _Outcome(False, said, ends=verdict != "redo", lost=lost)
    label = {"success": True, "fail": False}.get(verdict)
    data = robot.request(KeepEpisode(success=label), timeout_s=SAVE_TIMEOUT_S)
    if not data.get("kept", True):
        return _Outcome(False, "not kept: nothing was recorded", ends=verdict == "stop")
    return _Outcome(True, f"kept: {data.get('frames')} frames", ends=verdict == "stop")


def _wait_for_verdict(
    robot: Robot, keys: Keys, finished: Callable[[], bool], limit_s: float, state: str
) -> str:
    """keep, redo, stop, success, fail, estop; or, beginning with `lost`, why the arm is gone."""
    end_s = time.monotonic() + limit_s
    seen = False  # the hand-over may take until after the first published state
    while time.monotonic() < end_s:
        key = keys.read(timeout_s=0.1)
        if key == "estop":
            robot.estop()
            return "estop"
        if key in ("keep", "redo", "stop", "success", "fail"):
            return key
        if key == "toggle" or finished():
            return "keep"
        status = robot.watch(timeout_s=0.0)
        if status is None:
            continue
        seen = seen or status.state == state
        if status.state in ("fault", "estop") or (seen and status.state != state):
            # A script that is done gives the arm back itself, a moment before it says so.
            if status.state == "holding" and _finishes(finished):
                return "keep"
            return f"{_LOST} ({status.state}: {status.fault or status.message or 'taken over'})"
    return "keep"


def _finishes(finished: Callable[[], bool]) -> bool:
    """Whether the source ends by itself within a moment."""
    end_s = time.monotonic() + _FINISH_S
    while time.monotonic() < end_s:
        if finished():
            return True
        time.sleep(0.02)
    return False
