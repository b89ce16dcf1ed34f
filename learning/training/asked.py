"""What was asked for on the command line as one training run."""

import argparse
import json
from pathlib import Path

from dataset.place import dataset_at, name_of
from learning.training import plan as plans
from learning.training.plan import TrainPlan, last_checkpoint
from learning.training.prepare import check_base
from robotd.errors import CheckpointError
from robotd.paths import cache_dir


def planned(args: argparse.Namespace) -> tuple[TrainPlan, Path, str]:
    """The run, its dataset's folder, and the units that a person or the run's first part said.

    Raises CheckpointError for what says nothing, DatasetError for a dataset that is not there.
    """
    options = _options(args.set)
    if args.resume:
        if args.output is None:
            raise CheckpointError(
                "--resume goes on with a run, and none is named.",
                "--output was left out.",
                "Say robotd train KIND --resume --output RUN.",
            )
        return _resumed(args, options)
    if args.dataset is None:
        raise CheckpointError(
            "Nothing is named to be trained on.",
            "--dataset was left out.",
            "robotd dataset list shows what there is; --dataset NAME.",
        )
    root = dataset_at(args.dataset)
    steps = args.steps or plans.default_steps(args.kind)
    output = (
        args.output or cache_dir() / "training" / f"{args.kind}-{name_of(root).replace('/', '-')}"
    )
    made = TrainPlan(
        kind=args.kind,
        repo_id=name_of(root),
        root=root,
        output=output.expanduser().absolute(),
        steps=steps,
        save_every=args.save_every or plans.save_every(steps),
        log_every=plans.log_every(steps),
        batch_size=args.batch_size,
        workers=args.workers,
        seed=args.seed,
        device=args.device,
        base=args.base,
        wandb=args.wandb,
        options=options,
    )
    return made, root, args.units


def _resumed(args: argparse.Namespace, options: dict[str, str]) -> tuple[TrainPlan, Path, str]:
    """The plan of a run that exists: LeRobot keeps it beside each checkpoint."""
    output = args.output.expanduser().absolute()
    blank = TrainPlan(args.kind, "", None, output, 1 << 60, 1, 1, resume=True)
    check_base(blank)
    said = json.loads((last_checkpoint(output) / "train_config.json").read_text())
    dataset = said["dataset"]
    noted_root = dataset["root"]
    if noted_root and not Path(noted_root).is_dir():
        noted_root = ""  # a run of another machine, copied back: the dataset by its name
    root = dataset_at(args.dataset or noted_root or dataset["repo_id"])
    steps = args.steps or said["steps"]
    kind = said["policy"]["type"]
    if args.kind != kind:
        raise CheckpointError(
            f"The run in {output} trains {kind}, not {args.kind}.",
            "It is another run, or the word was mistyped.",
            f"Say robotd train {kind} --resume --output {output}.",
        )
    made = TrainPlan(
        kind=kind,
        repo_id=dataset["repo_id"],
        root=root,
        output=output,
        steps=steps,
        save_every=said["save_freq"] if said["save_freq"] > 0 else steps,
        log_every=said["log_freq"],
        batch_size=said["batch_size"],
        workers=args.workers,
        resume=True,
        options=options,
    )
    noted = last_checkpoint(output) / "robotd_ckpt.json"
    units = json.loads(noted.read_text()).get("units", "") if noted.exists() else ""
    return made, root, args.units or units


def _options(pairs: list[str]) -> dict[str, str]:
    options = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not (name and sign):
            raise CheckpointError(
                f"--set {pair} says nothing.",
                "It needs LeRobot's name of the option, an equals sign and a value.",
                "Write it like --set policy.chunk_size=50 (lerobot-train --help lists them).",
            )
        options[name.removeprefix("--")] = value
    return options
