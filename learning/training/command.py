"""`robotd train act|pi0|smolvla … --dataset NAME`: LeRobot's own trainer, prepared and watched.

From scratch, from a base (--from) or gone on with (--resume). Dataset, statistics, cameras and disk
are looked at first; while it runs there is a bar, afterwards a loss curve (loss.svg), what the run
waited for, and training.json. Each checkpoint gets a robotd_ckpt.json with rate, units, joints and
cameras. --bundle DIR packs all that a rented GPU needs instead, and checks it here.
"""

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from config.loader import load
from daemon.cli.main import add_json
from daemon.cli.numbers import positive_count
from learning.training import plan as plans
from learning.training.asked import planned
from learning.training.base import check_kind
from learning.training.bundle import make_bundle
from learning.training.curve import loss_svg
from learning.training.disk import check_room, checkpoint_bytes, room_at
from learning.training.judged import Judged, check_sweep, judged
from learning.training.plan import CHECKPOINTS, TrainPlan, arguments, saves
from learning.training.prepare import (
    Prepared,
    backbone,
    check_base,
    check_cameras,
    check_dataset,
    check_disk,
    check_wandb,
    first_step,
    known_size,
    runs_pretrained,
)
from learning.training.provenance import dataset_revision, sidecar_of, stamp
from learning.training.shown import TrainBar
from learning.training.trainer import run_trainer, trainer_program
from learning.training.watch import REPORT, TrainLog, Window, bottleneck, earlier_windows
from robotd.errors import CheckpointError

_NEED_HUB = ("pi0", "pi05", "pi0_fast", "smolvla")  # their tokenizers come from there


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", help="LeRobot's word: act, pi0, pi05, smolvla, diffusion, …")
    parser.add_argument("--dataset", help="owner/name, or a folder")
    parser.add_argument("--output", type=Path, help="the run's folder (default: in the cache)")
    parser.add_argument("--from", dest="base", default="", help="begin from this checkpoint")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --output")
    parser.add_argument("--steps", type=positive_count, help="in all, also when going on")
    parser.add_argument(
        "--save-every", type=positive_count, metavar="STEPS", help="default: ten checkpoints"
    )
    parser.add_argument(
        "--batch-size",
        type=positive_count,
        help=f"default: {plans.BATCH_SIZE}; a run keeps its own",
    )
    parser.add_argument("--workers", type=int, default=_workers(), help="processes that load data")
    parser.add_argument("--seed", type=int, help=f"default: {plans.SEED}")
    parser.add_argument("--device", help="auto (default), cpu, cuda, mps")
    parser.add_argument("--units", choices=("degrees", "range_m100_100"), default="")
    parser.add_argument("--backbone", choices=("auto", "imagenet", "none"))
    parser.add_argument("--offline", action="store_true", help="fetch nothing")
    parser.add_argument("--unchecked", action="store_true", help="do not look at the dataset")
    parser.add_argument("--wandb", default="", metavar="PROJECT", help="log to WandB too")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any option of lerobot-train, e.g. policy.chunk_size=50; may be repeated",
    )
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="pack for a rented GPU instead")
    parser.add_argument(
        "--bundle-files", action="store_true", help="check the bundle without training a step"
    )
    parser.add_argument(
        "--sweep",
        type=positive_count,
        metavar="EPISODES",
        help="robotd eval of each checkpoint, in the plant; of a dataset of its tasks",
    )
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Train, or pack. Raises DatasetError, CheckpointError or DiskFullError."""
    say = _say(args.json)
    check_wandb(args.wandb)
    plan, root, units = planned(args)
    for found in _prepare(plan, root, args, say):
        _tell(found, say)
    how = judged(plan, root, load(simulated=True).config)
    if args.sweep is not None:
        check_sweep(how, bundle=args.bundle is not None)
    wanted = args.backbone or "auto"
    use_imagenet, why = backbone(plan.kind, plan.base, offline=args.offline, wanted=wanted)
    if args.bundle is not None and not use_imagenet and wanted == "auto":
        why += "; where it is trained they may be: --backbone imagenet --bundle-files"
    if "policy.pretrained_backbone_weights" in plan.options:
        use_imagenet, why = True, ""  # said, and passed on as it is
    if why and not plan.resume:
        say(f"  {why}")
    plan = replace(plan, imagenet=use_imagenet)
    revision = dataset_revision(root)
    sidecar = sidecar_of(root, units=units, revision=revision)
    environment = _environment(plan, offline=args.offline)
    if args.bundle is not None:
        return _pack(plan, sidecar, environment, how, args, say)
    return _train(plan, sidecar, environment, how, args, say)


# --- what is to be done ---------------------------------------------------------------------------


def _workers() -> int:
    """One core stays for the model where it is the CPU's; LeRobot's four are enough to begin with."""
    return max(1, min(4, (os.cpu_count() or 2) - 1))


def _environment(plan: TrainPlan, *, offline: bool) -> dict[str, str]:
    """A local dataset and a policy that needs nothing of the hub ask it for nothing."""
    alone = plan.kind not in _NEED_HUB and not plan.base and plan.root is not None
    return {"HF_HUB_OFFLINE": "1"} if offline or alone else {}


def _prepare(
    plan: TrainPlan, root: Path, args: argparse.Namespace, say: Callable[[str], None]
) -> list[Prepared]:
    found = [check_base(plan)] if args.bundle is None else []
    found.append(check_kind(plan.kind, plan.base, offline=args.offline))
    if not args.unchecked:
        say(f"looking at {plan.repo_id}")
        found.append(check_dataset(root))
    found.append(check_cameras(plan, root))
    if args.bundle is None:
        found.append(check_disk(plan))
    return found


# --- doing it -------------------------------------------------------------------------------------


def _pack(
    plan: TrainPlan,
    sidecar: dict[str, Any],
    environment: dict[str, str],
    how: Judged,
    args: argparse.Namespace,
    say: Callable[[str], None],
) -> int:
    say(f"packing {args.bundle}")
    made = make_bundle(
        plan,
        sidecar,
        args.bundle.expanduser().absolute(),
        each_bytes=known_size(plan),
        environment=environment,
        judge=how.words("RUN"),
        step=not args.bundle_files,
    )
    for line in made.checked.splitlines():
        say(f"  {line}")
    if args.json:
        print(json.dumps({"bundle": str(made.folder), "disk_bytes": made.disk_bytes}))
    return 0


def _train(
    plan: TrainPlan,
    sidecar: dict[str, Any],
    environment: dict[str, str],
    how: Judged,
    args: argparse.Namespace,
    say: Callable[[str], None],
) -> int:
    first = first_step(plan)
    log = TrainLog(plan.steps, plan.log_every, first)
    noted = plan.output / REPORT
    earlier = earlier_windows(noted.read_bytes() if noted.exists() else b"", first)
    command = [trainer_program(), *arguments(plan)]
    say(f"training {plan.kind} for {plan.steps} steps into {plan.output}")
    shown = TrainBar(log, say, as_json=args.json)
    sized = plan.resume

    def hear(line: str) -> None:
        nonlocal sized
        what = log.hear(line)
        stamped = stamp(plan.output, sidecar) if what else []
        if stamped and not sized:
            sized = True
            each = checkpoint_bytes(stamped[0].parent)
            for words in check_room(room_at(plan.output), each, saves(plan) - 1, plan.output):
                say(f"  {words}")
        if stamped:
            _report(plan, log, earlier)  # killed, it has told of all that it can go on with
        shown.show(what)
        if what == "window" and log.diverged:
            raise CheckpointError(
                f"The loss is no number any more, at step {log.step}.",
                "The learning rate is too high for this data, or a frame holds values that are none.",
                "robotd dataset check --deep looks for those; --set policy.optimizer_lr=1e-5.",
            )

    try:
        run_trainer(command, hear, environment)
    finally:
        shown.close()
        stamp(plan.output, sidecar)
        report = _report(plan, log, earlier)
    return _finish(plan, report, how, args, say)


def _report(plan: TrainPlan, log: TrainLog, earlier: Sequence[Window]) -> dict[str, Any]:
    """loss.svg and training.json beside the checkpoints; what the run came to. `earlier`: of its
    parts before it was gone on with."""
    windows = [*earlier, *log.windows]
    waited = bottleneck(log.windows, plan.workers, os.cpu_count() or 1)
    report: dict[str, Any] = {
        "kind": plan.kind,
        "dataset": plan.repo_id,
        "output": str(plan.output),
        "steps": log.step,
        "command": ["lerobot-train", *arguments(plan)],
        "loss": _finite(windows[-1].loss) if windows else None,
        "waited_for": None
        if waited is None
        else {**asdict(waited), "data_bound": waited.data_bound, "words": waited.words},
        "checkpoints": [str(each) for each in runs_pretrained(plan.output)],
        "windows": [asdict(each) | {"loss": _finite(each.loss)} for each in windows],
    }
    if (plan.output / CHECKPOINTS).is_dir():
        title = f"{plan.kind} on {plan.repo_id}: loss"
        (plan.output / "loss.svg").write_text(loss_svg(windows, title))
        partial = plan.output / f".{REPORT}"
        partial.write_text(json.dumps(report, indent=2) + "\n")
        partial.replace(plan.output / REPORT)
    return report


def _finite(loss: float) -> float | None:
    """JSON has no word for a loss that is no number."""
    return loss if math.isfinite(loss) else None


def _finish(
    plan: TrainPlan,
    report: dict[str, Any],
    how: Judged,
    args: argparse.Namespace,
    say: Callable[[str], None],
) -> int:
    if report["waited_for"] is not None:
        say(f"  {report['waited_for']['words']}")
    say(
        f"  {len(report['checkpoints'])} checkpoints, loss {report['loss']}; {plan.output}/loss.svg"
    )
    code = 0
    if args.sweep is not None:
        sweep = how.sweep(str(plan.output), args.sweep)
        done = subprocess.run(
            [_robotd(), *sweep, *(["--json"] if args.json else [])],
            stdout=subprocess.PIPE if args.json else None,
            text=True,
            check=False,
        )
        code = done.returncode
        if args.json and code == 0:
            report["sweep"] = json.loads(done.stdout)
    else:
        if how.why_not:
            say(f"not to be judged in the plant: {how.why_not}; on the arm, one by one:")
        say(f"the best one is rarely the last: {how.words(str(plan.output))}")
    if args.json:
        print(json.dumps(report))
    return code


def _robotd() -> str:
    return str(Path(sys.executable).with_name("robotd"))


# --- saying it ------------------------------------------------------------------------------------


def _say(as_json: bool) -> Callable[[str], None]:
    stream = sys.stderr if as_json else sys.stdout
    return lambda line: print(line, file=stream, flush=True)


def _tell(found: Prepared, say: Callable[[str], None]) -> None:
    for line in found.said:
        say(f"  {line}")
    for line in found.warnings:
        say(f"  warning: {line}")
