"""What was asked for on the command line as one training run."""

import argparse
import json
import os
from pathlib import Path

from dataset.place import dataset_at, name_of
from learning.training import plan as plans
from learning.training.base import base_of
from learning.training.passed_on import PassedOn, passed_on
from learning.training.plan import TrainPlan, last_checkpoint
from learning.training.prepare import check_base
from robotd.errors import CheckpointError
from robotd.paths import cache_dir

_DECIDED = {
    "base": "--from",
    "batch_size": "--batch-size",
    "seed": "--seed",
    "device": "--device",
    "wandb": "--wandb",
    "backbone": "--backbone",
    "bundle": "--bundle",
}
"""What a run keeps from its beginning: going on, LeRobot takes it from the checkpoint."""


def planned(args: argparse.Namespace) -> tuple[TrainPlan, Path, str]:
    """The run, its dataset's folder, and the units that a person or the run's first part said.

    Raises CheckpointError for what says nothing, DatasetError for a dataset that is not there.
    """
    said = passed_on(args.set)
    if args.resume:
        _check_resumable(args)
        return _resumed(args, said)
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
        log_every=said.log_every or plans.log_every(steps),
        batch_size=args.batch_size or plans.BATCH_SIZE,
        workers=args.workers,
        seed=plans.SEED if args.seed is None else args.seed,
        device=args.device or "auto",
        base=base_of(args.base),
        wandb=args.wandb,
        wandb_mode="" if args.bundle else _wandb_mode(),  # a bundle asks where it runs
        options=said.options,
    )
    return made, root, args.units


def _wandb_mode() -> str:
    """What WANDB_MODE says, where that is another than LeRobot's own."""
    mode = os.environ.get("WANDB_MODE", "")
    return mode if mode in ("offline", "disabled") else ""


def _check_resumable(args: argparse.Namespace) -> None:
    """Whether only that is said which can be said of a run that goes on. Raises CheckpointError."""
    if args.output is None:
        raise CheckpointError(
            "--resume goes on with a run, and none is named.",
            "--output was left out.",
            "Say robotd train KIND --resume --output RUN.",
        )
    given = [option for field, option in _DECIDED.items() if getattr(args, field) not in (None, "")]
    if given:
        raise CheckpointError(
            f"{' and '.join(given)} cannot be said to a run that goes on (--resume).",
            "It was decided when the run began, and is kept with each checkpoint.",
            "Leave it out; --steps, --save-every and --workers can be said. With another one begin "
            "a new run: --from CHECKPOINT and another --output.",
        )


def _resumed(args: argparse.Namespace, passed: PassedOn) -> tuple[TrainPlan, Path, str]:
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
        save_every=args.save_every or (said["save_freq"] if said["save_freq"] > 0 else steps),
        log_every=passed.log_every or said["log_freq"],
        batch_size=said["batch_size"],
        workers=args.workers,
        resume=True,
        options=passed.options,
    )
    noted = last_checkpoint(output) / "robotd_ckpt.json"
    units = json.loads(noted.read_text()).get("units", "") if noted.exists() else ""
    return made, root, args.units or units
