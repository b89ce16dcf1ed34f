"""Does a checkpoint do what people did, and if not, why? Shows it a recording; moves nothing.

At moments of episodes that it was not trained on (where that is known) it is asked what it would do, and that is laid
beside what was done: per joint, and the gripper's closings in time. Then it is asked again with one thing changed:
another moment's state or pictures, cameras exchanged, other units, another instruction. What mends it names the cause.
The verdict is kept by the checkpoint's hash: the arming list shows it, and a policy whose probe failed is not run.

Without --dataset: ten seconds in shadow on the running robot, which say less. Exit status 1: it failed.
"""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from config.loader import load
from daemon.cli.checkpoint import UNITS, renames
from daemon.cli.main import add_json, add_name
from daemon.cli.numbers import positive_count, positive_number
from daemon.probes import Probe, ProbeStore, probe_key
from drivers.calibration import NormMode, load_robot_calibration
from drivers.joint_map import JointMap
from robotd.client import running_instances
from robotd.errors import CalibrationError, ConfigError, StateError

if TYPE_CHECKING:
    from policies.model import Model
    from policies.probe.report import ProbeReport
    from policies.probe.samples import Array
    from policies.recording import Recording

_FRAMES, _SECONDS, _SHADOW_SECONDS = 120, 30.0, 10.0
_STEPS = 50  # of a chunk are compared, at most: what comes later is replaced before it is played


def configure(parser: argparse.ArgumentParser) -> None:
    add_name(parser)
    add_json(parser)
    parser.add_argument("--policy", required=True, help="a checkpoint's folder")
    parser.add_argument("--dataset", help="a LeRobotDataset: a folder, or a name in LeRobot's home")
    parser.add_argument("--frames", type=positive_count, default=_FRAMES, help="moments, at most")
    parser.add_argument(
        "--seconds",
        type=positive_number,
        help=f"time to spend (default {_SECONDS:g}; in shadow {_SHADOW_SECONDS:g})",
    )
    parser.add_argument("--task", default="", help="the instruction; default: each episode's own")
    parser.add_argument("--fps", type=int, help="the policy's rate, when the checkpoint is silent")
    parser.add_argument(
        "--units",
        choices=UNITS,
        default="",
        help="of its joints, where the checkpoint is silent or wrong",
    )
    parser.add_argument(
        "--rename",
        action="append",
        default=[],
        metavar="CHECKPOINT_KEY=DATASET_KEY",
        help="which of the recording's features a checkpoint's feature means; may be repeated",
    )
    parser.add_argument(
        "--embodiment",
        default="",
        metavar="NAME|FILE",
        help="the convention a Pi0 was trained in (so101, so101-radians, …), when nothing tells",
    )
    parser.add_argument(
        "--tokenizer", default="", help="PaliGemma's, when it is not beside the Pi0"
    )
    parser.add_argument("--device", default="auto", help="torch's word for it (auto, cpu, cuda)")
    parser.add_argument(
        "--overlay",
        type=Path,
        metavar="PNG",
        help="draw where the words of the instruction look in the pictures (Pi0 and Pi0.5)",
    )


def run(args: argparse.Namespace) -> int:
    # A program that asked for JSON gets that on stdout and nothing else.
    with contextlib.redirect_stdout(sys.stderr if args.json else sys.stdout):
        outcome, content, words = _on_recording(args) if args.dataset else _in_shadow(args)
    print(json.dumps(content) if args.json else words)
    return 1 if outcome == "fail" else 0


def _on_recording(args: argparse.Namespace) -> tuple[str, dict[str, Any], str]:
    from policies.probe.report import text

    report = _probe(args)
    return report.outcome, msgspec.to_builtins(report), text(report)


def _probe(args: argparse.Namespace) -> "ProbeReport":
    from policies.model import ModelOptions, load_model
    from policies.recording import open_recording

    cores = _cores()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a recording on this disk needs no hub
    recording = open_recording(args.dataset)
    print("Loading the policy …", flush=True)
    options = ModelOptions(
        fps=args.fps,
        units=args.units,
        device=args.device,
        threads=cores,
        embodiment=args.embodiment,
        tokenizer=args.tokenizer,
    )
    model = load_model(args.policy, options)
    report = probe_model(
        model,
        args.policy,
        recording,
        rename=renames(args.rename),
        task=args.task,
        frames=args.frames,
        seconds=args.seconds or _SECONDS,
        translate=_translation(args, model.evidence.units, recording.units),
        overlay=args.overlay,
        say=lambda words: print(f"  {words}", flush=True),
    )
    _keep(report, renames(args.rename))
    return report


def probe_model(
    model: "Model",
    policy: str,
    recording: "Recording",
    *,
    rename: Mapping[str, str] | None = None,
    task: str = "",
    frames: int = _FRAMES,
    seconds: float = _SECONDS,
    translate: "tuple[Callable[[Array], Array], Callable[[Array], Array]] | None" = None,
    overlay: Path | None = None,
    say: Callable[[str], None] = lambda _words: None,
) -> "ProbeReport":
    """Probe a loaded model on an opened recording; keeps nothing.

    `translate` turns the recording's joints into the model's units, and back. Raises CheckpointError for one that does
    not fit the recording, or an overlay that cannot be drawn.
    """
    from policies.probe.asking import Asker, fit_to_recording
    from policies.probe.examine import Limits, examine
    from policies.probe.facts import checkpoint_facts
    from policies.probe.heldout import held_out
    from policies.recorded_pictures import Pictures

    model, fitted = fit_to_recording(model, recording, rename or {})
    facts = checkpoint_facts(policy, model.kind)
    held = held_out(facts.training, recording.root, recording.episode_tasks)
    into, back = translate or (None, None)
    asker = Asker(
        model=model,
        fit=fitted,
        recording=recording,
        rows=recording.rows(held.episodes),
        pictures=Pictures(recording) if fitted.cameras else None,
        task=task,
        steps=min(model.chunk, _STEPS),
        translate_in=into,
        translate_out=back,
    )
    report = examine(asker, facts, held, Limits(frames, seconds), say)
    if overlay is not None:
        from policies.probe.attention import draw_overlay

        draw_overlay(asker, overlay)
        say(f"where its words look: {overlay}")
    return report


def _translation(
    args: argparse.Namespace, model_units: str, recorded: str
) -> "tuple[Callable[[Array], Array], Callable[[Array], Array]] | None":
    """Between the recording's units and the model's, through this robot's calibration; None where they are the same,
    or the recording does not tell its own."""
    if not recorded or recorded == model_units:
        return None
    try:
        ids = [arm.id for arm in load(args.name).config.arms.values()]
        calibrations = [load_robot_calibration(each) for each in ids]
    except (CalibrationError, ConfigError) as error:
        raise StateError(
            f"The recording is in {recorded}, the checkpoint in {model_units}, and what joins them is not here.",
            f"That needs the arm's calibration: {error.what}",
            "Name the robot that it was recorded on (--name), or probe on a dataset in the checkpoint's units.",
        ) from error
    models, recordings = (
        [JointMap(each, body_mode=NormMode(units)) for each in calibrations]
        for units in (model_units, recorded)
    )
    return _converter(recordings, models), _converter(models, recordings)


def _converter(
    sources: "Sequence[JointMap]", goals: "Sequence[JointMap]"
) -> "Callable[[Array], Array]":
    def convert(joints: "Array") -> "Array":
        import numpy as np

        parts = np.split(joints, len(sources), axis=-1)
        return np.concatenate(
            [
                goal.lerobot_from_rad(source.rad_from_lerobot(part))
                for source, goal, part in zip(sources, goals, parts, strict=True)
            ],
            axis=-1,
        )

    return convert


def _cores() -> int:
    """How many to take: half of them (on a busy machine threads that wait for one another are slower than one); beside
    a real arm one, and that after the arm's loop."""
    if any(not each.simulated for each in running_instances().values()):
        os.nice(10)
        return 1
    return max(1, (os.cpu_count() or 1) // 2)


def _keep(report: "ProbeReport", rename: Mapping[str, str]) -> None:
    key = probe_key(report.checkpoint_sha256, report.fps, report.units, rename, report.embodiment)
    if not key:
        return
    top = report.findings[0] if report.findings else None
    probe = Probe(
        outcome=report.outcome,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        policy=report.policy,
        dataset=report.dataset,
        dataset_sha256=report.dataset_sha256,
        frames=report.frames,
        held_out=report.held_out,
        error=report.error,
        cause=report.cause,
        what=top.what if top else "",
        evidence=top.evidence if top else "",
        likely=top.likely if top else "",
        do=top.do if top else "",
    )
    try:
        ProbeStore().keep(key, probe)
    except OSError as error:
        raise StateError(
            f"The verdict could not be kept: {error.strerror or error}.",
            "The disk of the state folder is full or read-only.",
            "Make room (robotd status --paths names the folder), then probe again.",
        ) from error


def _in_shadow(args: argparse.Namespace) -> tuple[str, dict[str, Any], str]:
    from learning.probe_shadow import probe_in_shadow, shadow_text

    if args.overlay is not None:
        raise StateError(
            "There is nothing to draw an overlay on.",
            "It needs the pictures of a recording.",
            "Name one: --dataset NAME.",
        )
    found = probe_in_shadow(args, args.seconds or _SHADOW_SECONDS)
    return found.outcome, msgspec.to_builtins(found), shadow_text(found)
