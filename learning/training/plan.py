"""What is to be trained, and the command line of LeRobot's trainer that does it. Pure.

LeRobot's own presets stay (optimiser, schedule, network): robotd decides what a person forgets, such
as where the checkpoints go and how often, and leaves the rest to `--set`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

PRETRAINED = "pretrained_model"
CHECKPOINTS = "checkpoints"

BATCH_SIZE = 8  # LeRobot's own
SEED = 1000  # LeRobot's own

_STEPS = {"act": 50_000, "pi0": 20_000, "pi05": 20_000, "smolvla": 20_000}
"""Where published SO-101 runs had their best checkpoint (ACT 45 k of 50; Pi0 5 k to 20 k)."""

_OTHER_STEPS = 100_000  # LeRobot's own default
_SAVES = 10  # checkpoints of a run: the best one is rarely the last
_LOG_EVERY = 200  # LeRobot's; a short run logs twenty times


@dataclass(frozen=True, slots=True)
class TrainPlan:
    """One training run. `output` is made by the trainer; it may only exist to be resumed.

    `base` is a checkpoint (folder or hub id) to begin from, `resume` a run's folder to go on with.
    `revision` pins a dataset of the hub; with `root` None the trainer fetches it. `options` are
    LeRobot's own by their dotted names, none of them one that another field decides.
    """

    kind: str
    repo_id: str
    root: Path | None
    output: Path
    steps: int
    save_every: int
    log_every: int
    batch_size: int = BATCH_SIZE
    workers: int = 4
    seed: int = SEED
    device: str = "auto"
    revision: str = ""
    base: str = ""
    resume: bool = False
    imagenet: bool = True
    wandb: str = ""
    wandb_mode: str = ""
    """offline or disabled; LeRobot's own default, online, overrules WANDB_MODE."""
    options: Mapping[str, str] = field(default_factory=dict)


def default_steps(kind: str) -> int:
    """How many steps a run of `kind` has when nobody says."""
    return _STEPS.get(kind, _OTHER_STEPS)


def save_every(steps: int) -> int:
    """Steps between two checkpoints when nobody says."""
    return max(1, steps // _SAVES)


def log_every(steps: int) -> int:
    """Steps between two lines of the trainer's log."""
    return max(1, min(_LOG_EVERY, steps // 20))


def saves(plan: TrainPlan, first_step: int = 0) -> int:
    """How many checkpoints a run writes that goes on from `first_step`."""
    whole, rest = divmod(plan.steps, plan.save_every)
    return whole - first_step // plan.save_every + (rest > 0)


def last_checkpoint(output: Path) -> Path:
    """Where the trainer keeps its newest checkpoint's `pretrained_model`."""
    return output / CHECKPOINTS / "last" / PRETRAINED


def arguments(plan: TrainPlan) -> list[str]:
    """`lerobot-train`'s arguments, without the program's name."""
    if plan.resume:
        said = {
            "config_path": str(last_checkpoint(plan.output) / "train_config.json"),
            "resume": "true",
            # A run that was moved or copied back goes on where it is.
            "output_dir": str(plan.output),
            "steps": str(plan.steps),
            "save_freq": str(plan.save_every),
            "log_freq": str(plan.log_every),
            "num_workers": str(plan.workers),
        }
        if plan.root is not None:
            said["dataset.root"] = str(plan.root)
        return _as_words({**said, **plan.options})
    said = {"dataset.repo_id": plan.repo_id}
    if plan.root is not None:
        said["dataset.root"] = str(plan.root)
    if plan.revision:
        said["dataset.revision"] = plan.revision
    said |= {"policy.path": plan.base} if plan.base else {"policy.type": plan.kind}
    if plan.device != "auto":
        said["policy.device"] = plan.device
    said["policy.push_to_hub"] = "false"
    if not plan.imagenet:
        said["policy.pretrained_backbone_weights"] = "null"
    said |= {
        "output_dir": str(plan.output),
        "steps": str(plan.steps),
        "save_freq": str(plan.save_every),
        "log_freq": str(plan.log_every),
        "batch_size": str(plan.batch_size),
        "num_workers": str(plan.workers),
        "seed": str(plan.seed),
        "wandb.enable": "true" if plan.wandb else "false",
    }
    if plan.wandb:
        said["wandb.project"] = plan.wandb
        if plan.wandb_mode:
            said["wandb.mode"] = plan.wandb_mode
    return _as_words({**said, **plan.options})


def _as_words(said: Mapping[str, str]) -> list[str]:
    return [f"--{name}={value}" for name, value in said.items()]
