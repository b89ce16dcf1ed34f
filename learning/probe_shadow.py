"""A probe without a recording: a short shadow on the running robot, and what its chunks say of themselves.

What people would have done is not known here, so only the coarse things show: chunks that go nowhere, chunks that begin
far from where the arm is, chunks that the twin refuses. The shadow is kept as the rehearsal that it is; no probe is.
"""

import argparse

import msgspec

from daemon.cli.checkpoint import add_policy_options, load_policy
from learning.rehearsal_shadow import shadow_policy
from robotd.client import Robot
from robotd.messages import PolicyStatus, ShadowStatus

_NOWHERE_DEG = 1.5  # a chunk of one or two seconds in which no joint goes further
_ELSEWHERE_DEG = 35.0  # from the arm: further than any demonstration goes in a step
_SHORT_DEG = 8.0  # normalised numbers taken for degrees stay within this
_REFUSED = 0.5


class ShadowProbe(msgspec.Struct, frozen=True, kw_only=True):
    """What a shadow says of a checkpoint. `reach_deg` and `jump_deg` as in `policies.reach`."""

    outcome: str
    cause: str
    what: str
    evidence: str
    likely: str
    do: str
    policy: str
    seconds: float
    chunks: int
    refused: int
    reasons: dict[str, int]
    reach_deg: float
    jump_deg: float
    inference_ms: float
    inference_max_ms: float
    missing: str = (
        "whether it does what people did is not known: robotd probe --policy CHECKPOINT "
        "--dataset NAME says it"
    )


def probe_in_shadow(args: argparse.Namespace, seconds: float) -> ShadowProbe:
    """Load the policy into the running robot and let it look for `seconds`. Raises StateError, DaemonError or
    CheckpointError when it cannot."""
    with Robot.connect(args.name) as robot:
        print("Loading the policy …", flush=True)
        load_policy(robot, _options(args))
        print(f"In shadow for {seconds:g} s: nothing is written to the servos. Ctrl-C ends it.")
        ended = shadow_policy(robot, seconds, args.task, lambda _now: None)
        return judged(ended, robot.status().policy)


def _options(args: argparse.Namespace) -> argparse.Namespace:
    """The probe's options as `robotd run` would have them."""
    parser = argparse.ArgumentParser()
    add_policy_options(parser, required=False)
    usual = vars(parser.parse_args([]))
    return argparse.Namespace(**{**usual, **vars(args)})


def judged(ended: ShadowStatus, policy: PolicyStatus) -> ShadowProbe:
    """What a finished shadow says. Pure."""
    cause, outcome, what, likely, do = _cause(ended)
    return ShadowProbe(
        outcome=outcome,
        cause=cause,
        what=what,
        evidence=(
            f"a chunk goes {ended.reach_deg:.1f}° and begins {ended.jump_deg:.1f}° from the arm (the furthest "
            f"joint, the middle chunk); the twin refused {ended.refused} of {ended.chunks}"
        ),
        likely=likely,
        do=do,
        policy=policy.path,
        seconds=ended.elapsed_s,
        chunks=ended.chunks,
        refused=ended.refused,
        reasons=ended.reasons,
        reach_deg=ended.reach_deg,
        jump_deg=ended.jump_deg,
        inference_ms=ended.inference_ms,
        inference_max_ms=ended.inference_max_ms,
    )


def _cause(ended: ShadowStatus) -> tuple[str, str, str, str, str]:
    """(cause, outcome, what, likely, do)"""
    if ended.jump_deg > _ELSEWHERE_DEG and ended.reach_deg < _SHORT_DEG:
        return (
            "un-normalised",
            "fail",
            "Its chunks lie near zero, whatever the arm does.",
            "Its actions are normalised numbers or radians, which are taken for degrees.",
            "Probe it on a recording, which tells the two apart: robotd probe --policy CHECKPOINT "
            "--dataset NAME.",
        )
    if ended.jump_deg > _ELSEWHERE_DEG:
        return (
            "starts-elsewhere",
            "fail",
            "Its chunks begin far from where the arm is.",
            "The arm is not where demonstrations begin, the calibration is another arm's, or the units differ.",
            "Put the arm where a demonstration begins; then robotd probe --policy CHECKPOINT "
            "--dataset NAME.",
        )
    if ended.reach_deg < _NOWHERE_DEG:
        return (
            "stands-still",
            "fail",
            "Its chunks go nowhere.",
            "It repeats where the joints are, or says the middle of what it was shown.",
            "Probe it on a recording: robotd probe --policy CHECKPOINT --dataset NAME.",
        )
    if ended.refused > _REFUSED * ended.chunks:
        return (
            "refused",
            "fail",
            "The twin refuses most of its chunks.",
            "The scene or the start is not one of its data, or it is not trained enough.",
            "Look at the reasons above; rehearse longer: robotd rehearse --shadow.",
        )
    return "", "pass", "", "", ""


def shadow_text(found: ShadowProbe) -> str:
    """What a person reads."""
    head = {"pass": "nothing is wrong as far as a shadow can see", "fail": f"FAILED: {found.cause}"}
    lines = [f"{head[found.outcome]} ({found.policy})"]
    if found.what:
        lines.append(found.what)
    lines.append(f"  because {found.evidence}")
    if found.what:
        lines += [f"  likely: {found.likely}", f"  do:     {found.do}"]
    for why, count in sorted(found.reasons.items(), key=lambda item: -item[1]):
        lines.append(f"  refused {count}: {why}")
    lines.append(f"  {found.inference_ms:.0f} ms a chunk, {found.inference_max_ms:.0f} at most")
    lines.append(f"  note: {found.missing}")
    return "\n".join(lines)
