"""What is looked at before a night of training: dataset, statistics, cameras, weights, disk.

Everything that would end a run hours later, or make a policy that cannot be used, is said before
its first step.
"""

import importlib.util
import json
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from daemon.recorder.cameras import changes
from daemon.recorder.convention import episode_pages
from daemon.recorder.schema import CameraSpec
from dataset.check import examine
from dataset.findings import Finding
from learning.training.disk import check_room, checkpoint_bytes, room_at
from learning.training.plan import CHECKPOINTS, PRETRAINED, TrainPlan, last_checkpoint, saves
from learning.training.provenance import camera_setups
from policies.camera_contract import differences, trained_setups
from policies.checkpoint.folder import read_json
from policies.checkpoint.pi0_layout import Pi0Kind
from policies.checkpoint.tensors import WEIGHTS
from policies.pi0.placing import memory_need, released
from robotd.errors import CheckpointError, DatasetError
from robotd.installed import uv_pip

_BACKBONE_HOST = ("download.pytorch.org", 443)
_REACH_S = 3.0
_ADAM = 3  # weights and two values of the optimiser for each: what a checkpoint keeps


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was found out. `said` are sentences for a person, `warnings` those to think about."""

    said: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def check_dataset(root: Path, look: Callable[[Path], Sequence[Finding]] | None = None) -> Prepared:
    """Look at the dataset as `robotd dataset check` does. Raises DatasetError for an error in it."""
    found = list(look(root) if look is not None else examine(root).findings)
    worst = next((each for each in found if each.severity == "error"), None)
    if worst is not None:
        mend = " robotd dataset check NAME --fix mends it in a copy." if worst.mends else ""
        raise DatasetError(
            f"The dataset cannot be trained on as it is: {worst.what}",
            worst.likely,
            f"{worst.do}{mend} --unchecked trains all the same.",
        )
    warnings = [f"{each.what} ({each.do})" for each in found if each.severity == "warning"]
    return Prepared(
        (f"dataset checked: {len(warnings)} warnings, statistics are of its data",),
        tuple(warnings + camera_changes(root)),
    )


def camera_changes(root: Path) -> list[str]:
    """Where cameras changed between two recorded episodes: a policy would learn from both."""
    said = []
    before: tuple[CameraSpec, ...] = ()
    for number, page in enumerate(episode_pages(root)):
        now = msgspec.convert((page.get("spec") or {}).get("cameras") or [], tuple[CameraSpec, ...])
        found = [each for each in changes(before, now) if each.serious]
        said += [f"from recorded episode {number} on: {each.what}" for each in found]
        before = now or before
    return said


def check_base(plan: TrainPlan) -> Prepared:
    """Whether what the run begins from is there. Raises CheckpointError."""
    if plan.resume:
        file = last_checkpoint(plan.output) / "train_config.json"
        if not file.exists():
            raise CheckpointError(
                f"{plan.output} holds no run to go on with.",
                f"There is no {file.relative_to(plan.output)}: it was stopped before its first "
                "checkpoint, or it is another folder.",
                "Give the folder that the run's --output named. One without a checkpoint has nothing "
                "to go on with: remove it and begin again, with a smaller --save-every.",
            )
        step = first_step(plan)
        if step >= plan.steps:
            raise CheckpointError(
                f"The run in {plan.output} has {step} steps already.",
                f"It was to have {plan.steps}, and is finished.",
                f"Say how far it is to go: --steps {2 * step}.",
            )
        return Prepared((f"going on from step {step}",))
    if plan.output.exists():
        raise CheckpointError(
            f"{plan.output} exists.",
            "A run's folder is made by the trainer; an earlier run has this one.",
            "Go on with it (--resume), or choose another --output."
            if last_checkpoint(plan.output).exists()
            else "It holds no checkpoint to go on with: remove it, or choose another --output.",
        )
    return Prepared((f"from {plan.base}",) if plan.base else ("from scratch",))


def first_step(plan: TrainPlan) -> int:
    """The step that the run goes on from; 0 for a new one."""
    if not plan.resume:
        return 0
    state = last_checkpoint(plan.output).parent / "training_state/training_step.json"
    return int(json.loads(state.read_text())["step"])


def backbone(
    kind: str, base: str, *, offline: bool, wanted: str = "auto", reachable: bool | None = None
) -> tuple[bool, str]:
    """Whether ImageNet's weights are used for an ACT's eyes, and a sentence on why.

    LeRobot downloads them to train from scratch, and fails in the middle of nothing where it
    cannot. `wanted`: auto, imagenet or none.
    """
    if kind != "act" or base:
        return True, ""
    if wanted == "none":
        return False, "eyes from random weights (--backbone none)"
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    here = any(
        (Path(os.environ.get("TORCH_HOME", cache / "torch")) / "hub/checkpoints").glob("resnet*")
    )
    if here or wanted == "imagenet":
        return True, "eyes from ImageNet's weights"
    if offline or not (_reachable() if reachable is None else reachable):
        return False, (
            "eyes from random weights: ImageNet's are not on this machine and cannot be fetched; "
            "they learn slower"
        )
    return True, "eyes from ImageNet's weights, which are fetched now (45 MB)"


def _reachable() -> bool:
    try:
        with socket.create_connection(_BACKBONE_HOST, _REACH_S):
            return True
    except OSError:
        return False


def check_disk(plan: TrainPlan) -> Prepared:
    """Room for the checkpoints that the run still writes. Raises DiskFullError."""
    count = saves(plan, first_step(plan))
    room = room_at(plan.output)
    return Prepared(
        check_room(room, known_size(plan), count, plan.output, resumed=plan.resume),
    )


def known_size(plan: TrainPlan) -> int | None:
    """What one checkpoint of the run will take, where something tells before the first one."""
    if plan.resume:
        # The newest whole one: a run that was killed while it saved left part of another.
        return checkpoint_bytes(last_checkpoint(plan.output).parent.resolve())
    weights = Path(plan.base).expanduser() / WEIGHTS if plan.base else None
    if weights is not None and weights.is_file():
        return _ADAM * weights.stat().st_size
    if plan.kind in ("pi0", "pi05"):
        # The published sizes in LeRobot's float32: with the expert alone trained it is less.
        kind: Pi0Kind = "pi0" if plan.kind == "pi0" else "pi05"
        dims = released(kind)
        need = memory_need(kind, dims, itemsize=4, views=1, prompt=1, stored_itemsize=4)
        return _ADAM * (need.weights + need.host)
    return None


def check_cameras(plan: TrainPlan, root: Path) -> Prepared:
    """How the dataset's cameras are not those that the base was trained with."""
    folder = Path(plan.base).expanduser() if plan.base else None
    if folder is None or not folder.is_dir():
        return Prepared()
    now = camera_setups(root, read_json(root / "meta/info.json"))
    found = differences(trained_setups(folder), now, {name: name for name in now})
    return Prepared(
        warnings=tuple(f"the base's camera {each.words}, which is this dataset" for each in found)
    )


def check_wandb(project: str) -> None:
    """Raises CheckpointError where WandB is asked for and is not installed."""
    if project and importlib.util.find_spec("wandb") is None:
        raise CheckpointError(
            "WandB is not installed here.",
            "It is no part of robotd's extras.",
            f"{uv_pip('install', 'wandb>=0.24,<0.28')} (what LeRobot 0.6 takes), then wandb login, or "
            "WANDB_MODE=offline; or leave out --wandb.",
        )


def runs_pretrained(output: Path) -> list[Path]:
    """Every checkpoint of a run, oldest first."""
    found = sorted((output / CHECKPOINTS).glob(f"[0-9]*/{PRETRAINED}"))
    return [each for each in found if each.is_dir()]
