"""The program of a training bundle, copied into it as `train.py`: check, run, resume.

It runs on a rented machine where robotd is not: the standard library and what the bundle's lock
installs. `check` looks at everything that would end a run later and trains one step; `run` trains;
`resume` goes on after an interruption. What robotd has to know of each checkpoint is written beside
it while it trains.
"""

import argparse
import importlib.metadata
import json
import os
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


def main(words: Sequence[str] | None = None) -> int:
    """Do what was asked; 0 when it went well."""
    parser = argparse.ArgumentParser(description="Train from this bundle.")
    parser.add_argument("verb", choices=("check", "run", "resume"))
    parser.add_argument("--output", type=Path, default=HERE / "output", help="on a large disk")
    parser.add_argument("--no-step", action="store_true", help="check: files only, no model")
    arguments = parser.parse_args(words)
    bundle = json.loads((HERE / "bundle.json").read_text())
    output: Path = arguments.output.absolute()
    if arguments.verb == "check":
        problems = check(bundle, output, step=not arguments.no_step)
        for problem in problems:
            print(f"problem: {problem}")
        print("not ready" if problems else "ready: python train.py run")
        return 2 if problems else 0
    if arguments.verb == "resume":
        config = output / "checkpoints/last/pretrained_model/train_config.json"
        if not config.exists():
            print(f"{output} holds no run to go on with (no {config.relative_to(output)})")
            return 2
        return train([f"--config_path={config}", "--resume=true"], output, bundle)
    if output.exists():
        print(f"{output} exists: python train.py resume, or give another --output")
        return 2
    return train([*command(bundle), f"--output_dir={output}"], output, bundle)


def command(bundle: dict[str, Any]) -> list[str]:
    """The trainer's arguments, with the bundle's own folders in place of their names."""
    return [word.replace("{bundle}", str(HERE)) for word in bundle["arguments"]]


def check(bundle: dict[str, Any], output: Path, *, step: bool) -> list[str]:
    """What would end the run, all of it at once."""
    problems = versions(bundle["versions"])
    there = output
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    needed = int(bundle["disk_bytes"])
    print(f"disk: {free / 1e9:.0f} GB free at {there}, {needed / 1e9:.1f} GB needed")
    if free < needed:
        problems.append(f"{there} has too little room; give --output on a larger disk")
    root = bundle["dataset"].get("folder")
    if root and not (HERE / root / "meta/info.json").exists():
        problems.append(f"{root} is not in the bundle: copy it whole")
    print(f"dataset: {bundle['dataset']['name']} at {bundle['dataset']['revision']}")
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
    return problems


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
        print(f"done: copy {output}/checkpoints back, and robotd eval --checkpoints {output}")
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
