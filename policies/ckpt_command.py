"""`robotd ckpt VERB …`: checkpoints as files, before any of them moves an arm.

`robotd ckpt VERB --help` tells more.
"""

# A verb is a line in `VERBS`; its module has `configure(parser)` and `run(args) -> int`, imports
# what is heavy (torch, tensorstore, fsspec) in `run`, and says in its docstring what its --help says.

import argparse

from robotd.commands import add_verbs, run_verb

VERBS: dict[str, tuple[str, str]] = {
    "inspect": (
        "what a checkpoint is, and where that is known from",
        "policies.checkpoint.verbs.inspect",
    ),
    "verify": (
        "every tensor and statistic looked at; exit 2 with the fix",
        "policies.checkpoint.verbs.verify",
    ),
    "stats": ("a copy with the statistics it should have", "policies.checkpoint.verbs.stats"),
    "convert": ("a copy for LeRobot or openpi, LoRA merged", "policies.checkpoint.verbs.convert"),
    "pull": ("fetch one, resumed and verified", "policies.pulling.pull_command"),
    "list": ("what was fetched, and who uses it", "policies.pulling.list_command"),
    "rm": ("remove one that was fetched", "policies.pulling.rm_command"),
}
"""Name -> (summary, module)."""


def configure(parser: argparse.ArgumentParser) -> None:
    add_verbs(parser, VERBS)


def run(args: argparse.Namespace) -> int:
    return run_verb(args)
