"""The runs behind `robotd bench policy`, put together into its JSON."""

import argparse
from collections.abc import Callable
from typing import Any

import msgspec

from bench import policy_gpu, policy_lerobot, policy_overhead, policy_seams
from bench.machine import describe
from bench.robotd_side import SHIPPED_ACT
from config.schema import Camera
from policies.pi0.pictures import PadMode
from robotd.clock import NS_PER_MS, VirtualClock
from robotd.errors import RobotdError

Said = Callable[[str], None]
_ROUNDS = 200
PADS: tuple[PadMode, ...] = ("openpi", "lerobot06")


def make(args: argparse.Namespace, said: Said) -> dict[str, Any]:
    """Run what was asked for and return the report."""
    config = policy_seams.configuration()
    said("loading the shipped ACT")
    policies = (
        policy_seams.Act(SHIPPED_ACT, config),
        policy_seams.Flow(config, guided=False),
        policy_seams.Flow(config),
    )
    seams = [
        _seams(policy, config, float(latency_ms), args, said)
        for policy in policies
        for latency_ms in args.latency_ms
    ]
    said("our path of a chunk")
    camera = Camera(device="synthetic", width=640, height=480, fps=30)
    filmed = msgspec.structs.replace(config, cameras={"overhead": camera, "wrist": camera})
    report = {
        "machine": describe(),
        "fps": policy_seams.FPS,
        "seconds": args.seconds,
        "n_action_steps": policy_seams.N_ACTION_STEPS,
        "seams": seams,
        "stalls": sum(row["robotd"]["stalls"] for row in seams),
        "jump_ratio": jump_ratios(seams),
        "overhead": [
            policy_overhead.measure(SHIPPED_ACT, config, _ROUNDS),
            *(policy_overhead.measure_pi0(filmed, pad, _ROUNDS) for pad in PADS),
        ],
    }
    if not args.no_tick:
        try:
            report["tick"] = _tick(args.seconds, said)
        except RobotdError as error:  # a machine too busy for a daemon: what was counted is kept
            said(str(error))
            report["tick_failed"] = error.what
    report["gpu"] = policy_gpu.measure(args.against is not None, said)
    return report


def _seams(
    policy: policy_seams.Act | policy_seams.Flow,
    config: Any,
    latency_ms: float,
    args: argparse.Namespace,
    said: Said,
) -> dict[str, Any]:
    said(f"{policy.name}: chunks of {latency_ms:g} ms")
    latency_ns = round(latency_ms * NS_PER_MS)
    row: dict[str, Any] = {
        "policy": policy.name,
        "actions_hz": policy.fps,
        "inference_ms": latency_ms,
    }
    for name, naive in (("robotd", False), ("naive", True)):
        row[name] = policy_seams.run(
            policy, config, latency_ns, args.seconds, naive=naive
        ).as_json()
    if args.against is not None:
        clock = VirtualClock()
        steps = policy_seams.N_ACTION_STEPS
        select = (
            policy_lerobot.act(SHIPPED_ACT, clock, latency_ns, steps)
            if policy.name == policy_seams.Act.name
            else policy_lerobot.pi0(clock, latency_ns, steps)
        )
        row["lerobot"] = policy_lerobot.run(select, clock, policy.fps, args.seconds)
    return row


def jump_ratios(seams: list[dict[str, Any]]) -> dict[str, float]:
    """For each policy the mean jump of all its seams over that of naive switching."""
    found: dict[str, float] = {}
    for name in dict.fromkeys(row["policy"] for row in seams):
        rows = [row for row in seams if row["policy"] == name]
        ours, naive = (
            sum(row[side]["jump_deg"] * row[side]["seams"] for row in rows)
            / max(1, sum(row[side]["seams"] for row in rows))
            for side in ("robotd", "naive")
        )
        found[name] = round(ours / naive, 3) if naive else 0.0
    return found


def _tick(seconds: float, said: Said) -> dict[str, Any]:
    """The loop's period errors without and with inference, each beside a bare loop of its run."""
    from bench import tick_report

    found: dict[str, Any] = {}
    for name, load in (("without", ()), ("with", ("policy",))):
        said(f"the loop {name} inference")
        asked = argparse.Namespace(
            robot=None, hz=None, seconds=seconds, load=load, against=None, bare=False
        )
        found[name] = tick_report.make(asked, said)
    return found
