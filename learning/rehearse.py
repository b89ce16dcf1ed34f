"""Rehearse a policy or a recorded episode before it moves a real arm. Moves nothing that is real.

--plant: episodes with this robot's limits, poses, rate and calibration, its body in MuJoCo. --shadow: this robot's
cameras and joints as they are, the policy live, every chunk to the twin only; the arm is disarmed and may be moved by
hand. Without either, the one that is evidence is done. The verdict is kept by the hash of checkpoint, calibration and
configuration; the arming list shows it, and `robotd run` on a real arm asks for it. Exit status 1: it did not pass.
"""

import argparse
import json
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path

import msgspec

from config.loader import load
from config.schema import Config
from daemon.cli.checkpoint import add_policy_options, load_policy, policy_options, renames
from daemon.cli.main import add_json, add_name
from daemon.cli.numbers import positive_count, positive_number
from daemon.rehearsals import (
    Kind,
    Rehearsal,
    Subject,
    evidence,
    outcome,
)
from learning.rehearsal_report import keep, now, of_shadow, plain, show
from policies.border import IMAGES, robot_features
from policies.checkpoint.digests import FileDigests
from policies.checkpoint.folder import read_folder
from policies.recording import RecordedActions, read_recorded_actions
from robotd.client import Robot, choose_instance, running_instances
from robotd.errors import StateError
from robotd.messages import ShadowStatus
from robotd.policy_channel import Load
from sim.tasks.spec import load_task, task_names

_DEFAULT_EPISODES = 3
_UNTOLD_S = (
    15.0  # an episode of a task that the plant does not know: about what a pick and place takes
)
_FIRST_SEED = 0


def configure(parser: argparse.ArgumentParser) -> None:
    add_name(parser)
    add_json(parser)
    add_policy_options(parser, required=False)
    parser.add_argument(
        "--replay", metavar="DATASET:EPISODE", help="a recorded episode instead of a policy"
    )
    parser.add_argument("--plant", action="store_true", help="with the body in MuJoCo")
    parser.add_argument("--shadow", action="store_true", help="with the running robot, limp")
    parser.add_argument(
        "--episodes", type=positive_count, default=_DEFAULT_EPISODES, help="of the plant"
    )
    parser.add_argument("--seconds", type=positive_number, default=40.0, help="of the shadow")
    parser.add_argument(
        "--task",
        default="",
        help="the instruction, or a shipped task's name: then the plant counts successes",
    )
    parser.add_argument(
        "--sim", action="store_true", help="the shipped simulated robot, when none runs"
    )


def run(args: argparse.Namespace) -> int:
    if (args.policy is None) == (args.replay is None):
        raise StateError(
            "Nothing, or two things, were named to be rehearsed.",
            "One of --policy and --replay is needed, and only one.",
            "Say robotd rehearse --policy FOLDER, or robotd rehearse --replay DATASET:EPISODE.",
        )
    # A program that asked for JSON gets that on stdout and nothing else.
    with redirect_stdout(sys.stderr if args.json else sys.stdout):
        done = _rehearse_policy(args) if args.policy else _rehearse_replay(args)
    if args.json:
        print(json.dumps({"passed": all(each.passed for each in done), "rehearsals": plain(done)}))
    return 0 if all(each.passed for each in done) else 1


def robot_config(name: str | None, simulated: bool) -> Config:
    """The robot that is meant: the running one of that name (or the only one), else the configured one.

    Raises ConfigError when there is none, DaemonError when several run and none was named.
    """
    running = running_instances()
    if (name in running if name else running) and not simulated:
        found = choose_instance(name)
        with Robot(found) as robot:
            return msgspec.json.decode((robot.runtime / "config.json").read_bytes(), type=Config)
    return load(name, simulated=simulated).config


def _yield_to_arms() -> None:
    """The plant takes all the processor that it is given: never from a real arm's loop."""
    if any(not each.simulated for each in running_instances().values()):
        os.nice(10)


# --- a policy -----------------------------------------------------------------------------------------


def _rehearse_policy(args: argparse.Namespace) -> list[Rehearsal]:
    own = robot_config(args.name, args.sim)
    seen = [key for key in read_folder(Path(args.policy)).inputs if key.startswith(IMAGES)]
    plant, shadow = args.plant, args.shadow
    if not plant and not shadow:
        shadow = bool(seen) and own.simulation is None
        plant = not shadow
    done = []
    if plant:
        done.append(_policy_in_plant(args, own))
        show(done[-1])
    if shadow:
        done.append(_policy_in_shadow(args))
        show(done[-1])
    return done


def _policy_in_plant(args: argparse.Namespace, own: Config) -> Rehearsal:
    from learning.rehearsal_plant import rehearse_policy, rehearsed_robot, sim_task
    from policies.loaded import load_policy as load_here

    _yield_to_arms()
    robot = rehearsed_robot(own)
    request = Load(path=args.policy, task=_instruction(args.task), **policy_options(args))
    print("Loading the policy …", flush=True)
    policy = load_here(request, robot.config, robot.by_id)
    told = policy.fit.told
    # A policy that is told where the plant's things are is for the plant's task.
    known = args.task in task_names() or bool(told)
    task = load_task(args.task if args.task in task_names() else sim_task(robot.config))
    rows = None if known else round(_UNTOLD_S * robot.config.recording.fps)
    seeds = range(_FIRST_SEED, _FIRST_SEED + args.episodes)
    ran = rehearse_policy(
        robot,
        policy,
        task,
        seeds,
        rows,
        lambda so_far: print(
            f"  episode {so_far.episodes} of {args.episodes}: {so_far.chunks} chunks, "
            f"{so_far.refused_chunks} refused so far",
            flush=True,
        ),
    )
    means = evidence(simulated=own.simulation is not None, cameras=policy.fit.cameras, told=told)
    what, likely, do = outcome(
        chunks=ran.chunks,
        refused=ran.refused_chunks,
        reasons=dict(ran.refused),
        faults=ran.faults,
        trouble="The policy gave nothing to follow.",
    )
    if not what and known and means.plant and not ran.successes:
        what = f"It did the task in none of {ran.episodes} episodes."
        likely = "It is not trained enough, or was trained on another scene."
        do = "Count over more seeds: robotd eval. Choose another step of the training run."
    subject = Subject(
        sha256=policy.model.sha256(FileDigests()),
        fps=policy.model.evidence.fps,
        units=policy.model.evidence.units,
        n_action_steps=policy.settings.n_action_steps,
        mode=policy.settings.mode.words,
        rename=renames(args.rename),
        embodiment=policy.embodiment[0],
        time_scale=policy.played.time_scale,
        changed=policy.played.words,
    )
    rehearsal = Rehearsal(
        kind="plant",
        passed=not what,
        evidence=means.plant,
        why_evidence=means.why,
        at=now(),
        robot=own.name,
        subject=policy.model.interface.name,
        task=args.task,
        seconds=ran.seconds,
        chunks=ran.chunks,
        refused=ran.refused_chunks,
        reasons=dict(ran.refused),
        episodes=ran.episodes,
        successes=ran.successes if known else None,
        faults=tuple(ran.faults),
        limited=dict(ran.limited),
        inference_ms=policy.inference_ns / 1e6,
        inference_max_ms=policy.inference_ns / 1e6,
        notes=robot.notes,
        what=what,
        likely=likely,
        do=do,
    )
    return keep(robot.key(subject), rehearsal)


def _instruction(task: str) -> str:
    return load_task(task).instruction if task in task_names() else task


def _policy_in_shadow(args: argparse.Namespace) -> Rehearsal:
    from learning.rehearsal_shadow import shadow_policy

    with Robot.connect(args.name) as robot:
        print("Loading the policy …", flush=True)
        wanted = argparse.Namespace(**{**vars(args), "task": _instruction(args.task)})
        load_policy(robot, wanted)
        policy = robot.status().policy
        print(
            f"In shadow for {args.seconds:g} s: nothing is written to the servos. Ctrl-C ends it."
        )
        ended = shadow_policy(robot, args.seconds, args.task, _Ticker())
        means = evidence(
            simulated=robot.instance.simulated, cameras=policy.cameras, told=policy.told
        )
        return of_shadow(ended, means, robot.instance.name, policy.path, args.task)


class _Ticker:
    """One line every few seconds while a shadow goes on."""

    _EVERY_S = 5.0

    def __init__(self) -> None:
        self._next_s = self._EVERY_S

    def __call__(self, now: ShadowStatus) -> None:
        if now.phase != "running" or now.elapsed_s < self._next_s:
            return
        self._next_s = now.elapsed_s + self._EVERY_S
        why = f"  {now.trouble}" if now.trouble else ""
        print(
            f"  {now.elapsed_s:4.0f} s  {now.chunks} chunks, {now.refused} refused, "
            f"{now.inference_ms:.0f} ms a chunk{why}",
            flush=True,
        )


# --- a recorded episode -------------------------------------------------------------------------------


def _rehearse_replay(args: argparse.Namespace) -> list[Rehearsal]:
    own = robot_config(args.name, args.sim)
    dataset, episode = _episode(args.replay)
    recorded = read_recorded_actions(dataset, episode, robot_features(own).joints, args.units)
    kinds: list[Kind] = ["plant"] if args.plant or not args.shadow else []
    kinds += ["shadow"] if args.shadow else []
    done = []
    for kind in kinds:
        done.append(_replay(args, own, recorded, kind))
        show(done[-1])
    return done


def _replay(
    args: argparse.Namespace, own: Config, recorded: RecordedActions, kind: Kind
) -> Rehearsal:
    from learning.rehearsal_plant import rehearse_replay, rehearsed_robot
    from learning.rehearsal_shadow import measured_ticks

    _yield_to_arms()
    robot = rehearsed_robot(own)
    start = None
    if kind == "shadow":
        with Robot.connect(args.name) as connected:
            start = measured_ticks(connected)
    ran = rehearse_replay(robot, recorded, args.fps, start)
    what, likely, do = outcome(
        chunks=ran.chunks,
        refused=ran.refused_chunks,
        reasons=dict(ran.refused),
        faults=ran.faults,
        trouble=ran.ended_early,
    )
    if ran.refused_chunks:
        likely = (
            "The arm starts from another pose, or things stand elsewhere than when it was recorded."
        )
        do = "Move the arm to where the episode begins, look at robotd view, and rehearse again."
    simulated = own.simulation is not None
    means = evidence(simulated=simulated, cameras=(), told="", replay=True)
    subject = Subject(
        sha256=recorded.sha256(), fps=float(args.fps or recorded.fps), units=recorded.units
    )
    where = "from where the arm stands" if start is not None else "from the home pose"
    rehearsal = Rehearsal(
        kind=kind,
        passed=not what,
        evidence=means.of(kind),
        why_evidence=means.why,
        at=now(),
        robot=own.name,
        subject=f"{recorded.root}, episode {_episode(args.replay)[1]}",
        seconds=ran.seconds,
        chunks=ran.chunks,
        refused=ran.refused_chunks,
        reasons=dict(ran.refused),
        episodes=1,
        faults=tuple(ran.faults),
        limited=dict(ran.limited),
        notes=(*robot.notes, where),
        what=what,
        likely=likely,
        do=do,
    )
    return keep(robot.key(subject), rehearsal)


def _episode(named: str) -> tuple[str, int]:
    dataset, sign, number = named.rpartition(":")
    if not (sign and dataset and number.isdecimal()):
        raise StateError(
            f"--replay {named} names no episode.",
            "It needs a dataset, a colon and the episode's number.",
            "Write it like --replay local/pick_up_the_block:3",
        )
    return dataset, int(number)
