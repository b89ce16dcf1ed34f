"""Success over many seeds, with its interval: a checkpoint, several, or the scripted expert.

In the plant (lock-step, several processes), the same seeds for each: --checkpoints DIR sweeps a training run, and
--n-action-steps, --ensemble, --gripper-bias and --gripper-clip take several values with commas between. A report
(HTML, SVG, JSON) and films of the failures are left in a folder; killed, the same command goes on where it was.
--arm: on the running robot, with a person's verdict keys. --env: in a gym environment of the field.

A policy with cameras is shown rendered pictures: slower, and for one trained on real pictures no evidence.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import msgspec

import daemon
import learning
import policies
import sim
from daemon.cli.checkpoint import WAYS, add_policy_options, add_unrehearsed, one_value_options
from daemon.cli.main import add_json, add_name, add_yes
from daemon.cli.numbers import picture_size, positive_count, positive_number
from daemon.cli.probed import add_despite_probe
from learning.evaluation.crew import crew_for, yield_to_arms
from learning.evaluation.gym_names import ENVIRONMENTS
from learning.evaluation.options import refuse_meaningless
from learning.evaluation.records import EpisodeRecord
from learning.evaluation.report import About, table
from learning.evaluation.run import Evaluation, checkpoints_sha, default_folder, evaluate, revision
from learning.evaluation.variants import (
    Variant,
    cases,
    find_checkpoints,
    grid_cells,
    parse_grid,
    variants,
)
from robotd.errors import StateError
from robotd.paths import absolute
from robotd.policy_channel import Load
from sim.tasks.spec import load_task, task_names

_GRID_HALF_M = 0.08
_LATENCY_MS = 30.0
DEMO = "demo"


def configure(parser: argparse.ArgumentParser) -> None:
    add_policy_options(parser, required=False, several=True)
    parser.add_argument(
        "--checkpoints", type=Path, metavar="DIR", help="every checkpoint of a training run"
    )
    parser.add_argument(
        "--source", choices=("scripted", "random"), help="the scripted expert; random: with --env"
    )
    parser.add_argument(
        "--task", default="block_in_bowl", help=f"a shipped task: {', '.join(task_names())}"
    )
    parser.add_argument("--episodes", type=positive_count, default=50)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument(
        "--latency-ms", type=positive_number, help=f"of a chunk (default: {_LATENCY_MS:g})"
    )
    parser.add_argument("--grid", metavar="5x5", help="put the object at these places instead")
    parser.add_argument(
        "--grid-half-m", type=positive_number, help=f"half its width (default: {_GRID_HALF_M:g})"
    )
    parser.add_argument(
        "--picture-size",
        type=picture_size,
        metavar="128x96",
        help="of the rendered pictures: what the policy was trained on (default: the simulated robot's)",
    )
    parser.add_argument("--video", choices=("failures", "all", "none"), default="failures")
    parser.add_argument("--workers", type=positive_count, help="processes (default: by the cores)")
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="on a Ray cluster (auto: the running one; local: this machine)",
    )
    parser.add_argument("--out", type=Path, help="the folder for report, results and films")
    parser.add_argument("--results", type=Path, help="write results.json there too")
    parser.add_argument("--fresh", action="store_true", help="throw an interrupted one away")
    parser.add_argument("--arm", action="store_true", help="on the running robot, judged by keys")
    parser.add_argument("--seconds", type=positive_number, help="--arm: the longest episode")
    parser.add_argument("--env", choices=ENVIRONMENTS, help="a gym environment instead")
    parser.add_argument("--suite", default="libero_10", help="--env libero")
    parser.add_argument("--task-ids", metavar="0,1,…", help="--env libero (default: all)")
    parser.add_argument(
        "--relaxed",
        action="store_true",
        help="--env libero: the easier contact and stove rules of pi0-text-latent; not comparable",
    )
    add_name(parser)
    add_yes(parser)
    add_unrehearsed(parser)
    add_despite_probe(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    named = [each for each in (args.policy, args.checkpoints, args.source) if each is not None]
    if len(named) != 1:
        raise StateError(
            "Nobody, or two, were named to be evaluated.",
            "One of --policy, --checkpoints and --source is needed, and only one.",
            "Say robotd eval --policy FOLDER, or robotd eval --source scripted.",
        )
    refuse_meaningless(args)
    if args.policy == DEMO:
        from learning.demo import SHIPPED_POLICY

        args.policy = str(SHIPPED_POLICY)
    if args.arm:
        from learning.evaluation.on_arm import evaluate_on_arm

        content = evaluate_on_arm(args, _loads(args, _instruction(args.task)))
    elif args.env:
        from learning.evaluation.gym_eval import evaluate_in_gym

        content = evaluate_in_gym(args, _loads(args, ""))
    else:
        content = _in_plant(args)
    if args.results is not None:
        args.results.write_text(json.dumps(content, indent=2) + "\n")
    print(json.dumps(content) if args.json else table(content))
    return 0


def _instruction(task: str) -> str:
    return load_task(task).instruction if task in task_names() else task


def _loads(args: argparse.Namespace, instruction: str) -> list[Variant]:
    """What is evaluated: every checkpoint in every way that was asked for. Raises CheckpointError."""
    if args.source is not None:
        return [Variant(name=args.source, load=None)]
    found: list[tuple[int | None, str]]
    if args.policy is not None:
        found = [(None, absolute(args.policy))]
    else:
        found = [(step, str(path.resolve())) for step, path in find_checkpoints(args.checkpoints)]
    base = Load(path="", task=instruction, **one_value_options(args))
    given = {field: getattr(args, field) for field in WAYS}
    ways = {field: each if isinstance(each, list) else [each] for field, each in given.items()}
    return variants(found, base, ways)


def _in_plant(args: argparse.Namespace) -> dict[str, Any]:
    from learning.evaluation.plant import PlantWork, play
    from learning.world import lockstep_config
    from sim.model.scene import SceneOptions, scene_digest
    from sim.tasks.spec import kind_of

    if args.source == "random":
        raise StateError(
            "Nothing moves an arm at random.",
            "--source random is for gym environments.",
            "Give --env pusht or --env aloha with it, or --source scripted.",
        )
    yield_to_arms()
    task = load_task(args.task)
    config = lockstep_config(task=args.task, picture_size=args.picture_size)
    chosen = _loads(args, task.instruction)
    size = None if args.grid is None else parse_grid(args.grid)
    half_m = args.grid_half_m or _GRID_HALF_M
    cells = [] if size is None else grid_cells(task, size, half_m)
    latency_ms = args.latency_ms or _LATENCY_MS
    about = About(
        source="plant",
        task=task.name,
        robotd=revision([Path(p.__path__[0]) for p in (learning, policies, sim, daemon)]),
        scene_sha=scene_digest(SceneOptions(kind=kind_of(task))),
        max_steps=round(task.time_limit_s * config.recording.fps),
        latency_ms=None if args.source else latency_ms,
        grid=size,
        picture_size=args.picture_size,
        checkpoint_sha=checkpoints_sha(chosen, config.policy.tokenizer),
        config_sha=hashlib.sha256(msgspec.json.encode(config)).hexdigest(),
    )
    played = cases(len(chosen), args.first_seed, args.episodes, cells)
    evaluation = Evaluation(about, tuple(chosen), tuple(played), args.out or Path())
    if args.out is None:
        evaluation = Evaluation(
            about, tuple(chosen), tuple(played), default_folder(task.name, evaluation.digest)
        )
    films = evaluation.folder / "films"
    work = PlantWork(config, task.name, tuple(chosen), latency_ms, args.video, films)
    crew = crew_for(args.workers, len(played), args.ray)
    names = [each.name for each in chosen]
    content = evaluate(
        evaluation,
        crew,
        play,
        work,
        lambda record, done, wanted: _tell(record, names, done, wanted),
        fresh=args.fresh,
    )
    print(f"report: {evaluation.folder / 'report.html'}", file=sys.stderr, flush=True)
    return content


def _tell(record: EpisodeRecord, names: list[str], done: int, wanted: int) -> None:
    who = "" if len(names) == 1 else f"{names[record.variant]}, "
    print(
        f"{done} of {wanted}: {who}seed {record.seed}: {record.outcome}, {record.steps} steps",
        file=sys.stderr,
        flush=True,
    )
