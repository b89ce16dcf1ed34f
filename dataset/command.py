"""`robotd dataset VERB …`: datasets where LeRobot looks for them.

A dataset is named `owner/name`, or by its folder. `robotd dataset VERB --help` tells more.
"""

# A verb is a line in `VERBS`; its module has `configure(parser)` and `run(args) -> int`, imports
# what is heavy (pyarrow, av) in `run`, and says in its docstring what its --help says.

import argparse
import sys

from robotd.commands import add_verbs, run_verb
from robotd.uploading import dataset_changed

VERBS: dict[str, tuple[str, str]] = {
    "list": ("every dataset on this machine", "dataset.listing"),
    "info": ("what one dataset holds", "dataset.look"),
    "convert": ("another dataset from one, in other units, names or format", "dataset.convert"),
    "export": ("some episodes, labels as columns, RLDS or CSV", "dataset.export"),
    "delete-episode": ("take episodes out and renumber the rest", "dataset.delete"),
    "undo": ("take back the last change", "dataset.undo"),
    "relabel": ("another task, success or note for episodes", "dataset.relabel"),
    "merge": ("one dataset from several of one kind", "dataset.merge"),
    "tag": ("a name for the dataset as it is, to come back to", "dataset.tag"),
    "compact": ("join small files, beside a recording if need be", "dataset.compact"),
    "check": ("whether a dataset is whole and sound; --fix mends a copy", "dataset.check"),
    "recover": ("episodes that were interrupted or not saved", "dataset.interrupted"),
}
"""Name -> (summary, module)."""


def configure(parser: argparse.ArgumentParser) -> None:
    add_verbs(parser, VERBS)


def run(args: argparse.Namespace) -> int:
    status = run_verb(args)
    problem = dataset_changed()  # what was uploaded may have to go from the hub too
    if problem:
        print(problem, file=sys.stderr)
    return status
