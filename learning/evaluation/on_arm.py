"""An evaluation on the running robot, real or simulated: a person lays the things out and judges with keys.

Space begins an episode. While the policy moves, or when its time is up, S says that it did the task, F that it failed
(then a digit: how), R that the episode does not count and is done again, q ends, x is the software stop. A policy that
was never let move is told apart from one that failed. What was judged is on disk before the next episode begins, so
the same command goes on where it was.
"""

import argparse
import contextlib
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from daemon.cli.between import set_the_scene
from daemon.cli.checkpoint import consent_unrehearsed, load_policy
from daemon.cli.keys import Keys, split_keys
from daemon.cli.operator import source
from daemon.cli.played import Played
from daemon.cli.probed import consent_probe
from daemon.cli.run import raise_if_failed
from daemon.cli.session import STOP_WORDS, arm_with_consent
from learning.evaluation.records import EpisodeRecord, Header, Journal
from learning.evaluation.report import About, results
from learning.evaluation.run import Evaluation, default_folder, write_report
from learning.evaluation.variants import Case, Variant, cases
from robotd import __version__
from robotd.client import Robot
from robotd.errors import StateError
from robotd.messages import PolicyStatus
from sim.tasks.outcome import Outcome, outcomes_of
from sim.tasks.spec import load_task, task_names

_DEFAULT_S = 30.0
_READY = ("disarmed", "holding")
KEYS = "S success, F failure, R again, q end, x software stop"
_ANY_FAILURE = (
    Outcome.NEVER_PICKED_UP,
    Outcome.DROPPED_DURING_TRANSPORT,
    Outcome.MISSED_GOAL,
    Outcome.TIMEOUT,
)


class _EndedError(Exception):
    """The person wants no more; `str()` says why."""


def evaluate_on_arm(args: argparse.Namespace, variants: Sequence[Variant]) -> dict[str, Any]:
    """`robotd eval --arm`. Raises StateError without a terminal, with several variants, in a wrong state, or when
    nothing was judged."""
    if len(variants) != 1 or variants[0].load is None:
        raise StateError(
            "An arm evaluates one policy at a time.",
            "--checkpoints, a list of values or --source was given together with --arm.",
            "Give one --policy; the report of each lies in a folder of its own.",
        )
    with contextlib.redirect_stdout(sys.stderr if args.json else sys.stdout):
        return _with_robot(args, variants[0])


def _with_robot(args: argparse.Namespace, variant: Variant) -> dict[str, Any]:
    seconds = args.seconds or _limit_s(args.task)
    with Robot.connect(args.name) as robot, Keys() as keys:
        _require(robot, keys)
        print("Loading the policy …", flush=True)
        # The same options as `robotd run`; what may be a list holds one value here.
        policy = load_policy(robot, _single(args, variant))
        args.despite_probe = consent_probe(policy, args)
        unrehearsed = consent_unrehearsed(robot, policy, args)
        evaluation = _evaluation(args, variant, robot, seconds, policy.sha256)
        header = Header(digest=evaluation.digest, about=f"{evaluation.about.task} on the arm")
        with Journal(evaluation.folder, header, fresh=args.fresh) as journal:
            if journal.records:
                print(f"going on: {len(journal.records)} episodes are judged already")
            print(STOP_WORDS)
            arm_with_consent(robot, args.yes)
            consent = {"unrehearsed": unrehearsed, "despite_probe": args.despite_probe}
            desk = _Desk(robot, keys, policy, args.task, seconds, consent)
            why = desk.judge_all(evaluation.cases, journal)
            records = list(journal.in_order(list(evaluation.cases)))
            if not records:
                raise StateError(
                    f"No episode was judged: {why}.",
                    "It was ended before the first verdict.",
                    "Run it again, and press S or F when you have seen enough.",
                )
            content = results(evaluation.about, evaluation.variants, records)
            if not why:
                journal.complete()
        write_report(evaluation.folder, content)
        print(f"{why or 'done'}; holding. robotd disarm lets the arm down.")
        print(f"report: {evaluation.folder / 'report.html'}", flush=True)
    return content


def _require(robot: Robot, keys: Keys) -> None:
    if not keys.present:
        raise StateError(
            "An evaluation on the arm needs a terminal.",
            "A person judges each episode with a key, and stdin is none.",
            "Run it in a terminal (ssh -t); in the plant robotd eval needs nobody.",
        )
    status = robot.status()
    if status.state not in _READY:
        raise StateError(
            f"{status.name} is in {status.state}: {status.fault or status.message or 'busy'}.",
            "Something else moves the arm, or it has stopped itself.",
            status.fault_do
            or "Let it come to rest first: robotd hold, or robotd clear after a stop.",
        )


def _single(args: argparse.Namespace, variant: Variant) -> argparse.Namespace:
    load = variant.load
    assert load is not None
    own = vars(args) | {
        "policy": load.path,
        "task": load.task,
        "n_action_steps": load.n_action_steps,
        "ensemble": load.ensemble,
        "gripper_bias": load.gripper_bias,
        "gripper_clip": load.gripper_clip,
    }
    return argparse.Namespace(**own)


def _limit_s(task: str) -> float:
    return load_task(task).time_limit_s if task in task_names() else _DEFAULT_S


def _evaluation(
    args: argparse.Namespace, variant: Variant, robot: Robot, seconds: float, sha256: str
) -> Evaluation:
    assert variant.load is not None
    about = About(
        source=f"arm {robot.instance.name}",
        task=args.task,
        robotd=__version__,
        max_steps=round(seconds * robot.instance.fps),
        checkpoint_sha={variant.load.path: sha256},
        seeded=False,  # a person lays the things out
    )
    played = tuple(cases(1, args.first_seed, args.episodes))
    folder = args.out
    if folder is None:
        folder = default_folder("arm", Evaluation(about, (variant,), played, Path()).digest)
    return Evaluation(about, (variant,), played, folder)


class _Desk:
    """The terminal of one evaluation."""

    def __init__(
        self,
        robot: Robot,
        keys: Keys,
        policy: PolicyStatus,
        task: str,
        seconds: float,
        consent: Mapping[str, bool],
    ) -> None:
        self._robot = robot
        self._keys = keys
        self._policy = policy
        self._seconds = seconds
        self._consent = consent
        known = task in task_names()
        self._failures = outcomes_of(load_task(task))[1:] if known else _ANY_FAILURE

    def judge_all(self, wanted: Sequence[Case], journal: Journal) -> str:
        """Every case that is not judged yet; returns why it ended early, empty when all are."""
        try:
            for case in wanted:
                while case.key not in journal.records:
                    done = len(journal.records)
                    print(f"episode {done + 1} of {len(wanted)}  ({KEYS})", flush=True)
                    record = self._episode(case)
                    if record is None:
                        print("  it does not count; once more")
                        continue
                    journal.add(record)
                    print(f"  {record.outcome.replace('_', ' ')}", flush=True)
        except _EndedError as ended:
            return str(ended)
        return ""

    def _episode(self, case: Case) -> EpisodeRecord | None:
        """One episode and its verdict; None when it is to be done again. Raises _EndedError."""
        if not set_the_scene(self._robot, self._keys, None):
            raise _EndedError("ended between two episodes")
        rows_s = 1.0 / self._robot.instance.fps
        played = Played(self._policy.path)
        with source(self._robot, "policy", self._seconds, **self._consent):
            began_s = time.monotonic()
            word = self._watch(began_s, played)
            took_s = min(time.monotonic() - began_s, self._seconds)
        if word != "redo":
            print(played.summary(), flush=True)
        try:
            played.raise_if_nothing()
        except StateError as nothing:
            word = self._although(nothing, word)
        if word == "":
            print("  time is up; it holds. S or F? (R again)", flush=True)
            word = self._verdict()
        if word == "redo":
            return None
        outcome = Outcome.SUCCESS if word == "success" else self._how()
        if outcome is None:
            return None
        return EpisodeRecord(
            variant=0,
            seed=case.seed,
            outcome=str(outcome),
            steps=max(1, round(took_s / rows_s)),
            seconds=round(took_s, 3),
            n_action_steps=self._policy.n_action_steps or None,
            judged_by="person",
        )

    def _although(self, nothing: StateError, word: str) -> str:
        """The verdict on a policy that was never let move: what stopped it is not its skill."""
        if word == "redo":
            return word
        print(f"  {nothing.what}\n  {nothing.likely}\n  {nothing.do}")
        print("  R does it again; S or F counts it all the same; q ends", flush=True)
        return self._verdict()

    def _watch(self, began_s: float, played: Played) -> str:
        """What a key said while the policy moved; empty when its time was up. Says why the arm waits."""
        began_ns = time.monotonic_ns()
        while time.monotonic() - began_s < self._seconds:
            key = self._keys.read(timeout_s=0.1)
            word = self._meant(key)
            if word:
                return word
            status = self._robot.watch(timeout_s=0.1)
            if status is None or status.stamp_ns < began_ns:
                continue
            if status.state == "policy":
                if line := played.see(status):
                    print(line, flush=True)
                continue
            raise_if_failed(status)
            raise _EndedError(f"the arm was taken over ({status.state})")
        return ""

    def _verdict(self) -> str:
        while True:
            word = self._meant(self._keys.read(timeout_s=0.5))
            if word:
                return word

    def _meant(self, key: str | None) -> str:
        """success, fail or redo; empty for every other key. Raises _EndedError for the two that end."""
        if key == "estop":
            self._robot.estop()
            raise _EndedError("software stop")
        if key == "stop":
            raise _EndedError("ended by a person")
        return key if key in ("success", "fail", "redo") else ""

    def _how(self) -> Outcome | None:
        """Which failure it was: a digit; None when the episode is to be done again. Raises _EndedError."""
        words = [f"{number} {each.replace('_', ' ')}" for number, each in self._numbered()]
        print(f"  how did it fail?  {',  '.join(words)}  (R again, q end)", flush=True)
        numbered = dict(self._numbered())
        while True:
            typed = self._keys.typed(timeout_s=0.5)
            for key in split_keys(typed):
                if self._meant(key) == "redo":
                    return None
            for character in typed:
                if character.isdigit() and int(character) in numbered:
                    return numbered[int(character)]

    def _numbered(self) -> list[tuple[int, Outcome]]:
        return list(enumerate(self._failures, start=1))
