"""Record episodes into a LeRobot dataset.

With a leader, keys say what happens: Space start/stop, → (n) keep, ← (r) redo, u undo the last kept
one, s/f keep as success/fail, Esc (q) end, x software stop. The TUI is the same with pictures. The
scripted source and a policy record by themselves. An episode is on disk from its first frame; kept
ones are in the dataset the moment that this says so.
"""

import argparse
import contextlib
import sys
import time
from collections.abc import Callable

from daemon.cli.between import add_reset_seconds, set_the_scene
from daemon.cli.checkpoint import add_policy_options, load_policy
from daemon.cli.keys import Keys
from daemon.cli.main import add_json, add_name, add_yes
from daemon.cli.operator import SOURCES, source
from daemon.cli.session import arm_with_consent, printable
from robotd.client import Robot
from robotd.messages import (
    CloseSession,
    DiscardEpisode,
    KeepEpisode,
    OpenSession,
    RecordingStatus,
    StartEpisode,
    UndoEpisode,
)

SAVE_TIMEOUT_S = 60.0


def configure(parser: argparse.ArgumentParser) -> None:
    add_name(parser)
    add_yes(parser)
    add_json(parser)
    parser.add_argument("--task", required=True, help="what the arm does, in words")
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--source", choices=SOURCES, default="leader")
    parser.add_argument("--dataset", help="owner/name, or a name; default: from the task")
    add_policy_options(parser, required=False)
    add_reset_seconds(parser)
    parser.add_argument("--episode-seconds", type=float, default=60.0, help="longest episode")


def run(args: argparse.Namespace) -> int:
    # A program that asked for JSON gets that on stdout and nothing else.
    with contextlib.redirect_stdout(sys.stderr if args.json else sys.stdout):
        summary = _run(args)
    print(printable(summary) if args.json else f"Kept {summary['kept']} in {summary['root']}.")
    return 0


def _run(args: argparse.Namespace) -> dict[str, object]:
    with Robot.connect(args.name) as robot:
        if args.policy:
            load_policy(robot, args)
        arm_with_consent(robot, args.yes)
        who = "policy" if args.policy else args.source
        opened = robot.request(
            OpenSession(
                dataset=args.dataset or dataset_name(args.task),
                task=args.task,
                episodes=args.episodes,
                episode_limit_s=args.episode_seconds,
            ),
            timeout_s=SAVE_TIMEOUT_S,
        )
        try:
            kept = _record(robot, args, who)
        finally:
            robot.request(CloseSession(), timeout_s=SAVE_TIMEOUT_S)
        return {"dataset": opened.get("dataset"), "root": opened.get("root"), "kept": kept}


def dataset_name(task: str) -> str:
    """A dataset name from the task's words: `local/pick_up_the_block`."""
    words = "".join(c if c.isascii() and c.isalnum() else " " for c in task.lower()).split()
    return "local/" + ("_".join(words)[:60] or "episodes")


def _record(robot: Robot, args: argparse.Namespace, who: str) -> int:
    kept = tried = 0
    with Keys() as keys:
        while kept < args.episodes:
            if who == "policy" and tried and not set_the_scene(robot, keys, args.reset_seconds):
                break
            tried += 1
            print(f"episode {kept + 1} of {args.episodes}", flush=True)
            outcome = _episode(robot, keys, who, args.episode_seconds)
            if outcome == "stop":
                break
            if outcome == "undo":
                robot.request(UndoEpisode(), timeout_s=SAVE_TIMEOUT_S)
                kept = max(0, kept - 1)
                print("  the last kept episode is out again")
                continue
            if outcome == "redo":
                print("  thrown away (kept aside until space is needed)")
                continue
            kept += 1
            recording = recording_of(robot)
            last = recording.episodes[-1] if recording.episodes else None
            print(f"  kept: {last.frames} frames, {last.seconds:.1f} s" if last else "  kept")
    return kept


def recording_of(robot: Robot) -> RecordingStatus:
    """The newest state of the recording session."""
    return robot.status().recording


def _episode(robot: Robot, keys: Keys, who: str, limit_s: float) -> str:
    """One episode; returns keep, redo, undo or stop. A finished script keeps by itself."""
    waits = who == "leader"
    while waits:
        print("  Space starts, u undoes the last, q ends", flush=True)
        key = None
        while key is None:
            key = keys.read(timeout_s=0.5)
        if key in ("stop", "undo"):
            return key
        waits = key != "toggle"
    with source(robot, who) as finished:
        robot.request(StartEpisode(), timeout_s=SAVE_TIMEOUT_S)
        verdict = _wait_for_verdict(robot, keys, finished, limit_s)
    if verdict == "estop":
        robot.request(DiscardEpisode(), timeout_s=SAVE_TIMEOUT_S)
        return "stop"
    if verdict == "redo":
        robot.request(DiscardEpisode(), timeout_s=SAVE_TIMEOUT_S)
        return "redo"
    label = {"success": True, "fail": False}.get(verdict)
    robot.request(KeepEpisode(success=label), timeout_s=SAVE_TIMEOUT_S)
    return "stop" if verdict == "stop" else "keep"


def _wait_for_verdict(
    robot: Robot, keys: Keys, finished: Callable[[], bool], limit_s: float
) -> str:
    end_s = time.monotonic() + limit_s
    while time.monotonic() < end_s:
        key = keys.read(timeout_s=0.1)
        if key == "estop":
            robot.estop()
            return "estop"
        if key in ("keep", "redo", "stop", "success", "fail"):
            return key
        if key == "toggle":
            return "keep"
        if finished():
            return "keep"
    return "keep"
