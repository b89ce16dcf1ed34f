"""What `--set` passes on to LeRobot's trainer: all but what robotd decides itself. Pure.

Steps, folders and rates are robotd's: the room on the disk, the bar, the curve and the report are
made from them, and would be wrong of a trainer that was told something else behind its back.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from robotd.errors import CheckpointError

_OWN = {
    "dataset.repo_id": "--dataset NAME",
    "dataset.root": "--dataset FOLDER",
    "dataset.revision": "--dataset FOLDER, where that revision lies",
    "policy.type": "the word after robotd train",
    "policy.path": "--from CHECKPOINT",
    "policy.device": "--device",
    "output_dir": "--output",
    "steps": "--steps",
    "save_freq": "--save-every",
    "batch_size": "--batch-size",
    "num_workers": "--workers",
    "seed": "--seed",
    "wandb.enable": "--wandb PROJECT",
    "wandb.project": "--wandb PROJECT",
    "resume": "--resume",
    "config_path": "--resume --output RUN",
    "save_checkpoint": "a larger --save-every, if it is about room",
    "policy.push_to_hub": "hf upload OWNER/NAME RUN/checkpoints/last/pretrained_model, afterwards",
}
"""LeRobot's names of what robotd decides, and how a person says it to robotd."""

_LOG_EVERY = "log_freq"


@dataclass(frozen=True, slots=True)
class PassedOn:
    """What was said with `--set`: LeRobot's own options, and the steps between two lines of its log
    (None: nobody said), which robotd counts by."""

    options: dict[str, str] = field(default_factory=dict)
    log_every: int | None = None


def passed_on(pairs: Sequence[str]) -> PassedOn:
    """Read `NAME=VALUE` pairs. Raises CheckpointError for what says nothing, or is robotd's."""
    options: dict[str, str] = {}
    log_every = None
    for pair in pairs:
        name, sign, value = pair.partition("=")
        name = name.removeprefix("--").strip()
        if not (name and sign):
            raise CheckpointError(
                f"--set {pair} says nothing.",
                "It needs LeRobot's name of the option, an equals sign and a value.",
                "Write it like --set policy.chunk_size=50 (lerobot-train --help lists them).",
            )
        if name in _OWN:
            raise CheckpointError(
                f"--set {name}=… is not passed on.",
                "robotd decides that itself: disk, bar, curve and report are made from it.",
                f"Say it to robotd: {_OWN[name]}.",
            )
        if name == _LOG_EVERY:
            log_every = _count(value)
        else:
            options[name] = value
    return PassedOn(options, log_every)


def _count(value: str) -> int:
    if not (value.isascii() and value.isdigit() and int(value) > 0):
        raise CheckpointError(
            f"--set {_LOG_EVERY}={value} is no number of steps.",
            "Bar and curve are made from the lines that the trainer logs.",
            f"Write it like --set {_LOG_EVERY}=100, or leave it out.",
        )
    return int(value)
