"""The program of a training bundle, copied into it as `train.py`: check, run, resume.

It runs on a rented machine where robotd is not: the standard library and what the bundle's lock
installs. `check` looks at everything that would end a run later and trains one step; `run` trains;
`resume` goes on after an interruption; `go` does whichever of the two there is to do, so that a
container that its host starts again needs nobody. What robotd has to know of each checkpoint is written beside
it while it trains.
"""

import argparse
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SIDECAR = "robotd_ckpt.json"
_STEP = "training_state/training_step.json"  # LeRobot writes it last
_LOOK_S = 5.0
_FLOAT = 4  # bytes of a weight, and of each of the two values that the optimiser keeps of it
_COUNTED = re.compile(r"num_(total|learnable)_params=(\d+)")
_LEAST_SHM = (
    256 << 20
)  # a container has 64 MB unless more is asked for; workers pass pictures through it


def main(words: Sequence[str] | None = None) -> int:
    """Do what was asked; 0 when it went well."""
    parser = argparse.ArgumentParser(description="Train from this bundle.")
    parser.add_argument("verb", choices=("check", "run", "resume", "go"))
    parser.add_argument("--output", type=Path, default=HERE / "output", help="on a large disk")
    parser.add_argument("--no-step", action="store_true", help="check: files only, no model")
    parser.add_argument("--cpu", action="store_true", help="train although no GPU is seen")
    parser.add_argument(
        "--elsewhere", action="store_true", help="check: it will be trained on another machine"
    )
    arguments = parser.parse_args(words)
    bundle = json.loads((HERE / "bundle.json").read_text())
    output: Path = arguments.output.absolute()
    if arguments.verb == "check":
        here = not arguments.elsewhere
        problems = check(bundle, output, step=not arguments.no_step, here=here)
        for problem in problems:
            print(f"problem: {problem}")
        print("not ready" if problems else "ready: python train.py run")
        return 2 if problems else 0
    lacking = machine(bundle, cpu=arguments.cpu)
    for each in lacking:
        print(f"problem: {each}")
    if lacking:
        return 2
    config = output / "checkpoints/last/pretrained_model/train_config.json"
    if arguments.verb == "resume" or (arguments.verb == "go" and config.exists()):
        if not config.exists():
            print(f"{output} holds no run to go on with (no {config.relative_to(output)})")
            return 2
        return train(resumed(bundle, config, output), output, bundle)
    if arguments.verb == "go" and output.exists():
        # Stopped before its first checkpoint: nothing of it can be gone on with.
        output.rename(output.with_name(f"{output.name}-{time.strftime('%Y%m%d-%H%M%S')}"))
    if output.exists():
        print(f"{output} exists: python train.py resume, or give another --output")
        return 2
    return train([*command(bundle), f"--output_dir={output}"], output, bundle)


def command(bundle: dict[str, Any]) -> list[str]:
    """The trainer's arguments, with the bundle's own folders in place of their names."""
    words = [word.replace("{bundle}", str(HERE)) for word in bundle["arguments"]]
    mode = os.environ.get("WANDB_MODE", "")
    if "--wandb.enable=true" in words and mode in ("offline", "disabled"):
        words.append(
            f"--wandb.mode={mode}"
        )  # LeRobot's own default, online, overrules the variable
    return words


def resumed(bundle: dict[str, Any], config: Path, output: Path) -> list[str]:
    """The trainer's arguments to go on with the run in `output`, wherever that and the dataset are now."""
    moved = [word for word in command(bundle) if word.startswith("--dataset.root=")]
    return [f"--config_path={config}", "--resume=true", f"--output_dir={output}", *moved]


def check(bundle: dict[str, Any], output: Path, *, step: bool, here: bool) -> list[str]:
    """What would end the run, all of it at once. Not `here`: what this machine lacks is only told."""
    problems = versions(bundle["versions"])
    there = output
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    needed = int(bundle["disk_bytes"])
    print(f"disk: {free / 1e9:.0f} GB free at {there}, {needed / 1e9:.1f} GB needed")
    if here and free < needed:
        problems.append(f"{there} has too little room; give --output on a larger disk")
    root = bundle["dataset"].get("folder")
    if root and not (HERE / root / "meta/info.json").exists():
        problems.append(f"{root} is not in the bundle: copy it whole")
    print(f"dataset: {bundle['dataset']['name']} at {bundle['dataset']['revision']}")
    print(f"GPU: {gpu() or 'none seen here'}")
    if here:
        problems += machine(bundle)
    if problems or not step:
        return problems
    with tempfile.TemporaryDirectory() as folder:
        overrides = [
            f"--output_dir={folder}/try",
            "--steps=1",
            "--batch_size=2",
            "--num_workers=0",
            "--save_checkpoint=false",
            "--log_freq=1",
            "--wandb.enable=false",
        ]
        named = {word.split("=")[0] for word in overrides}
        words = [word for word in command(bundle) if word.split("=")[0] not in named]
        began = time.monotonic()
        done = subprocess.run(
            [trainer(), *words, *overrides],
            env={**os.environ, **bundle["environment"]},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        print(f"one step: exit status {done.returncode} after {time.monotonic() - began:.0f} s")
        if done.returncode != 0:
            problems.append("one step failed: " + " / ".join(done.stderr.splitlines()[-4:]))
        elif "loss:" not in done.stderr + done.stdout:
            problems.append("one step ended without a loss")
        each = checkpoint_bytes(done.stderr + done.stdout)
        if each:
            needed = int(bundle["dataset_bytes"]) + each * int(bundle["checkpoints"])
            print(
                f"a checkpoint takes {each / 1e9:.2f} GB; with {bundle['checkpoints']} of them and "
                f"the dataset {needed / 1e9:.1f} GB of disk are needed"
            )
            if here and free < needed:
                problems.append(f"{there} has too little room; give --output on a larger disk")
    return problems


def checkpoint_bytes(said: str) -> int:
    """What one checkpoint takes, from the numbers of weights that the trainer prints; 0 for none."""
    found = {name: int(count) for name, count in _COUNTED.findall(said)}
    return _FLOAT * (found.get("total", 0) + 2 * found.get("learnable", 0))


def machine(bundle: dict[str, Any], *, cpu: bool = False) -> list[str]:
    """What this machine lacks for the run; `cpu`: it is to go without a GPU."""
    problems = []
    if not (cpu or "--policy.device=cpu" in bundle["arguments"] or gpu()):
        problems.append(
            "no GPU is seen (nvidia-smi shows what the host has): start the container with "
            "--gpus all, podman with --device nvidia.com/gpu=all; or train without: --cpu"
        )
    return problems + shared_memory(bundle)


def gpu() -> str:
    """The GPU that torch sees, and its memory; empty for none."""
    try:
        import torch
    except ImportError:
        return ""  # `versions` says that
    if torch.cuda.is_available():
        found = torch.cuda.get_device_properties(0)
        return f"{found.name}, {found.total_memory / 1e9:.0f} GB"
    return "Apple's" if torch.backends.mps.is_available() else ""


def shared_memory(bundle: dict[str, Any]) -> list[str]:
    """Whether the workers can pass their pictures: a container has little room for that by default."""
    place = Path("/dev/shm")
    workers = [word for word in bundle["arguments"] if word.startswith("--num_workers=")]
    if not place.is_dir() or workers == ["--num_workers=0"]:
        return []
    size = shutil.disk_usage(place).total
    if size >= _LEAST_SHM:
        return []
    return [
        f'{place} has {size >> 20} MB, in which workers cannot pass pictures ("Bus error"): start '
        "the container with --shm-size 8g"
    ]


def versions(wanted: dict[str, str]) -> list[str]:
    """Where this environment is another one than the bundle's lock."""
    problems = []
    for name, version in wanted.items():
        try:
            found = importlib.metadata.version(name).split("+")[0]
        except importlib.metadata.PackageNotFoundError:
            found = ""
        if found != version:
            problems.append(
                f"{name} is {found or 'not installed'}, {version} was locked: "
                "pip install -r requirements.lock"
            )
    return problems


def trainer() -> str:
    """LeRobot's trainer of this environment."""
    beside = Path(sys.executable).with_name("lerobot-train")
    return str(beside) if beside.exists() else "lerobot-train"


def train(words: Sequence[str], output: Path, bundle: dict[str, Any]) -> int:
    """Run the trainer to its end, and note beside each checkpoint what it was trained on."""
    environment = {**os.environ, **bundle["environment"]}
    process = subprocess.Popen([trainer(), *words], env=environment)
    try:
        while process.poll() is None:
            stamp(output, bundle["sidecar"])
            time.sleep(_LOOK_S)
    except KeyboardInterrupt:
        process.wait()
    stamp(output, bundle["sidecar"])
    if process.returncode == 0:
        print(f"done: copy {output}/checkpoints back; with RUN the copy: {bundle['judge']}")
    else:
        print("ended early: python train.py resume goes on from the last checkpoint")
    return process.returncode


def stamp(output: Path, content: dict[str, Any]) -> None:
    """Write the sidecar into every whole checkpoint that has none."""
    for folder in sorted((output / "checkpoints").glob("[0-9]*")):
        target = folder / "pretrained_model" / SIDECAR
        if (folder / _STEP).exists() and not target.exists():
            body = json.dumps({**content, "step": int(folder.name)}, indent=2)
            target.write_text(body + "\n")


if __name__ == "__main__":
    sys.exit(main())
