"""`robotd eval`: success of the scripted expert or of a checkpoint over many seeds, in lock-step.

A policy with cameras is shown rendered pictures: slower, and for one trained on real pictures no evidence.
"""

import argparse
import json
import sys
from pathlib import Path

from daemon.cli.checkpoint import add_policy_options, renames
from learning.episode import EpisodeResult
from learning.evaluate import (
    Evaluated,
    evaluate_expert,
    evaluate_policy,
    results_json,
    write_results,
)
from learning.world import lockstep_config
from robotd.errors import StateError
from robotd.policy_channel import Load
from sim.tasks.spec import load_task


def configure(parser: argparse.ArgumentParser) -> None:
    add_policy_options(parser, required=False)
    parser.add_argument("--source", choices=("scripted",), help="the scripted expert, no policy")
    parser.add_argument("--task", default="block_in_bowl", help="a shipped task")
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--latency-ms", type=float, default=30.0, help="virtual time of a chunk")
    parser.add_argument("--results", type=Path, help="write results.json there")
    parser.add_argument("--json", action="store_true", help="print results.json instead of a table")


def run(args: argparse.Namespace) -> int:
    if (args.policy is None) == (args.source is None):
        raise StateError(
            "Nobody, or two, were named to be evaluated.",
            "One of --policy and --source is needed, and only one.",
            "Say robotd eval --policy FOLDER, or robotd eval --source scripted.",
        )
    task = load_task(args.task)
    config = lockstep_config()
    seeds = range(args.first_seed, args.first_seed + args.episodes)
    if args.policy is None:
        done = evaluate_expert(config, task, seeds, _progress)
    else:
        request = Load(
            path=args.policy,
            task=task.instruction,
            n_action_steps=args.n_action_steps,
            fps=args.fps,
            units=args.units,
            ensemble=args.ensemble,
            rename=renames(args.rename),
        )
        done = evaluate_policy(config, task, request, seeds, args.latency_ms, _progress)
    content = results_json(done, task, args.n_action_steps, args.ensemble)
    if args.results is not None:
        write_results(args.results, content)
    print(json.dumps(content) if args.json else _table(done, content["rates"]["ci95"]))
    return 0


def _progress(result: EpisodeResult) -> None:
    print(
        f"seed {result.seed}: {result.outcome}, {result.steps} steps", file=sys.stderr, flush=True
    )


def _table(done: Evaluated, ci95: list[float]) -> str:
    counts: dict[str, int] = {}
    for result in done.results:
        counts[str(result.outcome)] = counts.get(str(result.outcome), 0) + 1
    lines = [f"  {name:26s} {count}" for name, count in sorted(counts.items())]
    episodes = len(done.results)
    head = f"{done.successes} of {episodes} succeeded ({ci95[0]:.0%} to {ci95[1]:.0%} at 95 % confidence)"
    if done.told:
        lines.append(f"  it was told {done.told}")
    if done.cameras:
        lines.append(
            f"  it saw rendered pictures ({', '.join(done.cameras)}): no evidence for a policy trained on real ones"
        )
    return "\n".join([head, *lines, f"  in {done.wall_s:.0f} s of machine time"])
