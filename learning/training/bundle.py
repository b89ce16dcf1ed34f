"""`robotd train … --bundle DIR`: all that a rented GPU needs, in one folder that can be checked here.

A rented machine costs by the hour and is found to lack something in its first one. So the dataset
(or its revision on the hub), the base, the exact versions, the container, the disk it takes and a
program that checks, trains and goes on are put together, and that program's own check is run before
anybody pays.
"""

import importlib.metadata
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from dataset.place import is_download, name_of
from learning.training import bundle_program
from learning.training.disk import needed_bytes
from learning.training.plan import TrainPlan, arguments, saves
from robotd.errors import CheckpointError

_BUNDLE = "{bundle}"  # what the program puts its own folder in for
_PLAIN = ("dataset", "accelerate-dep")
_EXTRAS = {
    "act": _PLAIN,
    "diffusion": (*_PLAIN, "diffusion"),
    "pi0": (*_PLAIN, "pi"),
    "pi05": (*_PLAIN, "pi"),
    "smolvla": (*_PLAIN, "smolvla"),
}
_TOLD = ("lerobot", "torch", "transformers", "accelerate", "numpy")  # those that `check` compares


@dataclass(frozen=True, slots=True)
class Bundle:
    """A finished bundle. `checked` is what its own check printed."""

    folder: Path
    dataset_bytes: int
    disk_bytes: int
    checked: str


def make_bundle(
    plan: TrainPlan,
    sidecar: Mapping[str, Any],
    folder: Path,
    *,
    each_bytes: int | None,
    environment: Mapping[str, str],
    judge: str,
    step: bool = True,
) -> Bundle:
    """Put the bundle of `plan` into the new `folder` and run its own check.

    `each_bytes` is what one checkpoint takes, where known; `judge` how a run that is copied back to
    the folder RUN is judged; `step` False: the check trains no step.
    Raises CheckpointError when the folder is there already or the check finds something.
    """
    if folder.exists():
        raise CheckpointError(
            f"{folder} exists.",
            "A bundle is never written over another one.",
            "Choose another folder, or move that one away.",
        )
    folder.mkdir(parents=True)
    own = replace(plan, output=Path("unused"), base=_base(plan, folder))
    dataset: dict[str, str] = {
        "name": plan.repo_id,
        "revision": str(sidecar["training"].revision),
    }
    size = 0
    if plan.root is not None and not is_download(plan.root):
        shutil.copytree(plan.root, folder / "dataset", ignore=shutil.ignore_patterns("*.lock"))
        dataset["folder"] = "dataset"
        own = replace(own, root=Path(_BUNDLE) / "dataset")
        size = sum(
            each.stat().st_size for each in (folder / "dataset").rglob("*") if each.is_file()
        )
    elif plan.root is not None:
        own = replace(own, root=None, repo_id=name_of(plan.root), revision=plan.root.name)
    locked = lock(_EXTRAS.get(plan.kind, _PLAIN))
    if plan.wandb:
        locked |= lock((), "wandb")
    disk = size + needed_bytes(each_bytes or 0, saves(plan))
    words = [word for word in arguments(own) if not word.startswith("--output_dir=")]
    content = {
        "kind": plan.kind,
        "arguments": words,
        "dataset": dataset,
        "dataset_bytes": size,
        "checkpoints": saves(plan),
        "disk_bytes": disk,
        "checkpoint_bytes": each_bytes,
        "environment": dict(environment),
        "judge": judge,
        "versions": {name: locked[name] for name in _TOLD if name in locked},
        "sidecar": msgspec.to_builtins(dict(sidecar)),
    }
    (folder / "bundle.json").write_text(json.dumps(content, indent=2) + "\n")
    (folder / "requirements.lock").write_text(
        "".join(f"{name}=={version}\n" for name, version in sorted(locked.items()))
    )
    (folder / "Containerfile").write_text(_container())
    (folder / "README.md").write_text(_readme(plan, disk, judge, known=each_bytes is not None))
    shutil.copyfile(bundle_program.__file__, folder / "train.py")
    return Bundle(folder, size, disk, _check(folder, step=step))


def _base(plan: TrainPlan, folder: Path) -> str:
    """The base as the bundle names it: a local folder goes into it."""
    local = Path(plan.base).expanduser()
    if not plan.base or not local.is_dir():
        return plan.base
    shutil.copytree(local, folder / "base")
    return f"{_BUNDLE}/base"


def _check(folder: Path, *, step: bool) -> str:
    """What the bundle's own check says here. Raises CheckpointError when it is not ready."""
    words = [sys.executable, str(folder / "train.py"), "check", "--elsewhere"]
    words += [] if step else ["--no-step"]
    done = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        problems = [line for line in done.stdout.splitlines() if line.startswith("problem: ")]
        raise CheckpointError(
            f"The bundle in {folder} is not ready: "
            f"{'; '.join(problems) or done.stderr.strip()[-400:]}",
            "Something that the run needs is not in it, or does not work here.",
            f"Look: python {folder / 'train.py'} check --elsewhere",
        )
    return done.stdout


def lock(extras: Sequence[str], package: str = "lerobot") -> dict[str, str]:
    """`package[extras]` and all that it needs here, by name, with the versions installed."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    found: dict[str, str] = {}
    waiting: list[tuple[str, frozenset[str]]] = [(package, frozenset(extras))]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        try:
            installed = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # for another system, or an extra that is not installed: `check` finds it
        found[str(canonicalize_name(name))] = installed.version.split("+")[0]
        for text in installed.requires or ():
            try:
                needed = Requirement(text)
            except InvalidRequirement:
                continue
            if needed.marker is None or any(
                needed.marker.evaluate({"extra": extra}) for extra in ("", *wanted)
            ):
                waiting.append((needed.name, frozenset(needed.extras)))
    return found


def _readme(plan: TrainPlan, disk: int, judge: str, *, known: bool) -> str:
    room = (
        f"{disk / 1e9:.1f} GB of disk beside the packages"
        if known
        else f"{saves(plan)} in all: `check` says what disk they need"
    )
    token = f"\n{_GATED}" if plan.kind in ("pi0", "pi05", "pi0_fast") else ""
    key = "\nWandB: `-e WANDB_API_KEY=…`, or `-e WANDB_MODE=offline`.\n" if plan.wandb else ""
    return f"""# Training {plan.kind} on {plan.repo_id}

{plan.steps} steps, a checkpoint every {plan.save_every}; {room}.

On a machine with a GPU, in this folder:

    pip install -r requirements.lock      # Python {_PYTHON}, in an environment of its own
    python train.py check                 # versions, GPU, disk, dataset, one step
    python train.py run --output /data/run
    python train.py resume --output /data/run   # after an interruption

Or in a container, where SOMEWHERE is a folder on a large disk:

    docker build -f Containerfile -t train .
    docker run --rm --gpus all --shm-size 8g -v SOMEWHERE:/data train python train.py check --output /data/run
    docker run --gpus all --shm-size 8g -v SOMEWHERE:/data train    # begins, or goes on with, /data/run

(podman: `--device nvidia.com/gpu=all` in place of `--gpus all`.) Without `--shm-size` the workers that load
pictures die of a bus error. A container's own layer is gone with it: keep `--output` on the volume.
{token}{key}
Each checkpoint gets a `robotd_ckpt.json` with rate, units, joints and cameras. Copy `run/checkpoints/` back;
which is the best one says, with RUN the copy: `{judge}`.
"""


_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"  # the lock's versions are this one's

_GATED = """The tokenizer (google/paligemma-3b-pt-224) is gated: accept its licence on its page, and give the token of
that account: `-e HF_TOKEN=…`.
"""


def _container() -> str:
    return f"""# torch's wheels bring CUDA; the host needs the driver and its container toolkit.
FROM python:{_PYTHON}-slim
RUN apt-get update && apt-get install -y --no-install-recommends build-essential ffmpeg libegl1 libgl1 \\
    && rm -rf /var/lib/apt/lists/*
WORKDIR /bundle
COPY requirements.lock .
RUN pip install --no-cache-dir -r requirements.lock
COPY . .
# Hub downloads and checkpoints belong on a volume: run with -v SOMEWHERE:/data
ENV HF_HOME=/data/huggingface TORCH_HOME=/data/torch
CMD ["python", "train.py", "go", "--output", "/data/run"]
"""
