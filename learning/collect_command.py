"""Demonstrations of a simulated task by its scripted expert, in lock-step: a dataset without waiting.

What `robotd record --source scripted` would record in the simulation, some ten times faster. --cameras renders every
configured camera for each row, which is some twenty times slower. The seeds are none that robotd eval judges by.
"""

import argparse
import json
import sys

from daemon.cli.main import add_json
from daemon.cli.numbers import picture_size, positive_count
from learning.collect import DEFAULT_FIRST_SEED, collect
from learning.world import lockstep_config
from robotd.errors import DatasetError
from robotd.paths import lerobot_home
from sim.tasks.spec import load_task, task_names


def configure(parser: argparse.ArgumentParser) -> None:
    add_json(parser)
    parser.add_argument(
        "--task", default="block_in_bowl", help=f"a shipped task: {', '.join(task_names())}"
    )
    parser.add_argument("--episodes", type=positive_count, default=50)
    parser.add_argument("--dataset", help="owner/name (default: local/<task>_scripted)")
    parser.add_argument(
        "--first-seed",
        type=int,
        help=f"default: after those in the dataset, {DEFAULT_FIRST_SEED} in a new one; none is taken twice",
    )
    parser.add_argument("--cameras", action="store_true", help="with pictures")
    parser.add_argument(
        "--picture-size",
        type=picture_size,
        metavar="128x96",
        help="of every camera (default: as the simulated robot has them); with --cameras",
    )
    parser.add_argument(
        "--untold",
        action="store_true",
        help="without where the objects are: what is trained on it has to look",
    )


def run(args: argparse.Namespace) -> int:
    task = load_task(args.task)
    name = args.dataset or f"local/{task.name}_scripted"
    name = name if "/" in name else f"local/{name}"
    root = lerobot_home() / name
    if root.exists() and not (root / "meta" / "info.json").is_file():
        raise DatasetError(
            f"{root} is there and is no dataset.",
            "Something else was put there, or a dataset lost its meta folder.",
            "Choose another name: --dataset NAME.",
        )
    done = collect(
        lockstep_config(task=task.name, picture_size=args.picture_size, told=not args.untold),
        task,
        root,
        name,
        args.episodes,
        args.first_seed,
        args.cameras,
        lambda kept, result: print(
            f"{kept} of {args.episodes}: seed {result.seed} {result.outcome}",
            file=sys.stderr,
            flush=True,
        ),
    )
    if args.json:
        said = {"dataset": name, "root": str(root), "episodes": done.episodes, "rows": done.rows}
        print(json.dumps(said | {"seeds": done.seeds, "failed_seeds": done.failed_seeds}))
    else:
        print(f"{done.episodes} episodes, {done.rows} rows in {root}")
    return 0
