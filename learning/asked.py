"""The policy that a command line names, as the request that loads it in this process."""

import argparse

from daemon.cli.checkpoint import renames
from robotd.paths import absolute
from robotd.policy_channel import Load


def asked_load(args: argparse.Namespace, path: str, task: str) -> Load:
    """Every option of `daemon.cli.checkpoint.add_policy_options`, each with one value.

    `path` is the checkpoint's, `task` the instruction.
    """
    return Load(
        path=path,
        task=task,
        n_action_steps=args.n_action_steps,
        fps=args.fps,
        units=args.units,
        mode=args.mode,
        ensemble=args.ensemble,
        rename=renames(args.rename),
        embodiment=args.embodiment,
        tokenizer=absolute(args.tokenizer) if args.tokenizer else "",
        backend=args.backend,
        time_scale=args.time_scale,
        gripper_bias=args.gripper_bias,
        gripper_clip=args.gripper_clip,
    )
