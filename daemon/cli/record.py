"""Record episodes into a LeRobot dataset.

With a leader, keys say what happens: Space start/stop, → (n) keep, ← (r) redo, Backspace discard,
s/f keep as success/fail, m mark a subgoal, w write a note, t task, u undo the last kept one,
Esc (q) end, x software stop. Between two episodes s, f and w speak of the last kept one, b keeps
the last seconds (--keep-last) as an episode, and --auto starts the next one when the reset is over.
The TUI is the same with pictures. The scripted source and a policy record by themselves; i takes
the arm over from a policy and gives it back, in the same episode.

An episode is on disk from its first frame; kept ones go into the dataset while the next one runs,
and this ends well only when all of them are in it.
"""

import argparse
import contextlib
import sys
from collections.abc import Mapping
from typing import Any

from daemon.cli.between import set_the_scene
from daemon.cli.checkpoint import (
    add_policy_options,
    add_unrehearsed,
    consent_unrehearsed,
    load_policy,
)
from daemon.cli.desk import DURING_KEYS, LEAD_S, SAVE_TIMEOUT_S, Desk, wait_until_recording
from daemon.cli.episode import Outcome, Turn, begin, end, watch
from daemon.cli.keys import Keys
from daemon.cli.main import add_json, add_name, add_yes
from daemon.cli.numbers import positive_count, positive_number
from daemon.cli.operator import SOURCES, source
from daemon.cli.probed import add_despite_probe, consent_probe
from daemon.cli.session import arm_with_consent, printable
from daemon.cli.verdicts import Verdicts
from robotd.client import Robot
from robotd.errors import DatasetError, StateError
from robotd.messages import CloseSession, OpenSession
from robotd.sound import MODES

_CLOSE_TIMEOUT_S = 150.0  # what was kept goes into the dataset first
_BEGINS_S = 2.0  # after the countdown: the recorder's word takes a moment to come round


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
    add_despite_probe(parser)
    parser.add_argument(
        "--reset-seconds",
        type=positive_number,
        help="counted down after a kept episode (default: recording.reset_s); a policy then goes on "
        "instead of waiting for Space",
    )
    parser.add_argument(
        "--auto",
        action="store_true",
        help="with a leader: the next episode begins by itself when the reset is over",
    )
    parser.add_argument(
        "--keep-last",
        type=positive_number,
        metavar="SECONDS",
        help="hold so much of the past between two episodes; b keeps it as an episode",
    )
    parser.add_argument(
        "--sound",
        choices=MODES,
        default="bell",
        help="what is heard of start, last seconds, kept, discarded and fault (default: bell)",
    )
    parser.add_argument(
        "--episode-seconds", type=positive_number, default=60.0, help="longest episode"
    )


def run(args: argparse.Namespace) -> int:
    # A program that asked for JSON gets that on stdout and nothing else.
    with contextlib.redirect_stdout(sys.stderr if args.json else sys.stdout):
        summary = _run(args)
    print(printable(summary) if args.json else _closing_words(summary))
    if summary["ended_by"]:
        print(f"The session ended early: {summary['ended_by']}.", file=sys.stderr)
        return 1
    return 0


def _run(args: argparse.Namespace) -> dict[str, Any]:
    with Robot.connect(args.name) as robot:
        if args.policy:
            policy = load_policy(robot, args)
            args.despite_probe = consent_probe(policy, args)
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
                reset_s=args.reset_seconds,
                auto=args.auto and who == "leader",
                keep_last_s=args.keep_last,
            ),
            timeout_s=SAVE_TIMEOUT_S,
        )
        if opened.get("interrupted"):
            print(f"{opened['interrupted']} interrupted episodes wait: robotd dataset recover")
        verdicts = Verdicts()
        try:
            ended_by = _record(robot, args, who, verdicts)
        finally:
            closed = robot.request(CloseSession(), timeout_s=_CLOSE_TIMEOUT_S)
    flagged = closed["flagged"]
    for line in verdicts.rest(flagged):
        print(line)
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
        "flagged": flagged,
    }


def _closing_words(summary: Mapping[str, Any]) -> str:
    kept = f"Kept {summary['kept']} in {summary['root']}."
    flagged = len(summary["flagged"])
    if not flagged:
        return kept
    return f"{kept} The quality gate has findings on {flagged}: robotd dataset info"


def dataset_name(task: str) -> str:
    """A dataset name from the task's words: `local/pick_up_the_block`."""
    words = "".join(c if c.isascii() and c.isalnum() else " " for c in task.lower()).split()
    return "local/" + ("_".join(words)[:60] or "episodes")


def _record(robot: Robot, args: argparse.Namespace, who: str, verdicts: Verdicts) -> str:
    """The whole session. Returns what took the arm from it before its time; empty for nothing."""
    with Keys() as keys:
        if who == "leader" and not keys.present:
            raise StateError(
                "Recording with a leader needs a terminal.",
                "Keys say when an episode starts and whether it is kept, and stdin is none.",
                "Run it in a terminal (ssh -t), use robotd tui, or another --source.",
            )
        desk = Desk(robot, keys, args.sound, verdicts)
        one = _by_a_person if who == "leader" else _by_itself
        first = True
        while desk.kept < args.episodes:
            outcome = one(desk, args, who, first)
            first = False
            if outcome is None:
                break
            desk.say(f"  {outcome.said}")
            if outcome.ends:
                return outcome.lost
    return ""


def _by_a_person(desk: Desk, args: argparse.Namespace, who: str, _: bool) -> Outcome | None:
    """An episode that a person starts and ends with keys; None when no more are wanted."""
    desk.say(f"episode {desk.kept + 1} of {args.episodes}")
    word = desk.between()
    if word == "end":
        return None
    with source(desk.robot, who, args.episode_seconds + SAVE_TIMEOUT_S) as finished:
        if word == "start":
            begin(desk)
        elif not wait_until_recording(desk, LEAD_S + _BEGINS_S):
            return Outcome(f"it did not begin by itself: {desk.recording.last_error or 'no cause'}")
        desk.say(f"  {DURING_KEYS}")
        while True:
            turn = Turn(desk, who, args.unrehearsed, args.despite_probe)
            word = watch(desk, turn, finished, args.episode_seconds)
            outcome = end(desk, word, again=True)
            if not outcome.again:
                return outcome
            desk.say(f"  {outcome.said}; it is being recorded again")


def _by_itself(desk: Desk, args: argparse.Namespace, who: str, first: bool) -> Outcome | None:
    """An episode of a policy or a script, which starts and may end by itself."""
    anew = who == "policy" and (not first or desk.robot.instance.simulated)
    if anew and not set_the_scene(desk.robot, desk.keys, args.reset_seconds):
        return None
    desk.say(f"episode {desk.kept + 1} of {args.episodes}")
    limit_s = args.episode_seconds + SAVE_TIMEOUT_S
    with source(
        desk.robot,
        who,
        limit_s,
        unrehearsed=args.unrehearsed,
        despite_probe=args.despite_probe,
    ) as finished:
        begin(desk)
        if desk.keys.present:
            over = ", i takes over" if who == "policy" else ""
            desk.say(f"  {DURING_KEYS}{over}")
        turn = Turn(desk, who, args.unrehearsed, args.despite_probe)
        word = watch(desk, turn, finished, args.episode_seconds)
    return end(desk, word, again=False)
