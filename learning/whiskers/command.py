"""Draw what a policy is about to do: in the plant while it runs, or over a recorded episode.

Green: the executor's own plan, executed beforehand by the twin (red: refused by it). Blue: the plans
before it, fading. Orange: the way that was gone. Grey: --samples more answers to the same observation.
Yellow: its answer with --blind CAMERA covered. Violet: --show-flow, how an answer comes out of noise.
In a terminal SPACE stops, LEFT and RIGHT step through what was, R goes back to now, q leaves. The
figures at the end name the commonest silent fault: a chunk that moves nothing is likely un-normalised.
Nothing here moves an arm.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from config.schema import Config
from daemon.cli.checkpoint import add_policy_options, policy_options
from learning.demo import SHIPPED_POLICY
from learning.episode import run_episode
from learning.evaluate import TwinJudge, pictures_for
from learning.evaluation.command import DEMO
from learning.whiskers.lockstep import WhiskerDriver
from learning.whiskers.numbers import ChunkNumbers, alarms, summary
from learning.whiskers.show import LeftError, Show, on_terminal
from learning.whiskers.watched import Extras, all_alike, watched
from learning.world import evaluation_plant, lockstep_calibrations, lockstep_config, lockstep_world
from policies.loaded import LoadedPolicy, load_policy
from robotd.errors import StateError
from robotd.paths import absolute
from robotd.policy_channel import Load
from sim.model.scene import SceneKind
from sim.tasks.spec import kind_of, load_task
from sim.twin.apply import placements


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    add_policy_options(parser, required=True)
    parser.add_argument("--task", default="block_in_bowl", help="a shipped task, for the plant")
    parser.add_argument("--seed", type=int, default=0, help="of the plant and where the block lies")
    parser.add_argument("--seconds", type=float, help="end after this long")
    parser.add_argument("--latency-ms", type=float, default=30.0, help="virtual time of a chunk")
    parser.add_argument("--dataset", help="a recording instead of the plant: a folder or a name")
    parser.add_argument("--episode", type=int, metavar="N", help="which of its episodes (0)")
    parser.add_argument("--video", type=Path, metavar="FILE", help="write a film")
    parser.add_argument("--samples", type=int, default=0, metavar="K", help="other answers to draw")
    parser.add_argument("--show-flow", action="store_true", help="the steps from noise to a chunk")
    parser.add_argument(
        "--blind", action="append", default=[], metavar="CAMERA", help="cover it; may be repeated"
    )
    parser.add_argument("--pretty", action="store_true", help="shadows and smooth edges (slower)")
    parser.add_argument("--json", action="store_true", help="the figures as JSON")


def run(args: argparse.Namespace) -> int:
    """Draw one run."""
    if args.episode is not None and args.dataset is None:
        raise StateError(
            f"Episode {args.episode} of which dataset?",
            "--episode counts the episodes of a recording.",
            "Name it: --dataset D --episode 0; or leave both out to run in the plant.",
        )
    extras = Extras(max(0, args.samples), tuple(args.blind), args.show_flow)
    chunks, notes = _plant(args, extras) if args.dataset is None else _recorded(args, extras)
    if args.json:
        facts = {"policy": args.policy, "dataset": args.dataset, "notes": notes}
        print(json.dumps(facts | summary(chunks, args.policy)))
    else:
        print(_table(chunks, notes, args.policy))
        if args.video is not None:
            print(f"  film: {args.video}")
    return 0


def _plant(args: argparse.Namespace, extras: Extras) -> tuple[list[ChunkNumbers], list[str]]:
    config = lockstep_config(task=args.task)
    task = load_task(args.task)
    policy = watched(_loaded(args, config, task.instruction), extras)
    rows = None if args.seconds is None else max(1, round(args.seconds * config.recording.fps))
    with (
        _show(args, config, kind_of(task)) as show,
        lockstep_world(config, args.seed, evaluation_plant(args.seed)) as world,
        pictures_for(world, policy.fit.cameras) as pictures,
    ):
        judge = TwinJudge(config)
        driver = WhiskerDriver(policy, world, judge, show, round(args.latency_ms * 1e6), pictures)
        try:
            result = run_episode(world, task, driver, stop_at_success=True, max_rows=rows)
            driver.finish()
            notes = [f"the episode ended as {result.outcome}"]
            if args.video is None:
                show.stay()
        except LeftError:
            driver.finish()
            notes = ["left before its end"]
    return driver.chunks, notes + _said_notes(policy.ear.said, extras)


def _recorded(args: argparse.Namespace, extras: Extras) -> tuple[list[ChunkNumbers], list[str]]:
    from learning.whiskers.recorded import config_of, open_episode, walk
    from policies.recording import open_recording

    recording = open_recording(args.dataset)
    config = config_of(lockstep_config(), recording)
    number = args.episode or 0
    tasks = recording.episode_tasks
    policy = watched(_loaded(args, config, tasks[number] if number < len(tasks) else ""), extras)
    episode = open_episode(recording, number, policy)
    chunks: list[ChunkNumbers] = []
    notes = [f"episode {number} of {recording.root}, open loop"]
    with _show(args, config, None) as show:
        try:
            chunks = walk(policy, config, episode, show)
            if args.video is None:
                show.stay()
        except LeftError:
            notes.append("left before its end" if not chunks else "left")
    return chunks, notes + _said_notes(policy.ear.said, extras)


def _show(args: argparse.Namespace, config: Config, kind: SceneKind | None) -> Show:
    return Show(
        placements(config),
        video=args.video,
        terminal=on_terminal() and not args.json,
        kind=kind,
        pretty=args.pretty,
        fps=config.recording.fps,
    )


def _loaded(args: argparse.Namespace, config: Config, task: str) -> LoadedPolicy:
    path = str(SHIPPED_POLICY) if args.policy == DEMO else absolute(args.policy)
    request = Load(path=path, task=task, **policy_options(args))
    return load_policy(request, config, lockstep_calibrations(config))


def _said_notes(said: Any, extras: Extras) -> list[str]:
    """What was asked for and cannot be shown."""
    if said is None:
        return []
    found = []
    if extras.samples and all_alike(said):
        found.append("every sample is the same answer: this policy draws no noise")
    if extras.flow and said.flow is None:
        found.append("it shows no flow: only Pi0 and Pi0.5 in robotd's own torch do")
    return found


def _table(chunks: list[ChunkNumbers], notes: list[str], policy: str) -> str:
    facts = summary(chunks, policy)
    words = {
        "moves_mm": "a chunk moves the fingertips by",
        "begins_off_mm": "it begins off where the arm is by",
        "endpoint_speed_mm_s": "its goal still goes at its end at",
        "sample_spread_mm": "other answers end apart by",
        "replan_mm": "it is off the chunk before by",
        "blind_mm": "without the camera it would be off by",
        "plan_rmse_mm": "the arm was off the expected way by",
    }
    lines = [f"{facts['chunks']} chunks; {'; '.join(notes)}"]
    if facts["refused"]:
        lines.append(f"  {facts['refused']} of them were refused by the twin")
    for key, text in words.items():
        if key in facts:
            unit = "mm/s" if key.endswith("mm_s") else "mm"
            lines.append(
                f"  {text:40s} {facts[key]['p50']:7.1f} {unit} (half of them), "
                f"{facts[key]['max']:.1f} at most"
            )
    for alarm in alarms(chunks, policy):
        lines += [f"! {alarm.what}", f"    likely: {alarm.likely}", f"    do:     {alarm.do}"]
    return "\n".join(lines)
